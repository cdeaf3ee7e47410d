//! Translates a pattern into a regular expression, in the same way as Docker.
//!
//! Docker decides the meaning of special characters by the expression that results, so the text
//! itself counts: `\d` is a digit, `[[:alpha:]]` a letter, and `[*]` a class followed by brackets.

/// How a pattern is matched.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Translated {
    /// The path is the pattern.
    Exact,
    /// The path begins with the pattern, which ends in `**`.
    Prefix,
    /// The path ends with the pattern, which begins with `**`.
    Suffix,
    /// The path matches this expression.
    Regex(String),
}

enum Simple {
    Exact,
    Prefix,
    Suffix,
}

/// Translates a pattern whose syntax was checked.
pub(super) fn translate(pattern: &str) -> Translated {
    // Docker's scanner skips a byte order mark at the start, also in the middle of a file.
    let scanned = pattern.strip_prefix('\u{feff}').unwrap_or(pattern);
    let mut rest = scanned.chars().peekable();
    let mut regex = "^".to_owned();
    let mut simple = Some(Simple::Exact);
    let mut is_first = true;
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.next_if_eq(&'*').is_some() => {
                // `**/a` matches `a` too, so the slash belongs to the directories.
                rest.next_if_eq(&'/');
                if rest.peek().is_some() {
                    regex.push_str("(.*/)?");
                    simple = None;
                } else if matches!(simple, Some(Simple::Exact)) {
                    simple = Some(Simple::Prefix);
                } else {
                    regex.push_str(".*");
                    simple = None;
                }
                if is_first {
                    simple = Some(Simple::Suffix);
                }
            }
            '*' | '?' => {
                regex.push_str(if c == '*' { "[^/]*" } else { "[^/]" });
                simple = None;
            }
            '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => regex.extend(['\\', c]),
            '\\' => {
                regex.push('\\');
                if let Some(escaped) = rest.next() {
                    regex.push(escaped);
                    simple = None;
                }
            }
            '[' | ']' => {
                regex.push(c);
                simple = None;
            }
            c => regex.push(c),
        }
        is_first = false;
    }
    match simple {
        Some(Simple::Exact) => Translated::Exact,
        Some(Simple::Prefix) => Translated::Prefix,
        Some(Simple::Suffix) => Translated::Suffix,
        None => Translated::Regex(regex + "$"),
    }
}
