//! The regular expressions that patterns are translated into: the part of Go's syntax that can
//! occur in them.
//!
//! Matching works without backtracking: after each part it is known which positions of the path
//! were reached.

/// A parsed expression. It begins at the start of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Regex(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    One(Class),
    /// Any number of characters of a class.
    Many(Class),
    /// Nothing, or characters up to a slash.
    Directories,
    Start,
    End,
    /// The start or end of a word, or anything else.
    Boundary {
        is_wanted: bool,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Class {
    is_negated: bool,
    ranges: Vec<(char, char)>,
}

const DIGITS: &[(char, char)] = &[('0', '9')];
const SPACES: &[(char, char)] = &[('\t', '\n'), ('\u{c}', '\r'), (' ', ' ')];
const WORDS: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
/// The classes that have names inside of brackets.
const NAMED: &[(&str, &[(char, char)])] = &[
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("ascii", &[('\0', '\u{7f}')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\u{1f}'), ('\u{7f}', '\u{7f}')]),
    ("digit", DIGITS),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("word", WORDS),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];

impl Class {
    fn of(c: char) -> Self {
        Self {
            is_negated: false,
            ranges: vec![(c, c)],
        }
    }

    /// Any character except a line feed, which `.` means.
    fn dot() -> Self {
        Self {
            is_negated: true,
            ranges: vec![('\n', '\n')],
        }
    }

    fn contains(&self, c: char) -> bool {
        let is_inside = self
            .ranges
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&c));
        is_inside != self.is_negated
    }

    /// Adds ranges, or everything that is not in them.
    fn add(&mut self, ranges: &[(char, char)], is_negated: bool) {
        if !is_negated {
            self.ranges.extend_from_slice(ranges);
            return;
        }
        // The ranges are sorted and have gaps between them.
        let mut next = '\0';
        for (low, high) in ranges {
            if let Some(before) = previous(*low).filter(|before| next <= *before) {
                self.ranges.push((next, before));
            }
            next = char::from_u32(*high as u32 + 1).unwrap_or(char::MAX);
        }
        self.ranges.push((next, char::MAX));
    }
}

fn previous(c: char) -> Option<char> {
    (c as u32).checked_sub(1).and_then(char::from_u32)
}

impl Regex {
    /// Reads an expression; `None` if it is invalid, or uses a Unicode class such as `\pL`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("(.*/)?") {
                parts.push(Part::Directories);
                rest = after;
                continue;
            }
            if let Some(after) = rest.strip_prefix(".*") {
                parts.push(Part::Many(Class::dot()));
                rest = after;
                continue;
            }
            if let Some(after) = rest.strip_prefix("\\Q") {
                let (literal, after) = after.split_once("\\E").unwrap_or((after, ""));
                parts.extend(literal.chars().map(|c| Part::One(Class::of(c))));
                rest = after;
                continue;
            }
            rest = &rest[c.len_utf8()..];
            let part = match c {
                '^' => Part::Start,
                '$' => Part::End,
                '[' => {
                    let class = parse_class(&mut rest)?;
                    match rest.strip_prefix('*') {
                        Some(after) => {
                            rest = after;
                            Part::Many(class)
                        }
                        None => Part::One(class),
                    }
                }
                '\\' => parse_escaped(&mut rest)?,
                c => Part::One(Class::of(c)),
            };
            parts.push(part);
        }
        Some(Self(parts))
    }

    /// Whether the expression matches a path.
    pub(super) fn matches(&self, path: &[char]) -> bool {
        let mut reached = vec![false; path.len() + 1];
        reached[0] = true;
        let mut next = reached.clone();
        for part in &self.0 {
            part.advance(path, &reached, &mut next);
            std::mem::swap(&mut reached, &mut next);
            if !reached.contains(&true) {
                return false;
            }
        }
        true
    }
}

