//! The lines of a trace as log entries, one at a time.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use chrono::{DateTime, Utc};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use slipway_domain::timestamps::LineTime;
use slipway_farm::{Farm, FarmError};

use super::entries::LogEntry;
use super::sections::Trace;

/// The maximum length of a line in an entry, in bytes. The rest of it is cut off.
const MAX_LINE: usize = 64 << 10;

/// Splits a trace into lines, wherever the chunks of the trace end.
pub(super) struct Lines {
    trace: Arc<Trace>,
    /// The offset of `rest` in the trace.
    offset: u64,
    /// Bytes that were received and not split yet.
    rest: Bytes,
    /// The beginning of the current line, up to [`MAX_LINE`].
    line: Vec<u8>,
    /// The length of the current line so far, in bytes.
    length: usize,
    /// How many more lines to skip.
    skipped: u64,
    /// How many lines to return after the skipped ones.
    left: u64,
    times: Option<Times>,
}

impl Lines {
    /// The `count` lines after the first `skipped` ones of the trace from `offset` on.
    pub(super) fn new(trace: Arc<Trace>, offset: u64, skipped: u64, count: u64) -> Self {
        Self {
            trace,
            offset,
            rest: Bytes::new(),
            line: Vec::new(),
            length: 0,
            skipped,
            left: count,
            times: None,
        }
    }

    /// Gives each line the time at which it was written, if the trace has times.
    pub(super) fn with_times(mut self, farm: Farm) -> Self {
        self.times = Some(Times {
            farm,
            start: 0,
            times: Vec::new(),
        });
        self
    }

    /// The entries of the lines in these bytes.
    pub(super) fn entries(
        self,
        source: BoxStream<'static, Result<Bytes, FarmError>>,
    ) -> BoxStream<'static, Result<LogEntry, FarmError>> {
        let read = |(mut lines, mut source): (Self, BoxStream<'static, _>)| async move {
            let entry = lines.next(&mut source).await?;
            Ok::<_, FarmError>(entry.map(|entry| (entry, (lines, source))))
        };
        stream::try_unfold((self, source), read).boxed()
    }

    async fn next(
        &mut self,
        source: &mut BoxStream<'static, Result<Bytes, FarmError>>,
    ) -> Result<Option<LogEntry>, FarmError> {
        while self.left > 0 {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                self.take(end + 1);
                if self.skipped == 0 {
                    return Ok(Some(self.finish().await?));
                }
                self.skipped -= 1;
                self.line.clear();
                self.length = 0;
                continue;
            }
            self.take(self.rest.len());
            match source.try_next().await? {
                Some(bytes) => self.rest = bytes,
                // The last line of a trace may lack its line break.
                None if self.length > 0 && self.skipped == 0 => {
                    return Ok(Some(self.finish().await?));
                }
                None => break,
            }
        }
        Ok(None)
    }

    /// Moves `count` bytes of `rest` to the current line.
    fn take(&mut self, count: usize) {
        // Only the shown part is kept in memory: a line of output may be of any length.
        let shown = count.min(MAX_LINE - self.line.len());
        self.line
            .extend_from_slice(self.rest.get(..shown).unwrap_or_default());
        self.rest.advance(count);
        self.length += count;
        self.offset += count as u64;
    }

    /// Completes the current line and returns its entry.
    async fn finish(&mut self) -> Result<LogEntry, FarmError> {
        let begin = self.offset - self.length as u64;
        let written_at = match &mut self.times {
            Some(times) => times.of_line(&self.trace, begin).await?,
            None => None,
        };
        let received_at = || self.trace.received_at(self.offset.saturating_sub(1));
        let at = written_at.unwrap_or_else(received_at);
        // Entries are JSON strings, which hold no other bytes than UTF-8.
        let mut text = String::from_utf8_lossy(&self.line).into_owned();
        let missing = self.length - self.line.len();
        if missing > 0 {
            text.push_str(&format!(" [{missing} bytes more]\n"));
        }
        self.line.clear();
        self.length = 0;
        self.left -= 1;
        Ok(if is_command(&text) {
            let end = text.trim_end_matches(['\r', '\n']).len();
            text.truncate(end);
            LogEntry::Command { at, text }
        } else {
            LogEntry::Output { at, text }
        })
    }
}

