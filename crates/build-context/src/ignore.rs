//! `.dockerignore`: which files of a context are ignored, by Docker's rules.
//!
//! The last pattern that matches a path, or a directory above it, decides. A pattern with `!` is an
//! exception: it includes a path again. `*` and `?` match within one name, `**` matches across
//! directories. Matching takes time proportional to the length of the pattern times the length of
//! the path, even for hostile patterns.

/// The patterns of one `.dockerignore` file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    is_exception: bool,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Char(char),
    AnyChar,
    /// Any number of characters within one name.
    AnyChars,
    /// Any number of whole directories, each with its `/`.
    AnyDirectories,
    /// Everything up to the end.
    Rest,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Ignore {
    /// Reads the text of a `.dockerignore` file.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim_start_matches('\u{feff}');
        let patterns = text
            .lines()
            // Only a `#` in the first column begins a comment, so this comes before trimming.
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let line = line.trim();
                let (is_exception, line) = match line.strip_prefix('!') {
                    Some(rest) => (true, rest.trim()),
                    None => (false, line),
                };
                let path = clean(line)?;
                let parts = parse_parts(&path);
                Some(Pattern {
                    is_exception,
                    parts,
                })
            })
            .collect();
        Self { patterns }
    }

    /// Whether the file or directory at `path` is ignored. The path is relative to the context.
    pub(crate) fn is_ignored(&self, path: &str) -> bool {
        let mut is_ignored = false;
        for pattern in &self.patterns {
            // A pattern that would not change the result need not be matched.
            if pattern.is_exception == is_ignored && pattern.matches_or_parent(path) {
                is_ignored = !pattern.is_exception;
            }
        }
        is_ignored
    }

    /// Whether something below an ignored directory may be included.
    pub(crate) fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.is_exception)
    }
}

impl Pattern {
    /// Whether the pattern matches `path` or a directory above it.
    fn matches_or_parent(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at);
        ends.chain([path.len()])
            .any(|end| matches(&self.parts, &path[..end]))
    }
}

/// The path without `.`, `..`, duplicate slashes and outer slashes; `None` if nothing is left.
fn clean(line: &str) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for name in line.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => drop(names.pop()),
            // A leading slash means the root of the context, and nothing is above that.
            ".." if line.starts_with('/') => {}
            name => names.push(name),
        }
    }
    (!names.is_empty()).then(|| names.join("/"))
}

fn parse_parts(pattern: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        let part = match c {
            '*' if rest.next_if_eq(&'*').is_some() => {
                // `**/a` matches `a` too, so the slash belongs to the directories.
                rest.next_if_eq(&'/');
                match rest.peek() {
                    None => Part::Rest,
                    Some(_) => Part::AnyDirectories,
                }
            }
            '*' => Part::AnyChars,
            '?' => Part::AnyChar,
            '\\' => Part::Char(rest.next().unwrap_or('\\')),
            '[' => parse_class(&mut rest),
            c => Part::Char(c),
        };
        parts.push(part);
    }
    parts
}

fn parse_class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Part {
    let negated = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while let Some(c) = rest.next() {
        // A bracket at the start is a character of the class.
        if c == ']' && !ranges.is_empty() {
            break;
        }
        let low = match c {
            '\\' => rest.next().unwrap_or('\\'),
            c => c,
        };
        let mut high = low;
        let mut ahead = rest.clone();
        if ahead.next() == Some('-') && ahead.peek().is_some_and(|c| *c != ']') {
            rest.next();
            high = rest.next().unwrap_or(low);
        }
        ranges.push((low, high));
    }
    Part::Class { negated, ranges }
}

/// Whether `parts` match the whole `path`.
///
/// Works without backtracking: `reached[i]` is true if the parts so far match the first `i`
/// characters.
fn matches(parts: &[Part], path: &str) -> bool {
    let path: Vec<char> = path.chars().collect();
    let mut reached = vec![false; path.len() + 1];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    for part in parts {
        reached = advance(part, &path, &reached);
    }
    reached.last().copied().unwrap_or(false)
}

