//! Glob patterns for artifact paths.
//!
//! `*` and `?` match within one name, `**` matches any number of names. A pattern that matches a
//! directory includes everything in it. A link is matched as a link, unless a pattern goes on below
//! it: `link/`, `link/**` or `link/file`. `**` does not go through links.

use slipway_domain::spec::has_wildcard;

/// The patterns of an artifact rule, and which of them matched.
pub(crate) struct Patterns(Vec<Pattern>);

struct Pattern {
    text: String,
    parts: Vec<Part>,
    /// Whether it ends with a slash.
    is_directory: bool,
    has_matched: bool,
}

enum Part {
    /// `**`
    Deep,
    /// The characters of a name, which may be wildcards.
    Name(Vec<u32>),
}

/// How a link relates to the patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkMatch {
    /// A pattern matches the link itself.
    pub(crate) is_kept: bool,
    /// A pattern may match something below it, if it leads to a directory.
    pub(crate) goes_below: bool,
}

impl Patterns {
    /// Parses the patterns.
    pub(crate) fn new(paths: &[String]) -> Self {
        let patterns = paths.iter().map(|text| {
            // `./a//b/` means the same path as `a/b`, and that it is a directory.
            let names = text.split('/').filter(|name| !matches!(*name, "" | "."));
            Pattern {
                text: text.clone(),
                parts: names.map(Part::new).collect(),
                is_directory: text.ends_with('/') || text.ends_with("/."),
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

    /// Whether a pattern matches `path`. Records which patterns do. `links` are the numbers of names
    /// that lead to links on the way which are followed.
    pub(crate) fn matches(&mut self, path: &[u8], links: &[usize]) -> bool {
        let names = names(path);
        let mut any = false;
        // No early return: each pattern must learn whether it matched.
        for pattern in &mut self.0 {
            if pattern.is_end(&pattern.after(&names, links)) {
                pattern.has_matched = true;
                any = true;
            }
        }
        any
    }

    /// How the link at `path` relates to the patterns. Records nothing.
    pub(crate) fn link(&self, path: &[u8], links: &[usize]) -> LinkMatch {
        let names = names(path);
        let mut found = LinkMatch {
            is_kept: false,
            goes_below: false,
        };
        let Some((name, above)) = names.split_last() else {
            return found;
        };
        for pattern in &self.0 {
            let states = pattern.after(above, links);
            found.is_kept |= pattern.matches_link(&states, name);
            found.goes_below |= pattern.step(&states, name, true).contains(&true);
        }
        found
    }

    /// Whether a pattern without wildcards is exactly this path.
    pub(crate) fn is_named(&self, path: &[u8]) -> bool {
        let names = names(path);
        let is_exact = |pattern: &Pattern| {
            let literal = pattern.root().into_iter().map(units);
            pattern.is_literal() && literal.eq(names.iter().cloned())
        };
        self.0.iter().any(is_exact)
    }

    /// The patterns that matched nothing, and whether they are without wildcards.
    pub(crate) fn unmatched(&self) -> impl Iterator<Item = (&str, bool)> {
        let unmatched = self.0.iter().filter(|pattern| !pattern.has_matched);
        unmatched.map(|pattern| (pattern.text.as_str(), pattern.is_literal()))
    }
}

impl Pattern {
    /// The names before the first wildcard.
    fn root(&self) -> Vec<&str> {
        let names = self.text.split('/');
        let names = names.filter(|name| !matches!(*name, "" | "."));
        names.take_while(|name| !has_wildcard(name)).collect()
    }

    fn is_literal(&self) -> bool {
        !has_wildcard(&self.text)
    }

    /// The states after these names.
    ///
    /// This simulates a state machine whose states are positions in the pattern, so many `**` do not
    /// take exponential time. The state at the end stays: a pattern includes what is below.
    fn after(&self, names: &[Vec<u32>], links: &[usize]) -> Vec<bool> {
        let mut states = vec![false; self.parts.len() + 1];
        self.reach(&mut states, 0);
        for (at, name) in names.iter().enumerate() {
            states = self.step(&states, name, links.contains(&(at + 1)));
        }
        states
    }

    /// The states after one more name. Through a link, only what the pattern spells out counts.
    fn step(&self, states: &[bool], name: &[u32], through_link: bool) -> Vec<bool> {
        let end = self.parts.len();
        let mut next = vec![false; end + 1];
        if self.is_end(states) && !through_link {
            self.reach(&mut next, end);
        }
        for (position, part) in self.parts.iter().enumerate() {
            if states.get(position) != Some(&true) {
                continue;
            }
            match part {
                Part::Deep if through_link => {}
                Part::Deep => self.reach(&mut next, position),
                Part::Name(part) if name_matches(part, name) => {
                    if !through_link || position + 1 < end || self.is_directory {
                        self.reach(&mut next, position + 1);
                    }
                }
                Part::Name(_) => {}
            }
        }
        next
    }

    /// Whether the pattern matches the link `name` itself after these states, and not only what is
    /// below it.
    fn matches_link(&self, states: &[bool], name: &[u32]) -> bool {
        let end = self.parts.len();
        let mut next = vec![false; end + 1];
        for (position, part) in self.parts.iter().enumerate() {
            match part {
                _ if states.get(position) != Some(&true) => {}
                Part::Deep => self.reach(&mut next, position),
                Part::Name(part) => {
                    if position + 1 == end && !self.is_directory && name_matches(part, name) {
                        self.reach(&mut next, end);
                    }
                }
            }
        }
        self.is_end(states) || self.is_end(&next)
    }

    fn is_end(&self, states: &[bool]) -> bool {
        states.get(self.parts.len()) == Some(&true)
    }

    /// Marks a position, and those after it that can be reached because `**` matches no name.
    fn reach(&self, states: &mut [bool], from: usize) {
        for position in from..states.len() {
            if let Some(reached) = states.get_mut(position) {
                *reached = true;
            }
            if !matches!(self.parts.get(position), Some(Part::Deep)) {
                return;
            }
        }
    }
}

impl Part {
    fn new(text: &str) -> Self {
        match text {
            "**" => Self::Deep,
            text => Self::Name(units(text)),
        }
    }
}

/// The characters of a pattern.
fn units(text: &str) -> Vec<u32> {
    text.chars().map(u32::from).collect()
}

/// The names of a path, each as its characters. A byte that is not UTF-8 becomes a number that no
/// character has.
fn names(path: &[u8]) -> Vec<Vec<u32>> {
    const NO_CHARACTER: u32 = 0x11_0000;
    let names = path.split(|byte| *byte == b'/');
    let characters = |name: &[u8]| {
        let mut units = Vec::new();
        for chunk in name.utf8_chunks() {
            units.extend(chunk.valid().chars().map(u32::from));
            let bytes = chunk.invalid().iter();
            units.extend(bytes.map(|byte| NO_CHARACTER + u32::from(*byte)));
        }
        units
    };
    names
        .filter(|name| !name.is_empty())
        .map(characters)
        .collect()
}

/// Whether a name matches one part of a pattern. When the rest does not match, the last `*` takes one
/// more character.
fn name_matches(part: &[u32], name: &[u32]) -> bool {
    const STAR: u32 = '*' as u32;
    const ANY: u32 = '?' as u32;
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match part.get(p) {
            Some(&STAR) => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == ANY || name.get(n) == Some(c) => {
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
    part.iter().skip(p).all(|c| *c == STAR)
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
            let mut patterns = patterns(&[pattern]);
            assert_eq!(
                patterns.matches(path.as_bytes(), &[]),
                fits,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn many_wildcards_do_not_take_exponential_time() {
        let pattern = "**/a/".repeat(200) + "*a*a*a*a*a*a*b";
        let path = "a/".repeat(400) + &"a".repeat(200);
        assert!(!patterns(&[&pattern]).matches(path.as_bytes(), &[]));
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
        let mut patterns = patterns(&["a", "b/", "c*"]);
        patterns.matches(b"a/x", &[]);
        let unmatched: Vec<_> = patterns.unmatched().collect();
        assert_eq!(unmatched, [("b/", true), ("c*", false)]);
    }

    #[test]
    fn names_may_be_no_utf8() {
        let mut patterns = patterns(&["a?b", "\u{fffd}"]);
        assert!(patterns.matches(b"a\xffb", &[]));
        assert!(!patterns.matches(b"\xff", &[]));
    }

    #[test]
    fn links_are_kept_or_followed_as_the_pattern_spells_out() {
        for (paths, link, is_kept, goes_below) in [
            (["lnk"].as_slice(), "lnk", true, false),
            (&["lnk/"], "lnk", false, true),
            (&["lnk/**"], "lnk", false, true),
            (&["lnk/sub/f"], "lnk", false, true),
            (&["lnk/sub/*"], "lnk", false, true),
            (&["lnk", "lnk/sub/f"], "lnk", true, true),
            (&["."], "lnk", true, false),
            (&["*"], "lnk", true, false),
            (&["*/sub"], "lnk", false, true),
            (&["**"], "lnk", true, false),
            (&["**/f"], "lnk", false, false),
            (&["out"], "out/lnk", true, false),
            (&["out", "out/lnk/f"], "out/lnk", true, true),
            (&["other/**"], "lnk", false, false),
        ] {
            let found = patterns(paths).link(link.as_bytes(), &[]);
            let expected = LinkMatch {
                is_kept,
                goes_below,
            };
            assert_eq!(found, expected, "{paths:?} {link}");
        }
    }

    #[test]
    fn only_what_a_pattern_spells_out_matches_below_a_link() {
        for (pattern, path, fits) in [
            ("lnk", "lnk/sub/f", false),
            ("lnk/", "lnk/sub/f", true),
            ("lnk/**", "lnk/sub/f", true),
            ("lnk/sub/*", "lnk/sub/f", true),
            ("lnk/sub/*", "lnk/other", false),
            ("*/sub", "lnk/sub/f", true),
            ("**", "lnk/sub/f", false),
            ("**/f", "lnk/sub/f", false),
        ] {
            let mut patterns = patterns(&[pattern]);
            assert_eq!(
                patterns.matches(path.as_bytes(), &[1]),
                fits,
                "{pattern} {path}"
            );
        }
    }
}
