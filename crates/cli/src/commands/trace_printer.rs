//! Printing the trace of one job.

use anyhow::Result;
use serde::Serialize;

use crate::commands::Session;

/// A part of a trace, as JSON.
#[derive(Serialize)]
struct TracePart<'a> {
    job: i64,
    offset: u64,
    text: &'a str,
}

/// Prints a trace: unchanged, or as lines of JSON that never split a character.
pub(super) struct TracePrinter {
    job: i64,
    offset: u64,
    /// The start of a character whose rest has not arrived.
    pending: Vec<u8>,
    /// Whether the last line has no end yet.
    is_in_line: bool,
}

impl TracePrinter {
    pub(super) fn new(job: i64) -> Self {
        Self {
            job,
            offset: 0,
            pending: Vec::new(),
            is_in_line: false,
        }
    }

    pub(super) fn print(&mut self, session: &Session, bytes: &[u8]) -> Result<()> {
        if !session.output.is_json() {
            session.output.bytes(bytes)?;
            self.is_in_line = bytes.last().map_or(self.is_in_line, |last| *last != b'\n');
            return Ok(());
        }
        self.pending.extend_from_slice(bytes);
        let whole = whole_characters(&self.pending);
        self.send(session, whole)
    }

    /// Prints the pending bytes.
    pub(super) fn finish(&mut self, session: &Session) -> Result<()> {
        self.send(session, self.pending.len())
    }

    /// Ends the last line, before something else is printed.
    pub(super) fn end_line(&mut self, session: &Session) -> Result<()> {
        if std::mem::take(&mut self.is_in_line) {
            session.output.bytes(b"\n")?;
        }
        Ok(())
    }

    fn send(&mut self, session: &Session, length: usize) -> Result<()> {
        if length == 0 {
            return Ok(());
        }
        let sent: Vec<u8> = self.pending.drain(..length).collect();
        session.output.json_line(&TracePart {
            job: self.job,
            offset: self.offset,
            text: &String::from_utf8_lossy(&sent),
        })?;
        self.offset += length as u64;
        Ok(())
    }
}

/// The number of bytes before a character at the end that is incomplete.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_character_is_not_counted() {
        let text = "aü".as_bytes();
        assert_eq!(whole_characters(text), 3);
        assert_eq!(whole_characters(&text[..2]), 1);
        assert_eq!(whole_characters(b"a\xffb"), 3);
    }
}