/// The times of the lines of one chunk after the other, so that a long trace is never in memory.
struct Times {
    farm: Farm,
    /// The start of the chunk that was read last.
    start: u64,
    times: Vec<LineTime>,
}

impl Times {
    /// When the line was written that begins at the offset `begin`; `None` if that is unknown.
    async fn of_line(
        &mut self,
        trace: &Trace,
        begin: u64,
    ) -> Result<Option<DateTime<Utc>>, FarmError> {
        let Some(chunk) = trace.timed_chunk(begin) else {
            return Ok(None);
        };
        if self.times.is_empty() || self.start != chunk.start {
            self.start = chunk.start;
            self.times = self.farm.line_times(chunk).await?.unwrap_or_default();
        }
        let offset = |time: &LineTime| chunk.start + time.offset as u64;
        let found = self.times.binary_search_by_key(&begin, offset);
        Ok(found
            .ok()
            .and_then(|found| self.times.get(found))
            .map(|time| time.at))
    }
}

/// Whether a line contains `Step 1/2 :` or `Step 1 :`, as the classic builder writes it.
fn is_command(line: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    line.split("Step ").skip(1).any(|rest| {
        let number = digits(rest);
        let rest = rest.get(number..).unwrap_or_default();
        let rest = match rest.strip_prefix('/') {
            Some(of) if digits(of) > 0 => of.get(digits(of)..).unwrap_or_default(),
            _ => rest,
        };
        number > 0 && rest.starts_with(" :")
    })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    /// The entries of a text that is received in pieces of `piece` bytes.
    async fn entries(text: &[u8], piece: usize, skipped: u64, count: u64) -> Vec<LogEntry> {
        let pieces: Vec<Result<Bytes, FarmError>> = text
            .chunks(piece)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        let lines = Lines::new(Arc::new(Trace::empty()), 0, skipped, count);
        let entries = lines.entries(stream::iter(pieces).boxed());
        entries.try_collect().await.unwrap()
    }

    fn output(text: &str) -> LogEntry {
        LogEntry::Output {
            at: DateTime::UNIX_EPOCH,
            text: text.to_owned(),
        }
    }

    #[tokio::test]
    async fn lines_do_not_depend_on_the_pieces_of_the_trace() {
        let text = b"one\n\n\x1b[1mtwo\r50%\r\n\xff\nlast";
        let all = [
            output("one\n"),
            output("\n"),
            output("\x1b[1mtwo\r50%\r\n"),
            output("\u{fffd}\n"),
            output("last"),
        ];
        for piece in 1..text.len() {
            assert_eq!(entries(text, piece, 0, 5).await, all, "{piece}");
            assert_eq!(entries(text, piece, 0, 4).await, all[..4], "{piece}");
            assert_eq!(entries(text, piece, 2, 2).await, all[2..4], "{piece}");
            assert_eq!(entries(text, piece, 4, 1).await, all[4..], "{piece}");
            assert!(entries(text, piece, 0, 0).await.is_empty(), "{piece}");
        }
    }

    #[tokio::test]
    async fn a_long_line_is_cut_off() {
        let long = "x".repeat(MAX_LINE + 5);
        let text = format!("{long}\nnext\n");
        let begins = format!("{} [6 bytes more]\n", "x".repeat(MAX_LINE));
        let expected = [output(&begins), output("next\n")];
        assert_eq!(entries(text.as_bytes(), 1000, 0, 2).await, expected);
    }

    #[test]
    fn a_command_is_a_numbered_step() {
        for command in ["Step 1/12 : FROM a", "Step 3 : RUN make", "#5 Step 2/2 : X"] {
            assert!(is_command(command), "{command}");
        }
        for other in [
            "Step : RUN",
            "Step 1/ : RUN",
            "Step 1: RUN",
            "Step one : RUN",
            "step 1 : RUN",
        ] {
            assert!(!is_command(other), "{other}");
        }
        assert!(is_command("Step x Step 4/5 : RUN"));
    }

    #[tokio::test]
    async fn a_command_has_no_line_break() {
        let entries = entries(b"Step 1/1 : FROM scratch\r\n", 7, 0, 1).await;
        let text = "Step 1/1 : FROM scratch".to_owned();
        let at = DateTime::UNIX_EPOCH;
        assert_eq!(entries, [LogEntry::Command { at, text }]);
    }
}
