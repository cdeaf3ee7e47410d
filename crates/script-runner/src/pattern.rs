//! Which files a script leaves: paths in which `*`, `?` and `**` stand for names.
//!
//! `*` and `?` stay within one name, `**` stands for any number of names. What leads to a
//! directory takes all that is in it.

/// The paths of a rule, and which of them led to something.
pub(crate) struct Patterns(Vec<Pattern>);

struct Pattern {
    text: String,
    parts: Vec<String>,
    found: bool,
}

impl Patterns {
    /// Reads the paths.
    pub(crate) fn new(paths: &[String]) -> Self {
        let patterns = paths.iter().map(|text| {
            let names = text.split('/').filter(|name| !matches!(*name, "" | "."));
            Pattern {
                text: text.clone(),
                parts: names.map(str::to_owned).collect(),
                found: false,
            }
        });
        Self(patterns.collect())
    }

    /// The directories and files below which everything is that may be taken; none is in another.
    pub(crate) fn roots(&self) -> Vec<String> {
        let mut roots: Vec<Vec<&str>> = self.0.iter().map(Pattern::root).collect();
        // A directory comes before what is in it.
        roots.sort();
        let mut apart: Vec<Vec<&str>> = Vec::new();
        for root in roots {
            if !apart.iter().any(|other| root.starts_with(other)) {
                apart.push(root);
            }
        }
        apart.into_iter().map(|root| root.join("/")).collect()
    }

    /// Whether `path` is taken; notes by which of the paths.
    pub(crate) fn take(&mut self, path: &str) -> bool {
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        let mut taken = false;
        for pattern in &mut self.0 {
            if pattern.fits(&names) {
                pattern.found = true;
                taken = true;
            }
        }
        taken
    }

    /// The paths that led to nothing.
    pub(crate) fn not_found(&self) -> impl Iterator<Item = &str> {
        let lost = self.0.iter().filter(|pattern| !pattern.found);
        lost.map(|pattern| pattern.text.as_str())
    }
}

impl Pattern {
    fn root(&self) -> Vec<&str> {
        let plain = self.parts.iter().take_while(|part| !is_glob(part));
        plain.map(String::as_str).collect()
    }

    /// Whether it leads to what these names lead to, or to a directory above it.
    ///
    /// All places in the pattern that the names so far may have come to are followed at once.
    fn fits(&self, names: &[&str]) -> bool {
        let end = self.parts.len();
        let mut places = vec![false; end + 1];
        self.reach(&mut places, 0);
        for name in names {
            if places.get(end) == Some(&true) {
                return true;
            }
            let mut next = vec![false; end + 1];
            for (place, part) in self.parts.iter().enumerate() {
                if places.get(place) != Some(&true) {
                    continue;
                }
                if part == "**" {
                    self.reach(&mut next, place);
                } else if name_fits(part, name) {
                    self.reach(&mut next, place + 1);
                }
            }
            places = next;
        }
        places.get(end) == Some(&true)
    }

    /// Marks a place, and those that `**` lets be reached from it without a name.
    fn reach(&self, places: &mut [bool], from: usize) {
        for place in from..places.len() {
            if let Some(reached) = places.get_mut(place) {
                *reached = true;
            }
            if self.parts.get(place).is_none_or(|part| part != "**") {
                return;
            }
        }
    }
}

fn is_glob(part: &str) -> bool {
    part.contains(['*', '?'])
}

/// Whether one name fits one part. After a `*` failed to fit, it takes one character more.
fn name_fits(part: &str, name: &str) -> bool {
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
    fn paths_lead_to_files_and_directories() {
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
            assert_eq!(patterns(&[pattern]).take(path), fits, "{pattern} {path}");
        }
    }

    #[test]
    fn many_stars_take_no_longer_than_few() {
        let pattern = "**/a/".repeat(200) + "*a*a*a*a*a*a*b";
        let path = "a/".repeat(400) + &"a".repeat(200);
        assert!(!patterns(&[&pattern]).take(&path));
    }

    #[test]
    fn only_what_may_hold_something_is_read() {
        let roots = |paths: &[&str]| patterns(paths).roots();
        assert_eq!(roots(&["out/a", "out", "outer/*.o"]), ["out", "outer"]);
        assert_eq!(roots(&["a/b/*/c", "x.txt"]), ["a/b", "x.txt"]);
        assert_eq!(roots(&["*.txt", "out"]), [""]);
    }

    #[test]
    fn what_led_to_nothing_is_known() {
        let mut patterns = patterns(&["a", "b/"]);
        patterns.take("a/x");
        assert_eq!(patterns.not_found().collect::<Vec<_>>(), ["b/"]);
    }
}