impl Part {
    /// Computes which positions are reached after this part.
    fn advance(&self, path: &[char], reached: &[bool], next: &mut [bool]) {
        // Whether a part of variable length began at or before this position and still matches.
        let mut is_open = false;
        for at in 0..reached.len() {
            let before = at.checked_sub(1).map(|at| path[at]);
            let is_after = |class: &Class| before.is_some_and(|c| class.contains(c));
            next[at] = match self {
                Self::One(class) => at > 0 && reached[at - 1] && is_after(class),
                Self::Many(class) => {
                    is_open = reached[at] || is_open && is_after(class);
                    is_open
                }
                Self::Directories => {
                    let is_after_slash = is_open && before == Some('/');
                    is_open = reached[at] || is_open && before != Some('\n');
                    reached[at] || is_after_slash
                }
                Self::Start => reached[at] && at == 0,
                Self::End => reached[at] && at == path.len(),
                Self::Boundary { is_wanted } => {
                    let after = path.get(at).copied();
                    reached[at] && (is_word(before) != is_word(after)) == *is_wanted
                }
            };
        }
    }
}

fn is_word(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Reads what follows a backslash outside of brackets.
fn parse_escaped(rest: &mut &str) -> Option<Part> {
    let part = match rest.chars().next()? {
        'A' => Part::Start,
        'z' => Part::End,
        'b' => Part::Boundary { is_wanted: true },
        'B' => Part::Boundary { is_wanted: false },
        _ => {
            let mut class = Class::default();
            if !parse_short_class(rest, &mut class) {
                class = Class::of(parse_escape(rest)?);
            }
            return Some(Part::One(class));
        }
    };
    *rest = &rest[1..];
    Some(part)
}

/// Reads `d`, `s`, `w` or their opposites after a backslash. Returns false for anything else.
fn parse_short_class(rest: &mut &str, class: &mut Class) -> bool {
    let Some(c) = rest.chars().next() else {
        return false;
    };
    let ranges = match c.to_ascii_lowercase() {
        'd' => DIGITS,
        's' => SPACES,
        'w' => WORDS,
        _ => return false,
    };
    class.add(ranges, c.is_ascii_uppercase());
    *rest = &rest[1..];
    true
}

/// Reads the escape of one character, after its backslash.
fn parse_escape(rest: &mut &str) -> Option<char> {
    let mut chars = rest.chars();
    let c = chars.next()?;
    let value = match c {
        // One digit alone would refer to a group, except for zero.
        '1'..='7' if !chars.as_str().starts_with(|next| matches!(next, '0'..='7')) => return None,
        '0'..='7' => {
            let mut value = c.to_digit(8)?;
            for _ in 0..2 {
                let Some(digit) = chars.clone().next().and_then(|next| next.to_digit(8)) else {
                    break;
                };
                value = value * 8 + digit;
                chars.next();
            }
            char::from_u32(value)?
        }
        'x' => {
            let high = chars.next()?.to_digit(16)?;
            let low = chars.next()?.to_digit(16)?;
            char::from_u32(high * 16 + low)?
        }
        'a' => '\u{7}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
        _ => return None,
    };
    *rest = chars.as_str();
    Some(value)
}

/// Reads a class after its opening bracket.
fn parse_class(rest: &mut &str) -> Option<Class> {
    let mut class = Class::default();
    if let Some(after) = rest.strip_prefix('^') {
        class.is_negated = true;
        *rest = after;
    }
    let mut is_first = true;
    loop {
        if !is_first && let Some(after) = rest.strip_prefix(']') {
            *rest = after;
            return Some(class);
        }
        is_first = false;
        if let Some((name, after)) = rest
            .strip_prefix("[:")
            .and_then(|after| after.split_once(":]"))
        {
            let (name, is_negated) = match name.strip_prefix('^') {
                Some(name) => (name, true),
                None => (name, false),
            };
            let (_, ranges) = NAMED.iter().find(|(known, _)| *known == name)?;
            class.add(ranges, is_negated);
            *rest = after;
            continue;
        }
        if let Some(mut after) = rest.strip_prefix('\\')
            && parse_short_class(&mut after, &mut class)
        {
            *rest = after;
            continue;
        }
        let low = parse_class_char(rest)?;
        let mut high = low;
        if let Some(after) = rest.strip_prefix('-')
            && !after.is_empty()
            && !after.starts_with(']')
        {
            *rest = after;
            high = parse_class_char(rest)?;
        }
        if high < low {
            return None;
        }
        class.ranges.push((low, high));
    }
}

fn parse_class_char(rest: &mut &str) -> Option<char> {
    if let Some(after) = rest.strip_prefix('\\') {
        *rest = after;
        return parse_escape(rest);
    }
    let c = rest.chars().next()?;
    *rest = &rest[c.len_utf8()..];
    Some(c)
}
