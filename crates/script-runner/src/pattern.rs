//! Glob patterns for artifact paths.
//!
//! `*` and `?` match within one name, `**` matches any number of names. A pattern that matches a
//! directory includes everything in it.

/// The patterns of an artifact rule, and which of them matched.
pub(crate) struct Patterns(Vec<Pattern>);

struct Pattern {
    text: String,
    parts: Vec<String>,
    has_matched: bool,
}

impl Patterns {
    /// Parses the patterns.
    pub(crate) fn new(paths: &[String]) -> Self {
        let patterns = paths.iter().map(|text| {
            // `./a//b/` means the same path as `a/b`.
            let names = text.split('/').filter(|name| !matches!(*name, "" | "."));
            Pattern {
                text: text.clone(),
                parts: names.map(str::to_owned).collect(),
                has_matched: false,
            }
        });
        Self(patterns.collect())
    }

    /// The shortest list of directories and files that contains everything that can match.
    pub(crate) fn roots(&self) -> Vec<String> {
        let mut roots: Vec<Vec<&str>> = self.0.iter().map(Pattern::root).collect();
        // After sorting, a directory comes before its content.
        roots.sort();
        let mut distinct: Vec<Vec<&str>> = Vec::new();
        for root in roots {
            if !distinct.iter().any(|other| root.starts_with(other)) {
                distinct.push(root);
            }
        }
        distinct.into_iter().map(|root| root.join("/")).collect()
    }

    /// Whether a pattern matches `path`. Records which patterns do.
    pub(crate) fn matches(&mut self, path: &str) -> bool {
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        let mut any = false;
        // No early return: each pattern must learn whether it matched.
        for pattern in &mut self.0 {
            if pattern.matches(&names) {
                pattern.has_matched = true;
                any = true;
            }
        }
        any
    }

    /// The patterns that matched nothing.
    pub(crate) fn unmatched(&self) -> impl Iterator<Item = &str> {
        let unmatched = self.0.iter().filter(|pattern| !pattern.has_matched);
        unmatched.map(|pattern| pattern.text.as_str())
    }
}

impl Pattern {
    fn root(&self) -> Vec<&str> {
        let plain = self.parts.iter().take_while(|part| !is_glob(part));
        plain.map(String::as_str).collect()
    }

    /// Whether the pattern matches the path of these names, or a directory above it.
    ///
    /// This simulates a state machine whose states are positions in the pattern, so many `**` do not
    /// take exponential time.
    fn matches(&self, names: &[&str]) -> bool {
        let end = self.parts.len();
        let mut states = vec![false; end + 1];
        self.reach(&mut states, 0);
        for name in names {
            // The pattern matched a directory above.
            if states.get(end) == Some(&true) {
                return true;
            }
            let mut next = vec![false; end + 1];
            for (position, part) in self.parts.iter().enumerate() {
                if states.get(position) != Some(&true) {
                    continue;
                }
                if part == "**" {
                    self.reach(&mut next, position);
                } else if name_matches(part, name) {
                    self.reach(&mut next, position + 1);
                }
            }
            states = next;
        }
        states.get(end) == Some(&true)
    }

    /// Marks a position, and those after it that can be reached because `**` matches no name.
    fn reach(&self, states: &mut [bool], from: usize) {
        for position in from..states.len() {
            if let Some(reached) = states.get_mut(position) {
                *reached = true;
            }
            if self.parts.get(position).is_none_or(|part| part != "**") {
                return;
            }
        }
    }
}

fn is_glob(part: &str) -> bool {
    part.contains(['*', '?'])
}

/// Whether a name matches one part of a pattern. When the rest does not match, the last `*` takes one
/// more character.
fn name_matches(part: &str, name: &str) -> bool {
    let (part, name): (Vec<char>, Vec<char>) = (part.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match part.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || name.get(n) == Some(c) => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    // The name is used up; the rest of the pattern matches if it can be empty.
    part.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(paths: &[&str]) -> Patterns {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        Patterns::new(&paths)
    }

    #[test]
    fn patterns_match_files_and_everything_in_directories() {
        for (pattern, path, fits) in [
            ("out", "out", true),
            ("out/", "out/a/b", true),
            ("./out", "out/a", true),
            ("out", "outer", false),
            ("out/a", "out", false),
            (".", "anything/at all", true),
            ("*.txt", "a.txt", true),
            ("*.txt", "a/b.txt", false),
            ("*.txt", "a.txt.gz", false),
            ("out/*", "out/a/b", true),
            ("out/?.o", "out/a.o", true),
            ("out/?.o", "out/ab.o", false),
            ("**/*.txt", "a.txt", true),
            ("**/*.txt", "a/b/c.txt", true),
            ("a/**/z", "a/z", true),
            ("a/**/z", "a/b/c/z/inside", true),
            ("a/**/z", "b/a/z", false),
            ("out/**", "out", true),
            ("**", "x", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ü?", "üß", true),
        ] {
            assert_eq!(patterns(&[pattern]).matches(path), fits, "{pattern} {path}");
        }
    }

    #[test]
    fn many_wildcards_do_not_take_exponential_time() {
        let pattern = "**/a/".repeat(200) + "*a*a*a*a*a*a*b";
        let path = "a/".repeat(400) + &"a".repeat(200);
        assert!(!patterns(&[&pattern]).matches(&path));
    }

    #[test]
    fn roots_are_the_directories_that_can_contain_a_match() {
        let roots = |paths: &[&str]| patterns(paths).roots();
        assert_eq!(roots(&["out/a", "out", "outer/*.o"]), ["out", "outer"]);
        assert_eq!(roots(&["a/b/*/c", "x.txt"]), ["a/b", "x.txt"]);
        assert_eq!(roots(&["*.txt", "out"]), [""]);
    }

    #[test]
    fn unmatched_returns_patterns_without_a_match() {
        let mut patterns = patterns(&["a", "b/"]);
        patterns.matches("a/x");
        assert_eq!(patterns.unmatched().collect::<Vec<_>>(), ["b/"]);
    }
}
