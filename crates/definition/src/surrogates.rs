//! Characters that JSON writes as two escapes, which YAML does not know.
//!
//! JSON encoders write a character beyond U+FFFF as a surrogate pair, such as `\ud83d\udc33`. YAML has
//! `\U0001F433` for it. Only double-quoted text has escapes, and only the parser knows where such text
//! begins, so the pairs are replaced from the beginning of a text that the parser refused.

use crate::error::Position;

/// The characters that a replaced pair is shorter.
const SHORTER: usize = 2;

/// A text whose surrogate pairs are replaced as far as necessary.
pub(crate) struct Repaired {
    pub(crate) text: String,
    /// The positions of the replaced pairs, in the repaired text.
    replaced: Vec<Position>,
}

impl Repaired {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            replaced: Vec::new(),
        }
    }

    /// The position in the file of a position in the repaired text.
    pub(crate) fn original(&self, position: Position) -> Position {
        // The list is in order, because each call continues after the one before.
        let before = |line: usize, column: usize| {
            let is_before = |pair: &Position| (pair.line, pair.column) < (line, column);
            self.replaced.partition_point(is_before)
        };
        let on_line = before(position.line, position.column) - before(position.line, 0);
        Position {
            column: position.column + SHORTER * on_line,
            ..position
        }
    }

    /// Replaces the pairs in the double-quoted text that begins at `start`, and in a file that is one
    /// flow mapping, as JSON is, in all texts after it. Returns false if there are none.
    pub(crate) fn replace_from(&mut self, start: Position) -> bool {
        let Some(from) = offset(&self.text, start) else {
            return false;
        };
        let (before, rest) = self.text.split_at(from);
        // Elsewhere, quotes have other meanings, too.
        let is_flow = before.trim_start().starts_with('{');
        let mut repaired = before.to_owned();
        let mut at = start;
        let mut replaced = Vec::new();
        let mut quote: Option<char> = None;
        // The last character that is not a space, outside of texts.
        let mut last = ':';
        let mut rest = rest.chars();
        while let Some(c) = rest.next() {
            let mut copied = c.to_string();
            match (quote, c) {
                (Some('"'), '\\') => {
                    if let Some(pair) = pair(rest.as_str()) {
                        // The rest of both escapes.
                        rest.nth(10);
                        copied = format!("\\U{:08X}", u32::from(pair));
                        replaced.push(at);
                    } else {
                        copied.extend(rest.next());
                    }
                }
                (Some(open), c) if open == c => {
                    quote = None;
                    last = c;
                    if !is_flow {
                        repaired.push(c);
                        break;
                    }
                }
                (Some(_), _) => {}
                // A quote inside of a plain text is an ordinary character.
                (None, '"' | '\'') if matches!(last, ':' | ',' | '[' | '{') => quote = Some(c),
                (None, c) if !c.is_whitespace() => last = c,
                (None, _) => {}
            }
            for c in copied.chars() {
                if c == '\n' {
                    at = Position {
                        line: at.line + 1,
                        column: 1,
                    };
                } else {
                    at.column += 1;
                }
            }
            repaired.push_str(&copied);
        }
        repaired.push_str(rest.as_str());
        if replaced.is_empty() {
            return false;
        }
        self.replaced.extend(replaced);
        self.text = repaired;
        true
    }
}

/// The character of the surrogate pair whose first backslash precedes `text`.
fn pair(text: &str) -> Option<char> {
    let unit = |text: &str| u16::from_str_radix(text, 16).ok();
    let is_hex = |text: &&str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let high = text.strip_prefix('u')?.get(..4).filter(is_hex)?;
    let low = text
        .get(5..)?
        .strip_prefix("\\u")?
        .get(..4)
        .filter(is_hex)?;
    let units = [unit(high)?, unit(low)?];
    let is_pair = (0xD800..0xDC00).contains(&units[0]) && (0xDC00..0xE000).contains(&units[1]);
    let mut decoded = char::decode_utf16(units);
    decoded.next().filter(|_| is_pair)?.ok()
}

/// The offset of a position, in bytes.
fn offset(text: &str, position: Position) -> Option<usize> {
    let mut lines = text.split_inclusive('\n');
    let before: usize = (&mut lines).take(position.line - 1).map(str::len).sum();
    let line = lines.next()?;
    let mut columns = line.char_indices().map(|(at, _)| at);
    Some(before + columns.nth(position.column - 1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Position = Position { line: 1, column: 1 };

    fn position(line: usize, column: usize) -> Position {
        Position { line, column }
    }

    #[test]
    fn pairs_in_the_text_are_replaced_and_positions_are_kept() {
        let mut repaired =
            Repaired::new("a: \"x\\ud83d\\uDC33\\\\ud83d\\udc33\" # \\ud83d\\udc33\n");
        assert!(repaired.replace_from(position(1, 4)));
        assert_eq!(
            repaired.text,
            "a: \"x\\U0001F433\\\\ud83d\\udc33\" # \\ud83d\\udc33\n"
        );
        assert_eq!(repaired.original(position(1, 6)), position(1, 6));
        assert_eq!(repaired.original(position(1, 20)), position(1, 22));
        assert_eq!(repaired.original(position(2, 20)), position(2, 20));
        // The second sequence is a backslash and letters.
        assert!(!repaired.replace_from(position(1, 4)));
    }

    #[test]
    fn half_pairs_and_other_text_stay() {
        for text in [
            "\"\\ud83d\"",
            "\"\\ud83d\\u0041\"",
            "\"\\udc33\\ud83d\"",
            "\"\\ud83d",
            "\"\\u+83d\\udc33\"",
            "\"é\\",
        ] {
            assert!(!Repaired::new(text).replace_from(START), "{text}");
        }
        assert!(!Repaired::new("x").replace_from(position(7, 7)));
    }

    #[test]
    fn a_file_that_is_a_flow_mapping_is_repaired_as_a_whole() {
        let mut repaired =
            Repaired::new("{\"a\": \"\\ud83d\\udc33\",\n 'b': [it\"s, \"\\ud83d\\udc33\"]}");
        assert!(repaired.replace_from(position(1, 7)));
        assert_eq!(
            repaired.text,
            "{\"a\": \"\\U0001F433\",\n 'b': [it\"s, \"\\U0001F433\"]}"
        );
    }
}