/// Computes `reached` after one more part.
fn advance(part: &Part, path: &[char], reached: &[bool]) -> Vec<bool> {
    let mut next = vec![false; reached.len()];
    // Whether a part of variable length began at or before this position and still matches.
    let mut open = false;
    for (at, from) in reached.iter().enumerate() {
        let previous = at.checked_sub(1).and_then(|at| path.get(at));
        let previous_reached = at.checked_sub(1).is_some_and(|at| reached[at]);
        next[at] = match part {
            Part::Char(c) => previous_reached && previous == Some(c),
            Part::AnyChar => previous_reached && previous.is_some_and(|c| *c != '/'),
            Part::Class { negated, ranges } => {
                previous_reached
                    && previous.is_some_and(|c| {
                        *c != '/'
                            && negated != &ranges.iter().any(|(low, high)| low <= c && c <= high)
                    })
            }
            Part::AnyChars => {
                open = *from || (open && previous != Some(&'/'));
                open
            }
            Part::Rest => {
                open |= *from;
                open
            }
            Part::AnyDirectories => {
                let is_after_slash = open && previous == Some(&'/');
                open |= *from;
                *from || is_after_slash
            }
        };
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_docker() {
        let table = [
            ("a", "a", true),
            ("a", "b/a", false),
            ("a", "a/b/c", true),
            ("/a", "a", true),
            ("a/", "a", true),
            ("./a/../b", "b", true),
            ("/a/b/", "a/b", true),
            ("//a", "a", true),
            ("/../a", "a", true),
            ("../a", "a", false),
            ("a/../../a", "a", false),
            ("a", "ab", false),
            (".", "a", false),
            ("/", "a", false),
            ("", "a", false),
            ("  # a", "a", false),
            ("\ta\t", "a", true),
            ("\u{feff}a", "a", true),
            ("*", "a/b/c", true),
            ("**/", "a/b", true),
            ("**/a/**", "x/a/y", true),
            ("a**", "ab/c", true),
            ("**/temp*", "x/y/temporary", true),
            ("a*c", "a/c", false),
            ("A", "a", false),
            ("*/temp*", "x/temporary.txt", true),
            ("*/temp*", "x/y/temp", false),
            ("*/*/temp*", "x/y/temp", true),
            ("temp?", "tempa", true),
            ("temp?", "temp", false),
            ("*.md", "README.md", true),
            ("*.md", "docs/README.md", false),
            ("**/*.go", "main.go", true),
            ("**/*.go", "a/b/main.go", true),
            ("**", "a/b", true),
            ("a/**", "a/b/c", true),
            ("a/**/z", "a/z", true),
            ("a/**/z", "a/b/c/z", true),
            ("a/**/z", "a/bz", false),
            ("**/node_modules", "x/node_modules/y", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("#a", "#a", false),
            (" a ", "a", true),
            ("a.b", "axb", false),
        ];
        for (pattern, path, expected) in table {
            assert_eq!(
                Ignore::parse(pattern).is_ignored(path),
                expected,
                "{pattern:?} on {path:?}"
            );
        }
    }

    #[test]
    fn the_last_match_decides() {
        let ignore = Ignore::parse("*.md\n!README*.md\nREADME-secret.md\n");
        assert!(ignore.is_ignored("a.md"));
        assert!(!ignore.is_ignored("README-old.md"));
        assert!(ignore.is_ignored("README-secret.md"));
        let ignore = Ignore::parse("*\n!src\nsrc/*.tmp");
        assert!(ignore.is_ignored("docs/a"));
        assert!(!ignore.is_ignored("src/a"));
        assert!(ignore.is_ignored("src/a.tmp"));
        assert!(ignore.has_exceptions());
        // A space after the exclamation mark, and line ends of Windows.
        let ignore = Ignore::parse("*\r\n! a\r\n!/b/\r\n");
        assert!(!ignore.is_ignored("a"));
        assert!(!ignore.is_ignored("b/c"));
        assert!(ignore.is_ignored("c"));
        assert!(!Ignore::parse("# *\n\n").is_ignored("a"));
    }

    #[test]
    fn a_hostile_pattern_is_matched_without_backtracking() {
        let pattern = "*a".repeat(200);
        let path = "a".repeat(2000) + "b";
        assert!(!Ignore::parse(&pattern).is_ignored(&path));
    }
}
