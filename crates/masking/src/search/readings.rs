//! What the bytes at one place of the output may stand for: percent-encoding, the escapes of JSON,
//! Go, C and shells, HTML entities, and quotes.
//!
//! Each reading stands alone: a text may mix encodings, and may be encoded twice.

/// The longest run of backslashes that is read as one escape: a text that was encoded three times.
const MAX_BACKSLASHES: usize = 8;
/// The longest HTML entity, without `&` and `;`.
const MAX_ENTITY: usize = 10;

/// One way to read the text: `length` bytes of it stand for `bytes`, or for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    bytes: [u8; 4],
    count: u8,
    /// At most the length of two long escapes.
    length: u8,
}

impl Reading {
    fn byte(byte: u8, length: usize) -> Self {
        Self {
            bytes: [byte, 0, 0, 0],
            count: 1,
            length: length as u8,
        }
    }

    fn char(code: u32, length: usize) -> Option<Self> {
        let mut bytes = [0; 4];
        let count = char::from_u32(code)?.encode_utf8(&mut bytes).len() as u8;
        let length = length as u8;
        Some(Self {
            bytes,
            count,
            length,
        })
    }

    fn nothing(length: usize) -> Self {
        Self {
            bytes: [0; 4],
            count: 0,
            length: length as u8,
        }
    }

    /// The number of bytes that are read.
    pub(crate) fn length(&self) -> usize {
        usize::from(self.length)
    }

    /// The bytes that the text stands for.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.count)]
    }
}

/// Whether the byte may be the start of an escape.
pub(crate) fn is_special(byte: u8) -> bool {
    matches!(byte, b'%' | b'+' | b'\\' | b'&' | b'\'' | b'"')
}

/// Whether the byte need not be the first one of a secret that is written there: terminals add carriage
/// returns.
pub(crate) fn is_escape(byte: u8) -> bool {
    is_special(byte) || byte == b'\r'
}

/// All ways to read one place.
#[derive(Debug)]
pub(crate) struct Readings {
    list: [Reading; 8],
    count: usize,
    /// The text ends inside an escape, so that more text may add a reading.
    pub(crate) is_open: bool,
}

impl Readings {
    /// Reads the start of `text`, which must not be empty. The first reading is the byte itself.
    pub(crate) fn of(text: &[u8]) -> Self {
        let first = text[0];
        let mut readings = Self {
            list: [Reading::byte(first, 1); 8],
            count: 1,
            is_open: false,
        };
        match first {
            b'%' => readings.percent(text),
            b'+' => readings.add(Some(Reading::byte(b' ', 1))),
            b'\\' => readings.backslash(text),
            b'&' => readings.entity(text, 0, 0),
            b'\'' | b'"' => readings.quotes(text),
            b'\r' => readings.add(Some(Reading::nothing(1))),
            _ => {}
        }
        readings
    }

    /// The readings, of which the first is the byte itself.
    pub(crate) fn list(&self) -> &[Reading] {
        &self.list[..self.count]
    }

    fn add(&mut self, reading: Option<Reading>) {
        if let Some(reading) = reading
            && let Some(free) = self.list.get_mut(self.count)
        {
            *free = reading;
            self.count += 1;
        }
    }

    /// `%2f`, and `%252f` if the text was encoded twice.
    fn percent(&mut self, text: &[u8]) {
        let mut at = 1;
        for _ in 0..3 {
            match number(text, at, 2, 16) {
                Digits::Missing => return,
                Digits::Open => return self.is_open = true,
                Digits::Value(code) => self.add(Some(Reading::byte(code as u8, at + 2))),
            }
            if text.get(at..at + 2) != Some(b"25") {
                return;
            }
            at += 2;
        }
    }

    fn backslash(&mut self, text: &[u8]) {
        let run = text.iter().take(MAX_BACKSLASHES + 1);
        let run = run.take_while(|byte| **byte == b'\\').count();
        for length in [2, 4, 8] {
            if run >= length {
                self.add(Some(Reading::byte(b'\\', length)));
            }
        }
        if run > MAX_BACKSLASHES {
            return;
        }
        let body = &text[run..];
        let Some(letter) = body.first() else {
            return self.is_open = true;
        };
        let control = match letter {
            b'a' => 7,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 11,
            b'f' => 12,
            b'r' => b'\r',
            b'e' | b'E' => 27,
            b'x' => return self.code(body, run, 2),
            b'u' if body.get(1) == Some(&b'{') => return self.braces(body, run),
            b'u' => return self.utf16(text, run),
            b'U' => return self.code(body, run, 8),
            b'0'..=b'7' => return self.octal(body, run),
            b'\'' => {
                self.add(Some(Reading::byte(b'\'', run + 1)));
                // Shells open the next quotes immediately.
                if body.get(1) == Some(&b'\'') {
                    self.add(Some(Reading::byte(b'\'', run + 2)));
                }
                return;
            }
            // Shells escape any other character like this.
            other if !other.is_ascii_alphanumeric() && *other != b'\n' => *other,
            _ => return,
        };
        self.add(Some(Reading::byte(control, run + 1)));
    }

