//! One pattern of an ignore file.

use super::IgnoreError;
use super::lines::clean;
use super::regex::Regex;
use super::translate::{Translated, translate};

/// The characters by which a pattern may match more than one path.
const WILDCARDS: &[char] = &['*', '[', ']', '?', '^', '\\'];

/// A pattern, whose syntax was checked as far as Docker checks it before the pattern is used.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    is_exception: bool,
    text: String,
    matcher: Matcher,
}

/// How a path is compared with a pattern. Simple patterns are compared byte by byte.
#[derive(Clone, Debug)]
enum Matcher {
    Exact,
    /// The path begins with this.
    Prefix(Vec<u8>),
    /// The path ends with this. Without its slash at the start it also matches as a whole.
    Suffix(Vec<u8>),
    Regex(Regex),
    /// Using the pattern fails.
    Invalid,
}

/// A path to match.
pub(super) struct Subject<'a> {
    bytes: &'a [u8],
    chars: Vec<char>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(path: &'a [u8]) -> Self {
        let mut chars = Vec::with_capacity(path.len());
        for chunk in path.utf8_chunks() {
            chars.extend(chunk.valid().chars());
            chars.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
        }
        Self { bytes: path, chars }
    }
}

impl Pattern {
    /// Reads a pattern; `None` if it is empty.
    pub(super) fn parse(line: &str) -> Result<Option<Self>, IgnoreError> {
        let line = line.trim();
        if line.is_empty() {
            return Ok(None);
        }
        // Cleaned together with its exclamation mark, so `!/` is a lone one.
        let path = clean(line);
        let (is_exception, text) = match path.strip_prefix('!') {
            Some("") => return Err(IgnoreError::LoneExclamationMark),
            Some(rest) => (true, rest),
            None => (false, path.as_str()),
        };
        if !is_well_formed(text) {
            return Err(IgnoreError::Syntax(text.to_owned()));
        }
        let matcher = match translate(text) {
            Translated::Exact => Matcher::Exact,
            Translated::Prefix => Matcher::Prefix(text.as_bytes()[..text.len() - 2].to_vec()),
            Translated::Suffix => Matcher::Suffix(text.as_bytes()[2..].to_vec()),
            Translated::Regex(regex) => {
                Regex::parse(&regex).map_or(Matcher::Invalid, Matcher::Regex)
            }
        };
        Ok(Some(Self {
            is_exception,
            text: text.to_owned(),
            matcher,
        }))
    }

    pub(super) fn is_exception(&self) -> bool {
        self.is_exception
    }

    pub(super) fn is_invalid(&self) -> bool {
        matches!(self.matcher, Matcher::Invalid)
    }

    /// Whether the pattern matches this path itself.
    pub(super) fn matches(&self, path: &Subject<'_>) -> Result<bool, IgnoreError> {
        let bytes = path.bytes;
        Ok(match &self.matcher {
            Matcher::Exact => bytes == self.text.as_bytes(),
            Matcher::Prefix(start) => bytes.starts_with(start),
            Matcher::Suffix(end) => {
                bytes.ends_with(end) || end.strip_prefix(b"/").is_some_and(|end| bytes == end)
            }
            Matcher::Regex(regex) => regex.matches(&path.chars),
            Matcher::Invalid => return Err(IgnoreError::Syntax(self.text.clone())),
        })
    }

    /// The path of a pattern that matches only it or what is in it; `None` for other patterns.
    pub(super) fn plain_start(&self) -> Option<&[u8]> {
        let start = self.text.strip_suffix("/**").unwrap_or(&self.text);
        let start = start.strip_suffix("/*").unwrap_or(start);
        (!start.contains(WILDCARDS)).then_some(start.as_bytes())
    }
}

/// Whether classes and escapes are complete.
fn is_well_formed(pattern: &str) -> bool {
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        let is_complete = match c {
            '\\' => rest.next().is_some(),
            '[' => skip_class(&mut rest).is_some(),
            _ => true,
        };
        if !is_complete {
            return false;
        }
    }
    true
}

/// Reads a class to its closing bracket; `None` if it is malformed.
fn skip_class(rest: &mut std::str::Chars<'_>) -> Option<()> {
    if rest.as_str().starts_with('^') {
        rest.next();
    }
    let mut is_empty = true;
    loop {
        if !is_empty && rest.as_str().starts_with(']') {
            rest.next();
            return Some(());
        }
        skip_class_char(rest)?;
        if rest.as_str().starts_with('-') {
            rest.next();
            skip_class_char(rest)?;
        }
        is_empty = false;
    }
}

/// Reads one character of a class, which cannot be the last one of the pattern.
fn skip_class_char(rest: &mut std::str::Chars<'_>) -> Option<()> {
    match rest.next()? {
        '-' | ']' => return None,
        '\\' => drop(rest.next()?),
        _ => {}
    }
    (!rest.as_str().is_empty()).then_some(())
}
