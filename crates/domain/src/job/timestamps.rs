//! Removes the header that gitlab-runner 18.7 and later writes before each line of a trace.
//!
//! The header is `2026-01-02T03:04:05.123456Z 00O `: a time, two hex digits that number the stream,
//! `O` or `E` for its kind, and a blank. With `+` in place of the blank, the text continues the line
//! before, and the line break in between does not count. A trace has headers if its first line has
//! one; otherwise a line that resembles a header is output like any other.
//!
//! The format is described in `docs/protocols/runner-v4.md#line-headers`.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

/// The form of the time up to its fraction; `d` stands for a digit.
const TIME: &[u8] = b"dddd-dd-ddTdd:dd:dd";
/// The rest of a header: `h` stands for a hex digit, `s` for the kind of stream, `c` for the blank or
/// the mark of a continuation.
const REST: &[u8] = b"Z hhsc";
/// The most digits that a fraction of a second may have.
const MAX_FRACTION: usize = 9;
/// The length from which the runner may break a line, in bytes. Its buffer holds 8 KiB with the
/// header.
const LONG_TEXT: usize = (8 << 10) - 64;

/// Reads a trace piece by piece. It can be stored between two pieces in its text form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampReader(State);

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was read but `held`, which is a header or may be the beginning of one.
    Start { held: String },
    /// The trace has no headers.
    Plain,
    /// Within a line.
    Text {
        /// The length since the last header, up to [`LONG_TEXT`].
        length: usize,
        /// Whether there was a carriage return since the last header.
        has_return: bool,
    },
    /// After a line break that counts unless a continuation follows.
    Break {
        /// What was read after it, which is a header or may be the beginning of one.
        held: String,
        /// Whether the runner may have broken the line by itself.
        is_likely_to_continue: bool,
    },
}

/// Text without headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimedText {
    pub text: Vec<u8>,
    /// The lines that begin in the text and have a time, in order.
    pub times: Vec<LineTime>,
}

/// When a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTime {
    /// Where the line begins in its text, in bytes.
    pub offset: usize,
    pub at: DateTime<Utc>,
}

impl Default for TimestampReader {
    fn default() -> Self {
        Self(State::Start {
            held: String::new(),
        })
    }
}

impl TimestampReader {
    /// A reader for a trace without headers.
    pub fn plain() -> Self {
        Self(State::Plain)
    }

    /// Whether the trace has no headers, so that its text is what the runner sends.
    pub fn is_plain(&self) -> bool {
        self.0 == State::Plain
    }

    /// Reads more bytes. Returns the text that is certain after them.
    pub fn take(&mut self, bytes: &[u8]) -> TimedText {
        let input = [self.take_held().as_bytes(), bytes].concat();
        let mut rest = input.as_slice();
        let mut taken = TimedText::default();
        while !rest.is_empty() {
            rest = self.step(rest, &mut taken);
        }
        taken
    }

    /// The text at the end that is not certain yet. While the job runs (`has_ended` is false) that
    /// is a line break after which no continuation is expected.
    pub fn end(&self, has_ended: bool) -> String {
        let (held, is_break, is_certain) = match &self.0 {
            State::Plain | State::Text { .. } => return String::new(),
            State::Start { held } => (held, false, has_ended),
            State::Break {
                held,
                is_likely_to_continue,
            } => (held, true, has_ended || !is_likely_to_continue),
        };
        let (continues, rest) = match Header::of(held.as_bytes()) {
            Header::Whole { continues, .. } => (continues, ""),
            Header::Partial | Header::Missing => (false, held.as_str()),
        };
        let line_break = if is_break && !continues { "\n" } else { "" };
        if has_ended {
            format!("{line_break}{rest}")
        } else if is_certain {
            line_break.to_owned()
        } else {
            String::new()
        }
    }

    fn take_held(&mut self) -> String {
        match &mut self.0 {
            State::Start { held } | State::Break { held, .. } => std::mem::take(held),
            State::Plain | State::Text { .. } => String::new(),
        }
    }

