//! Which files of a context are left out: `.dockerignore` by Docker's rules.
//!
//! The last pattern that matches a path, or a directory above it, decides; `!` takes a path back
//! in. `*` and `?` stay within one name, `**` crosses directories. Matching takes time that grows
//! with pattern times path, whatever the pattern is.

/// The patterns of one `.dockerignore` file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    takes_back: bool,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    One(char),
    AnyOne,
    /// Any run of characters within a name.
    Run,
    /// Any number of whole directories, with the `/` after each.
    Directories,
    /// All that follows.
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
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let line = line.trim();
                let (takes_back, line) = match line.strip_prefix('!') {
                    Some(rest) => (true, rest.trim()),
                    None => (false, line),
                };
                let path = clean(line)?;
                let parts = parse_parts(&path);
                Some(Pattern { takes_back, parts })
            })
            .collect();
        Self { patterns }
    }

    /// Whether the file or directory at `path`, relative and with `/`, is left out.
    pub(crate) fn leaves_out(&self, path: &str) -> bool {
        let mut out = false;
        for pattern in &self.patterns {
            // A pattern that would change nothing need not be tried.
            if pattern.takes_back == out && pattern.matches_or_parent(path) {
                out = !pattern.takes_back;
            }
        }
        out
    }

    /// Whether something below a directory that is left out may still be taken back in.
    pub(crate) fn takes_back(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.takes_back)
    }
}

impl Pattern {
    fn matches_or_parent(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at);
        ends.chain([path.len()])
            .any(|end| matches(&self.parts, &path[..end]))
    }
}

/// The path without `.`, `..` and doubled or outer slashes; `None` when nothing is left.
fn clean(line: &str) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for name in line.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => drop(names.pop()),
            // Nothing is above a root, and nothing in the context is above the context.
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
                rest.next_if_eq(&'/');
                match rest.peek() {
                    None => Part::Rest,
                    Some(_) => Part::Directories,
                }
            }
            '*' => Part::Run,
            '?' => Part::AnyOne,
            '\\' => Part::One(rest.next().unwrap_or('\\')),
            '[' => parse_class(&mut rest),
            c => Part::One(c),
        };
        parts.push(part);
    }
    parts
}

fn parse_class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Part {
    let negated = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while let Some(c) = rest.next() {
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

/// Whether `parts` match the whole of `path`.
///
/// `reached[i]` says whether the parts so far match the first `i` characters.
fn matches(parts: &[Part], path: &str) -> bool {
    let path: Vec<char> = path.chars().collect();
    let mut reached = vec![false; path.len() + 1];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    for part in parts {
        reached = step(part, &path, &reached);
    }
    reached.last().copied().unwrap_or(false)
}

fn step(part: &Part, path: &[char], reached: &[bool]) -> Vec<bool> {
    let mut next = vec![false; reached.len()];
    let mut open = false;
    for (at, from) in reached.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| path.get(at));
        let came = at.checked_sub(1).is_some_and(|at| reached[at]);
        next[at] = match part {
            Part::One(c) => came && before == Some(c),
            Part::AnyOne => came && before.is_some_and(|c| *c != '/'),
            Part::Class { negated, ranges } => {
                came && before.is_some_and(|c| {
                    *c != '/' && negated != &ranges.iter().any(|(low, high)| low <= c && c <= high)
                })
            }
            Part::Run => {
                open = *from || (open && before != Some(&'/'));
                open
            }
            Part::Rest => {
                open |= *from;
                open
            }
            Part::Directories => {
                let passed = open && before == Some(&'/');
                open |= *from;
                *from || passed
            }
        };
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_by_the_known_rules() {
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
                Ignore::parse(pattern).leaves_out(path),
                expected,
                "{pattern:?} on {path:?}"
            );
        }
    }

    #[test]
    fn the_last_match_decides() {
        let ignore = Ignore::parse("*.md\n!README*.md\nREADME-secret.md\n");
        assert!(ignore.leaves_out("a.md"));
        assert!(!ignore.leaves_out("README-old.md"));
        assert!(ignore.leaves_out("README-secret.md"));
        let ignore = Ignore::parse("*\n!src\nsrc/*.tmp");
        assert!(ignore.leaves_out("docs/a"));
        assert!(!ignore.leaves_out("src/a"));
        assert!(ignore.leaves_out("src/a.tmp"));
        assert!(ignore.takes_back());
        // A blank after the mark, and lines as another system ends them.
        let ignore = Ignore::parse("*\r\n! a\r\n!/b/\r\n");
        assert!(!ignore.leaves_out("a"));
        assert!(!ignore.leaves_out("b/c"));
        assert!(ignore.leaves_out("c"));
        assert!(!Ignore::parse("# *\n\n").leaves_out("a"));
    }

    #[test]
    fn a_hostile_pattern_costs_no_time() {
        let pattern = "*a".repeat(200);
        let path = "a".repeat(2000) + "b";
        assert!(!Ignore::parse(&pattern).leaves_out(&path));
    }
}
