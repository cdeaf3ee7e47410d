//! A secret in plain text, hexadecimal and base64, one character at a time.

use crate::texts::MIN_SECRET;

/// The shortest text that is found across line breaks inside its encoded form, in bytes.
const MIN_WRAPPED: usize = 16;
/// The first characters of a form contain no line break, and its encoded forms no other separator
/// that an anchor does not have: they are what is searched for.
pub(crate) const MAX_AREA: usize = 7;
/// How many characters are in every line of an encoded form, except for the last one.
const MIN_RESUMED: u8 = 8;
/// The longest prefix of a line that is skipped after such a line break, in bytes.
const MAX_PREFIX: u8 = 64;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// How the bytes of a secret are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Hex,
    /// Base64 in which so many bits of the secret share a character with the bytes before it. That
    /// character and the last one, if it is shared too, are no part of the form.
    Base64(u8),
}

impl Form {
    /// Every form.
    pub(crate) const ALL: [Self; 5] = [
        Self::Plain,
        Self::Hex,
        Self::Base64(0),
        Self::Base64(2),
        Self::Base64(4),
    ];
}

/// What was read since the last character of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    None,
    /// One separator or one change of quotes.
    Once,
    /// A line break; up to so many bytes may follow that are the prefix of a line.
    Prefix(u8),
    /// A line break, its prefix, and so many characters, after which no other line break may follow:
    /// a line of other output may end with the character that is expected.
    Resumed(u8),
}

impl Gap {
    /// What follows a character of an encoded form.
    fn after_char(self) -> Self {
        match self {
            Self::Prefix(_) => Self::Resumed(1),
            Self::Resumed(count) if count < MIN_RESUMED => Self::Resumed(count + 1),
            _ => Self::None,
        }
    }

    /// Whether the last byte that was read certainly is a character of the form. A few characters after
    /// the prefix of a line may be those of other output.
    pub(crate) fn is_char(self) -> bool {
        self == Self::None
    }
}

/// A text in one form.
#[derive(Clone, Copy)]
pub(crate) struct Pattern<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) form: Form,
}