    /// Reads the beginning of `input` and returns the rest.
    fn step<'a>(&mut self, input: &'a [u8], taken: &mut TimedText) -> &'a [u8] {
        match &mut self.0 {
            State::Plain => {
                taken.text.extend_from_slice(input);
                &[]
            }
            State::Text { length, has_return } => {
                let end = input.iter().position(|byte| *byte == b'\n');
                let (text, rest) = input.split_at(end.unwrap_or(input.len()));
                taken.text.extend_from_slice(text);
                *length = (*length + text.len()).min(LONG_TEXT);
                *has_return |= text.contains(&b'\r');
                if end.is_some() {
                    self.0 = State::Break {
                        is_likely_to_continue: *has_return || *length == LONG_TEXT,
                        held: String::new(),
                    };
                }
                rest.get(1..).unwrap_or_default()
            }
            State::Start { held } | State::Break { held, .. } => match Header::of(input) {
                Header::Partial => {
                    *held = String::from_utf8_lossy(input).into_owned();
                    &[]
                }
                // The time belongs to text, so the header waits for the first byte of it.
                Header::Whole { length, .. } if length == input.len() => {
                    *held = String::from_utf8_lossy(input).into_owned();
                    &[]
                }
                Header::Whole {
                    length,
                    at,
                    continues,
                } => {
                    let is_start = matches!(self.0, State::Start { .. });
                    if !is_start && !continues {
                        taken.text.push(b'\n');
                    }
                    if is_start || !continues {
                        let offset = taken.text.len();
                        taken.times.push(LineTime { offset, at });
                    }
                    self.0 = State::text();
                    input.get(length..).unwrap_or_default()
                }
                Header::Missing if matches!(self.0, State::Start { .. }) => {
                    self.0 = State::Plain;
                    input
                }
                // The runner writes a few notices without a header.
                Header::Missing => {
                    taken.text.push(b'\n');
                    self.0 = State::text();
                    input
                }
            },
        }
    }
}

impl State {
    fn text() -> Self {
        Self::Text {
            length: 0,
            has_return: false,
        }
    }
}

/// What a text begins with.
enum Header {
    Whole {
        /// In bytes.
        length: usize,
        at: DateTime<Utc>,
        continues: bool,
    },
    /// The text is too short to tell.
    Partial,
    Missing,
}

impl Header {
    fn of(text: &[u8]) -> Self {
        let mut end = match matched(TIME, text) {
            Ok(length) => length,
            Err(mismatch) => return mismatch,
        };
        if text.get(end) == Some(&b'.') {
            let digits = text.iter().skip(end + 1);
            let digits = digits.take_while(|byte| byte.is_ascii_digit()).count();
            end += 1 + digits;
            if digits > MAX_FRACTION || (digits == 0 && end < text.len()) {
                return Self::Missing;
            }
        }
        let length = match matched(REST, text.get(end..).unwrap_or_default()) {
            Ok(length) => end + length,
            Err(mismatch) => return mismatch,
        };
        let time = text.get(..=end).and_then(|time| str::from_utf8(time).ok());
        let at = time.and_then(|time| DateTime::parse_from_rfc3339(time).ok());
        at.map_or(Self::Missing, |at| Self::Whole {
            length,
            at: at.to_utc(),
            continues: text.get(length - 1) == Some(&b'+'),
        })
    }
}

/// The length of `form` if `text` begins with it.
fn matched(form: &[u8], text: &[u8]) -> Result<usize, Header> {
    let fits = |(form, byte): (&u8, &u8)| match form {
        b'd' => byte.is_ascii_digit(),
        b'h' => byte.is_ascii_hexdigit(),
        b's' => matches!(byte, b'O' | b'E'),
        b'c' => matches!(byte, b' ' | b'+'),
        _ => form == byte,
    };
    if !form.iter().zip(text).all(fits) {
        Err(Header::Missing)
    } else if text.len() < form.len() {
        Err(Header::Partial)
    } else {
        Ok(form.len())
    }
}

/// The text after the header with which a line begins; the whole line if it has none.
pub fn without_header(line: &[u8]) -> &[u8] {
    match Header::of(line) {
        Header::Whole { length, .. } => line.get(length..).unwrap_or_default(),
        Header::Partial | Header::Missing => line,
    }
}

/// The stored form, which [`TimestampReader::from_str`] reads.
impl fmt::Display for TimestampReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Start { held } => write!(f, "start,{held}"),
            State::Plain => f.write_str("plain"),
            State::Text { length, has_return } => write!(f, "text,{length},{has_return}"),
            State::Break {
                held,
                is_likely_to_continue,
            } => write!(f, "break,{is_likely_to_continue},{held}"),
        }
    }
}

/// The text is not a stored reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the stored form of a timestamp reader")]
pub struct NotAReader;

impl FromStr for TimestampReader {
    type Err = NotAReader;