    /// `\x2f` is a byte, and `\U0000002f` is a character.
    fn code(&mut self, body: &[u8], run: usize, digits: usize) {
        match number(body, 1, digits, 16) {
            Digits::Missing => {}
            Digits::Open => self.is_open = true,
            Digits::Value(code) if digits == 2 => {
                self.add(Some(Reading::byte(code as u8, run + 3)));
            }
            Digits::Value(code) => self.add(Reading::char(code, run + 1 + digits)),
        }
    }

    /// `\057`, or `\0` before something that is no digit.
    fn octal(&mut self, body: &[u8], run: usize) {
        match number(body, 0, 3, 8) {
            Digits::Open => self.is_open = true,
            Digits::Value(code) => {
                if let Ok(byte) = u8::try_from(code) {
                    self.add(Some(Reading::byte(byte, run + 3)));
                }
            }
            Digits::Missing if body[0] == b'0' => self.add(Some(Reading::byte(0, run + 1))),
            Digits::Missing => {}
        }
    }

    /// `\u{2f}`, as Rust and JavaScript write it.
    fn braces(&mut self, body: &[u8], run: usize) {
        let digits = body[2..].iter().take_while(|byte| byte.is_ascii_hexdigit());
        let digits = digits.take(7).count();
        match body.get(2 + digits) {
            None => self.is_open = true,
            Some(b'}') => {
                if let Digits::Value(code) = number(body, 2, digits, 16) {
                    self.add(Reading::char(code, run + 3 + digits));
                }
            }
            Some(_) => {}
        }
    }

    /// `\u002f`, and `\ud83d\ude00` for one character.
    fn utf16(&mut self, text: &[u8], run: usize) {
        let first = match number(text, run + 1, 4, 16) {
            Digits::Missing => return,
            Digits::Open => return self.is_open = true,
            Digits::Value(code) => code,
        };
        if !(0xd800..0xdc00).contains(&first) {
            return self.add(Reading::char(first, run + 5));
        }
        let next = run + 5;
        let marks = &text[next..(next + run + 1).min(text.len())];
        let is_mark = |(at, byte): (usize, &u8)| *byte == if at < run { b'\\' } else { b'u' };
        if !marks.iter().enumerate().all(is_mark) {
            return;
        }
        match number(text, next + run + 1, 4, 16) {
            Digits::Missing => {}
            Digits::Open => self.is_open = true,
            Digits::Value(second) if (0xdc00..0xe000).contains(&second) => {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                self.add(Reading::char(code, next + run + 5));
            }
            Digits::Value(_) => {}
        }
    }

    /// `&lt;`, `&#60;` and `&#x3c;`. `from` is where the name begins, without an `&` that was
    /// encoded again.
    fn entity(&mut self, text: &[u8], from: usize, depth: usize) {
        let name = &text[from.max(1)..];
        let length = name.iter().take(MAX_ENTITY + 1);
        let length = length.take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'#');
        let length = length.count();
        match name.get(length) {
            _ if length > MAX_ENTITY => return,
            None => return self.is_open = true,
            Some(b';') => {}
            _ => return,
        }
        let end = from.max(1) + length + 1;
        let name = &name[..length];
        let code = match name {
            [b'#', b'x' | b'X', digits @ ..] => parse(digits, 16),
            [b'#', digits @ ..] => parse(digits, 10),
            _ => named(name),
        };
        if let Some(code) = code {
            self.add(Reading::char(code, end));
            if code == u32::from(b'&') && depth < 2 {
                if text.len() == end {
                    self.is_open = true;
                } else {
                    self.entity(text, end, depth + 1);
                }
            }
        }
    }

    /// `'\''` is a quote in a shell. Other quotes end one quoted part and begin the next.
    fn quotes(&mut self, text: &[u8]) {
        let known: [(&[u8], Reading); 5] = [
            (b"'\\''", Reading::byte(b'\'', 4)),
            (b"'$'", Reading::nothing(3)),
            (b"''", Reading::nothing(2)),
            (b"'\"", Reading::nothing(2)),
            (b"\"'", Reading::nothing(2)),
        ];
        for (quotes, reading) in known {
            if text.starts_with(quotes) {
                self.add(Some(reading));
            } else if quotes.starts_with(text) {
                self.is_open = true;
            }
        }
    }
}

/// What is where a number with a fixed count of digits is expected.
enum Digits {
    Missing,
    /// The text ends before the last digit.
    Open,
    Value(u32),
}