impl Pattern<'_> {
    /// The number of characters.
    pub(crate) fn len(self) -> usize {
        match self.form {
            Form::Plain => self.text.len(),
            Form::Hex => self.text.len() * 2,
            Form::Base64(skipped) => (self.text.len() * 8 - usize::from(skipped)) / 6,
        }
    }

    /// The character at `index`, as most tools write it.
    pub(crate) fn char(self, index: usize) -> u8 {
        match self.form {
            Form::Plain => self.text[index],
            Form::Hex => b"0123456789abcdef"[usize::from(self.value(index))],
            Form::Base64(_) => STANDARD[usize::from(self.value(index))],
        }
    }

    /// The number of secret bytes in so many characters.
    pub(crate) fn bytes_in(self, chars: usize) -> usize {
        match self.form {
            Form::Plain => chars,
            Form::Hex => chars / 2,
            Form::Base64(_) => chars * 6 / 8,
        }
    }

    /// The number that the character at `index` stands for.
    fn value(self, index: usize) -> u8 {
        match self.form {
            Form::Plain => self.text[index],
            Form::Hex => {
                let byte = self.text[index / 2];
                if index.is_multiple_of(2) {
                    byte >> 4
                } else {
                    byte & 15
                }
            }
            Form::Base64(skipped) => {
                let bit = usize::from(skipped) + index * 6;
                let first = u16::from(self.text[bit / 8]);
                let second = self.text.get(bit / 8 + 1).copied().unwrap_or(0);
                let both = first << 8 | u16::from(second);
                (both >> (10 - bit % 8)) as u8 & 63
            }
        }
    }

    /// Reads `byte` where the character at `index` is expected. Returns the index that is expected
    /// next, or `None` if the byte does not fit.
    pub(crate) fn step(self, index: usize, gap: Gap, byte: u8) -> Option<(usize, Gap)> {
        match self.form {
            Form::Plain => self.step_plain(index, gap, byte),
            Form::Hex => {
                let digit = (byte as char).to_digit(16);
                if digit == Some(u32::from(self.value(index))) {
                    return Some((index + 1, gap.after_char()));
                }
                let is_between = index > 0 && index.is_multiple_of(2);
                let known: &[u8] = if index >= MAX_AREA { b" :\r\n" } else { b" :" };
                is_between.then(|| self.separator(index, gap, byte, known))?
            }
            Form::Base64(_) => {
                if sextet(byte) == Some(self.value(index)) {
                    return Some((index + 1, gap.after_char()));
                }
                let is_between = index >= MAX_AREA;
                is_between.then(|| self.separator(index, gap, byte, b" \r\n"))?
            }
        }
    }

    /// Whether shells may change the quotes before the character at `index`.
    pub(crate) fn may_change_quotes(self, index: usize) -> bool {
        let is_quoted = |index: usize| self.text.get(index).is_some_and(|byte| is_quoted(*byte));
        self.form == Form::Plain && index > 0 && (is_quoted(index - 1) || is_quoted(index))
    }

    fn step_plain(self, index: usize, gap: Gap, byte: u8) -> Option<(usize, Gap)> {
        let expected = self.text[index];
        let is_break = |at: usize| self.text.get(at) == Some(&b'\n');
        if byte == expected {
            return Some((index + 1, self.after_plain(index + 1, byte)));
        }
        // Terminals add a carriage return to each line, and editors remove it. The shell prints the
        // lines of an unquoted variable as words.
        let length = match expected {
            b'\n' if byte == b'\r' && gap == Gap::None => return Some((index, Gap::Once)),
            b'\n' => 1,
            b'\r' if is_break(index + 1) => 2,
            _ => return None,
        };
        let next = index + length;
        matches!(byte, b' ' | b'\n').then(|| (next, self.after_plain(next, byte)))
    }

    /// What may follow a byte of the secret: the next line may have a prefix.
    fn after_plain(self, next: usize, byte: u8) -> Gap {
        if byte == b'\n' && next > MAX_AREA && self.may_have_prefix(next) {
            Gap::Prefix(MAX_PREFIX)
        } else {
            Gap::None
        }
    }

    /// One separator or one line break is skipped, and then another character must follow.
    fn separator(self, index: usize, gap: Gap, byte: u8, known: &[u8]) -> Option<(usize, Gap)> {
        if !known.contains(&byte) {
            return None;
        }
        match gap {
            Gap::Prefix(_) => None,
            Gap::Resumed(_) if byte == b'\n' => None,
            _ if byte == b'\n' && self.may_have_prefix(index) => {
                Some((index, Gap::Prefix(MAX_PREFIX)))
            }
            Gap::None | Gap::Resumed(_) => Some((index, Gap::Once)),
            Gap::Once => None,
        }
    }

    /// Whether the line with the character at `index` may have any prefix. The rest of the secret must
    /// be so long that it does not occur in another line by chance.
    fn may_have_prefix(self, index: usize) -> bool {
        self.may_be_wrapped() && self.bytes_in(self.len().saturating_sub(index)) >= MIN_SECRET
    }

    /// Whether it is so long that tools break its encoded form into lines.
    pub(crate) fn may_be_wrapped(self) -> bool {
        self.text.len() >= MIN_WRAPPED
    }
}

/// Whether shells write this byte in other quotes than the bytes around it.
pub(crate) fn is_quoted(byte: u8) -> bool {
    byte == b'\'' || !(b' '..=b'~').contains(&byte)
}

/// The number that a character of either base64 alphabet stands for.
fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn characters_are_those_of_the_encoders() {
        let text = b"p@ss \"word/1~?\xff\xfe";
        let chars = |form| {
            let pattern = Pattern { text, form };
            (0..pattern.len())
                .map(|index| char::from(pattern.char(index)))
                .collect::<String>()
        };
        assert_eq!(chars(Form::Hex), "704073732022776f72642f317e3ffffe");
        for (before, skipped, first) in [("", 0, 0), ("a", 4, 2), ("ab", 2, 3)] {
            let whole = STANDARD.encode([before.as_bytes(), text].concat());
            let form = chars(Form::Base64(skipped));
            assert_eq!(form, whole[first..first + form.len()], "{before}");
        }
    }
}