    fn from_str(text: &str) -> Result<Self, NotAReader> {
        let (word, rest) = text.split_once(',').unwrap_or((text, ""));
        let state = match word {
            "plain" => State::Plain,
            "start" => State::Start {
                held: rest.to_owned(),
            },
            "text" => {
                let (length, has_return) = rest.split_once(',').ok_or(NotAReader)?;
                State::Text {
                    length: length.parse().map_err(|_| NotAReader)?,
                    has_return: has_return.parse().map_err(|_| NotAReader)?,
                }
            }
            "break" => {
                let (is_likely_to_continue, held) = rest.split_once(',').ok_or(NotAReader)?;
                State::Break {
                    held: held.to_owned(),
                    is_likely_to_continue: is_likely_to_continue.parse().map_err(|_| NotAReader)?,
                }
            }
            _ => return Err(NotAReader),
        };
        Ok(Self(state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T1: &str = "2026-01-02T03:04:05.123456Z";
    const T2: &str = "2026-01-02T03:04:06.123456789Z";

    /// Reads pieces of `size` bytes, storing the reader after each, to the end of the job.
    fn read(raw: &[u8], size: usize) -> (String, Vec<(usize, String)>) {
        let (mut reader, mut text, mut times) =
            (TimestampReader::default(), Vec::new(), Vec::new());
        for piece in raw.chunks(size) {
            let taken = reader.take(piece);
            let base = text.len();
            text.extend(taken.text);
            let shown = |time: &LineTime| (base + time.offset, time.at.to_rfc3339());
            times.extend(taken.times.iter().map(shown));
            reader = reader.to_string().parse().unwrap();
        }
        text.extend(reader.end(true).into_bytes());
        (String::from_utf8(text).unwrap(), times)
    }

    #[test]
    fn headers_are_removed_wherever_the_pieces_end() {
        let raw = format!(
            "{T1} 00O one\n{T2} ffE two\r\n{T1} 01O+three\n{T1} 00O+ four\n\
             no header\n\n2026-01-02T03:04\n{T1} 00O {T1} 00O five\n"
        );
        let expected =
            format!("one\ntwo\rthree four\nno header\n\n2026-01-02T03:04\n{T1} 00O five\n");
        let times = [
            (0, "2026-01-02T03:04:05.123456+00:00".to_owned()),
            (4, "2026-01-02T03:04:06.123456789+00:00".to_owned()),
            (
                expected.rfind(T1).unwrap(),
                "2026-01-02T03:04:05.123456+00:00".to_owned(),
            ),
        ];
        for size in 1..=raw.len() {
            let (text, found) = read(raw.as_bytes(), size);
            assert_eq!(text, expected, "{size}");
            assert_eq!(found, times, "{size}");
        }
    }

    #[test]
    fn a_trace_whose_first_line_has_no_header_stays_as_it_is() {
        for raw in [
            format!("Running\n{T1} 00O one\n"),
            format!("{T1} 00X one\n"),
            format!("{T1} 0gO one\n"),
            "2026-13-02T03:04:05.1Z 00O one\n".to_owned(),
            "2026-01-02T03:04:05.Z 00O one\n".to_owned(),
            "2026-01-02T03:04:05.1234567890Z 00O one\n".to_owned(),
            "2026-01".to_owned(),
        ] {
            for size in [1, 7, raw.len()] {
                let (text, times) = read(raw.as_bytes(), size);
                assert_eq!(text, raw);
                assert!(times.is_empty());
            }
        }
    }

    #[test]
    fn a_line_break_is_shown_at_once_unless_the_runner_may_have_broken_the_line() {
        let after = |line: String| {
            let mut reader = TimestampReader::default();
            let text = reader.take(format!("{T1} 00O {line}\n").as_bytes()).text;
            assert_eq!(text, line.as_bytes());
            assert_eq!(reader.end(true), "\n");
            reader.end(false)
        };
        assert_eq!(after("one".to_owned()), "\n");
        assert_eq!(after("50%\r".to_owned()), "");
        assert_eq!(after("x".repeat(8 << 10)), "");
    }

    #[test]
    fn a_header_without_text_is_never_shown() {
        for (raw, text) in [
            (format!("{T1} 00O "), ""),
            (format!("{T1} 00O one\n{T1} 00O "), "one\n"),
            (format!("{T1} 00O one\n{T1} 00O+"), "one"),
            (format!("{T1} 00O one\r\n{T1} 00O "), "one\r\n"),
        ] {
            assert_eq!(read(raw.as_bytes(), 9).0, text, "{raw}");
            let mut reader = TimestampReader::default();
            let mut live = reader.take(raw.as_bytes()).text;
            live.extend(reader.end(false).into_bytes());
            assert!(text.as_bytes().starts_with(&live), "{raw}");
        }
    }

    #[test]
    fn a_single_line_is_read_without_its_header() {
        let line = format!("{T2} 00E+text");
        assert_eq!(without_header(line.as_bytes()), b"text");
        for other in ["", "text", T1] {
            assert_eq!(without_header(other.as_bytes()), other.as_bytes());
        }
    }

    #[test]
    fn other_stored_texts_are_refused() {
        for text in ["", "x", "text,1", "text,x,true", "break,1,", "break"] {
            assert_eq!(text.parse::<TimestampReader>(), Err(NotAReader), "{text}");
        }
    }
}
