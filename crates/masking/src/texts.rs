//! What is searched for: each secret, and each line of a secret with several lines.

use std::fmt;

/// The shortest secret that is masked, in bytes. Shorter ones occur in any text by chance, and the
/// masks would reveal them to readers of the trace.
pub const MIN_SECRET: usize = 4;
/// The shortest line of a secret that is masked by itself, in bytes. Shorter lines are words such as
/// `users:`, which occur in any output.
pub const MIN_LINE: usize = 8;
/// The shortest part between two `\n` in a one-line secret that is masked by itself, in bytes: JSON
/// documents contain private keys like this.
const MIN_ESCAPED_LINE: usize = 32;
/// The most bytes and texts that are searched for. The index of more would need too much memory.
const MAX_BYTES: usize = 64 << 20;
const MAX_TEXTS: usize = 1 << 20;

/// Why a secret is not masked, or not completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortfall {
    /// The whole secret is too short.
    Secret,
    /// So many lines of it are too short to be masked by themselves.
    Lines(usize),
}

impl Shortfall {
    /// What is missing if `secret` is to be masked; `None` if everything is masked or it is empty.
    pub fn of(secret: &str) -> Option<Self> {
        let text = secret.trim_ascii();
        if text.is_empty() {
            return None;
        }
        if text.len() < MIN_SECRET {
            return Some(Self::Secret);
        }
        if !text.contains(['\n', '\r']) {
            return None;
        }
        let lines = text.split(['\n', '\r']).map(str::trim_ascii);
        // Lines of a document such as `},` are no loss.
        let is_short = |line: &&str| {
            let letters = line.bytes().filter(u8::is_ascii_alphanumeric);
            line.len() < MIN_LINE && letters.count() >= MIN_SECRET
        };
        match lines.filter(is_short).count() {
            0 => None,
            count => Some(Self::Lines(count)),
        }
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret => write!(
                f,
                "shorter than {MIN_SECRET} bytes, and is not masked in traces"
            ),
            Self::Lines(count) => {
                let lines = if *count == 1 { "line" } else { "lines" };
                write!(
                    f,
                    "a text with {count} {lines} shorter than {MIN_LINE} bytes, \
                     which are not masked in traces unless the whole text is printed"
                )
            }
        }
    }
}

/// One text to search for: a part of [`Texts::bytes`].
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    length: u32,
}

/// All texts to search for. Every secret is held once; its lines are parts of it.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    /// The whole secrets, and then the lines.
    spans: Vec<Span>,
}

impl Texts {
    /// Collects the secrets and their lines. `None` if they are too many or too large to search for.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut secrets: Vec<&[u8]> = secrets
            .into_iter()
            .map(|secret| secret.as_bytes().trim_ascii())
            .filter(|secret| secret.len() >= MIN_SECRET)
            .collect();
        secrets.sort_unstable();
        secrets.dedup();
        if secrets.iter().map(|secret| secret.len()).sum::<usize>() > MAX_BYTES {
            return None;
        }
        let mut texts = Self::default();
        for secret in &secrets {
            let start = texts.bytes.len();
            texts.bytes.extend_from_slice(secret);
            texts.add(start, secret.len())?;
        }
        let whole = texts.spans.len();
        for at in 0..whole {
            let Span { start, length } = texts.spans[at];
            texts.add_lines(start as usize, length as usize)?;
        }
        // Many files have lines in common, and each would be searched for again.
        let Self { bytes, spans } = &mut texts;
        let text =
            |span: &Span| &bytes[span.start as usize..span.start as usize + span.length as usize];
        let mut lines = spans.split_off(whole);
        lines.sort_unstable_by(|one, other| text(one).cmp(text(other)));
        lines.dedup_by(|one, other| text(one) == text(other));
        lines.retain(|line| secrets.binary_search(&text(line)).is_err());
        spans.extend(lines);
        Some(texts)
    }

    fn add(&mut self, start: usize, length: usize) -> Option<()> {
        if self.spans.len() >= MAX_TEXTS {
            return None;
        }
        self.spans.push(Span {
            start: u32::try_from(start).ok()?,
            length: u32::try_from(length).ok()?,
        });
        Some(())
    }

    fn add_lines(&mut self, start: usize, length: usize) -> Option<()> {
        let mut parts = Vec::new();
        let secret = &self.bytes[start..start + length];
        let mut add = |part: &[u8], least: usize, offset: usize| {
            let before = part.len() - part.trim_ascii_start().len();
            let length = part.trim_ascii().len();
            if length >= least {
                parts.push((start + offset + before, length));
            }
        };
        let mut offset = 0;
        for line in secret.split(|byte| matches!(byte, b'\n' | b'\r')) {
            if line.len() < length {
                add(line, MIN_LINE, offset);
            }
            let mut within = offset;
            let mut rest = line;
            while let Some(end) = memchr::memmem::find(rest, b"\\n") {
                add(&rest[..end], MIN_ESCAPED_LINE, within);
                rest = &rest[end + 2..];
                within += end + 2;
            }
            if within > offset {
                add(rest, MIN_ESCAPED_LINE, within);
            }
            offset += line.len() + 1;
        }
        for (start, length) in parts {
            self.add(start, length)?;
        }
        Some(())
    }

    /// How many texts there are.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The text at `index`.
    pub(crate) fn get(&self, index: u32) -> &[u8] {
        let Span { start, length } = self.spans[index as usize];
        &self.bytes[start as usize..start as usize + length as usize]
    }

    /// The lengths of all texts, in bytes.
    pub(crate) fn lengths(&self) -> impl Iterator<Item = usize> {
        self.spans.iter().map(|span| span.length as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(secrets: &[&str]) -> Vec<String> {
        let texts = Texts::new(secrets.iter().copied()).unwrap();
        (0..texts.len() as u32)
            .map(|index| String::from_utf8_lossy(texts.get(index)).into_owned())
            .collect()
    }

    #[test]
    fn long_lines_are_texts_of_their_own() {
        assert_eq!(
            texts(&[
                "  first line\r\n short\n\tanother line\n",
                "abc",
                "another line"
            ]),
            [
                "another line",
                "first line\r\n short\n\tanother line",
                "first line"
            ]
        );
        let key = format!(
            "{{\"key\": \"{}\\n{}\\n\"}}",
            "a".repeat(40),
            "b".repeat(40)
        );
        let lines = texts(&[&key]);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[1], "b".repeat(40));
    }

    #[test]
    fn more_than_can_be_searched_for_is_reported() {
        let large = "a".repeat(MAX_BYTES + 1);
        assert!(Texts::new([large.as_str()]).is_none());
    }

    #[test]
    fn a_shortfall_says_what_is_not_masked() {
        assert_eq!(Shortfall::of(""), None);
        assert_eq!(Shortfall::of("abcd"), None);
        assert_eq!(Shortfall::of("abc"), Some(Shortfall::Secret));
        assert_eq!(Shortfall::of("abc\n\n\n"), Some(Shortfall::Secret));
        assert_eq!(Shortfall::of("a pass word\n\n12345678\n"), None);
        assert_eq!(
            Shortfall::of("user\nhunter2\n12345678"),
            Some(Shortfall::Lines(2))
        );
        assert!(Shortfall::Secret.to_string().contains("4 bytes"));
    }
}