fn number(text: &[u8], at: usize, count: usize, radix: u32) -> Digits {
    let digits = &text[at.min(text.len())..(at + count).min(text.len())];
    if digits.is_empty() {
        return if count == 0 {
            Digits::Missing
        } else {
            Digits::Open
        };
    }
    match parse(digits, radix) {
        None => Digits::Missing,
        Some(_) if digits.len() < count => Digits::Open,
        Some(value) => Digits::Value(value),
    }
}

fn parse(digits: &[u8], radix: u32) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u32, |value, byte| {
        let digit = char::from(*byte).to_digit(radix)?;
        value.checked_mul(radix)?.checked_add(digit)
    })
}

/// The characters of HTML entities that tools write.
fn named(name: &[u8]) -> Option<u32> {
    let character = match name.to_ascii_lowercase().as_slice() {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        b"nbsp" => '\u{a0}',
        b"tab" => '\t',
        b"newline" => '\n',
        b"excl" => '!',
        b"num" => '#',
        b"dollar" => '$',
        b"percnt" => '%',
        b"lpar" => '(',
        b"rpar" => ')',
        b"ast" => '*',
        b"plus" => '+',
        b"comma" => ',',
        b"period" => '.',
        b"sol" => '/',
        b"colon" => ':',
        b"semi" => ';',
        b"equals" => '=',
        b"quest" => '?',
        b"commat" => '@',
        b"lsqb" | b"lbrack" => '[',
        b"bsol" => '\\',
        b"rsqb" | b"rbrack" => ']',
        b"hat" => '^',
        b"lowbar" => '_',
        b"grave" => '`',
        b"lcub" | b"lbrace" => '{',
        b"vert" | b"verbar" => '|',
        b"rcub" | b"rbrace" => '}',
        _ => return None,
    };
    Some(u32::from(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an escape, which is the whole text, stands for.
    fn read(text: &str) -> Vec<String> {
        let readings = Readings::of(format!("{text} ").as_bytes());
        let whole = readings
            .list()
            .iter()
            .filter(|reading| reading.length() == text.len());
        whole
            .map(|reading| String::from_utf8_lossy(reading.bytes()).into_owned())
            .collect()
    }

    #[test]
    fn escapes_stand_for_their_characters() {
        for (text, meant) in [
            ("%2f", "/"),
            ("%2F", "/"),
            ("%252f", "/"),
            ("%25252f", "/"),
            ("\\/", "/"),
            ("\\\"", "\""),
            ("\\\\\\\"", "\""),
            ("\\n", "\n"),
            ("\\\\n", "\n"),
            ("\\\\", "\\"),
            ("\\\\\\\\", "\\"),
            ("\\u002F", "/"),
            ("\\\\u002f", "/"),
            ("\\ud83d\\ude00", "😀"),
            ("\\U0001f600", "😀"),
            ("\\u{1F600}", "😀"),
            ("\\x2f", "/"),
            ("\\057", "/"),
            ("\\ ", " "),
            ("\\@", "@"),
            ("\\a", "\x07"),
            ("\\''", "'"),
            ("'\\''", "'"),
            ("''", ""),
            ("'$'", ""),
            ("'\"", ""),
            ("&lt;", "<"),
            ("&#60;", "<"),
            ("&#x3C;", "<"),
            ("&#039;", "'"),
            ("&amp;lt;", "<"),
            ("&amp;#34;", "\""),
            ("&sol;", "/"),
            ("+", " "),
        ] {
            assert!(
                read(text).contains(&meant.to_owned()),
                "{text}: {:?}",
                read(text)
            );
        }
        for text in [
            "%2",
            "%zz",
            "\\q",
            "&nothing;",
            "&lt",
            "\\u12",
            "\\xg1",
            "a",
        ] {
            let readings = Readings::of(format!("{text} ").as_bytes());
            assert_eq!(readings.list().len(), 1, "{text}: {readings:?}");
            assert!(!readings.is_open, "{text}");
        }
    }

    #[test]
    fn an_escape_is_open_until_it_is_complete() {
        for text in [
            "%2f",
            "%252f",
            "\\\"",
            "\\\\n",
            "\\u002f",
            "\\ud83d\\ude00",
            "\\\\ud83d\\\\ude00",
            "\\U0001f600",
            "\\u{1f600}",
            "\\x2f",
            "\\057",
            "'\\''",
            "'$'",
            "&quot;",
            "&#x3c;",
            "&amp;lt;",
        ] {
            for end in 1..text.len() {
                let part = &text.as_bytes()[..end];
                // Some are complete before that, and more may follow.
                let readings = Readings::of(part);
                assert!(
                    readings.is_open
                        || readings.list().iter().any(|r| r.length() == end && end > 1),
                    "{:?}",
                    String::from_utf8_lossy(part)
                );
            }
        }
    }
}
