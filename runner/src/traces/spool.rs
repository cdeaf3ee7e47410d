//! A job's trace on this host's disk: masked, checksummed, and kept until the coordinator has it.
//!
//! Of a trace beyond its limit, the beginning is written as it comes. The last bytes are kept in memory,
//! and follow when the trace ends, after a line that says how many are missing.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use slipway_masking::secrets::{Masker, Secrets};
use slipway_protocol::TraceSum;
use tokio::sync::watch;

/// How much memory is kept for masked output, in bytes.
const MAX_BUFFER: usize = 64 * 1024;
/// How much of the end of a trace beyond its limit is kept, in bytes.
const MAX_TAIL: u64 = 1024 * 1024;
/// A trace with a small limit keeps this part of it for its end: one over it.
const TAIL_PART: u64 = 4;

/// How much of a trace is in its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolState {
    /// The length of the file, in bytes.
    pub length: u64,
    /// Whether the trace has ended.
    pub is_complete: bool,
    /// Whether writing failed, so that output was lost.
    pub has_failed: bool,
}

/// The file that holds a job's trace. Any number of threads can write to it.
pub struct Spool {
    file: File,
    writer: Mutex<Writer>,
    state: watch::Sender<SpoolState>,
    limit: u64,
    /// How many bytes of the limit are for the end of the trace.
    max_tail: usize,
    secrets: Secrets,
}

struct Writer {
    masker: Masker,
    /// Masked output; it is kept so that each piece needs no allocation.
    masked: Vec<u8>,
    sum: crc32fast::Hasher,
    length: u64,
    /// Whether the beginning is complete, so that output goes to the tail.
    is_full: bool,
    /// The last bytes of the output after the beginning.
    tail: VecDeque<u8>,
    /// How many bytes of output between the beginning and the tail were left out.
    omitted: u64,
}

impl Spool {
    /// Creates the file, which must not exist. `limit` is how many bytes of output it takes, besides
    /// the lines about what is missing.
    ///
    /// # Errors
    /// Fails if the file cannot be created.
    pub fn create(path: &Path, secrets: Secrets, limit: u64) -> std::io::Result<Self> {
        let mut options = File::options();
        let file = options
            .read(true)
            .append(true)
            .create_new(true)
            .open(path)?;
        Ok(Self::with_file(file, secrets, limit))
    }

    fn with_file(file: File, secrets: Secrets, limit: u64) -> Self {
        Self {
            file,
            writer: Mutex::new(Writer {
                masker: Masker::new(secrets.clone()),
                masked: Vec::new(),
                sum: crc32fast::Hasher::new(),
                length: 0,
                is_full: false,
                tail: VecDeque::new(),
                omitted: 0,
            }),
            state: watch::Sender::default(),
            limit,
            max_tail: usize::try_from(MAX_TAIL.min(limit / TAIL_PART)).unwrap_or(0),
            secrets,
        }
    }

    /// Masks the secrets in a complete text.
    pub fn mask(&self, text: &str) -> String {
        self.secrets.mask(text)
    }

    /// Appends output. Beyond the limit only the last bytes are kept, and the others are counted. If the
    /// disk is full, sets [`SpoolState::has_failed`].
    pub fn write(&self, text: &[u8]) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut masked = std::mem::take(&mut writer.masked);
        masked.clear();
        writer.masker.push(text, &mut masked);
        self.append(&mut writer, &masked);
        masked.shrink_to(MAX_BUFFER);
        writer.masked = masked;
    }

    /// Ends the trace and returns its length and checksum.
    pub fn end(&self) -> TraceSum {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = Vec::new();
        writer.masker.finish(&mut rest);
        self.append(&mut writer, &rest);
        self.write_tail(&mut writer);
        self.state.send_modify(|state| state.is_complete = true);
        TraceSum {
            length: writer.length,
            crc32: writer.sum.clone().finalize(),
        }
    }

    /// Reads up to `max` bytes from the offset `from`.
    ///
    /// # Errors
    /// Fails if the file cannot be read.
    pub fn read(&self, from: u64, max: usize) -> std::io::Result<Vec<u8>> {
        // Bytes after the published length may be half written.
        let available = self.state.borrow().length.saturating_sub(from);
        let size = usize::try_from(available).unwrap_or(max).min(max);
        let mut piece = vec![0; size];
        self.file.read_exact_at(&mut piece, from)?;
        Ok(piece)
    }

    /// Follows how much of the trace is written.
    pub fn follow(&self) -> watch::Receiver<SpoolState> {
        self.state.subscribe()
    }

    /// How many bytes of output the trace does not have because of the limit.
    pub fn omitted(&self) -> u64 {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.omitted
    }

    fn append(&self, writer: &mut Writer, text: &[u8]) {
        let mut rest = text;
        if !writer.is_full {
            let head = self.limit.saturating_sub(self.max_tail as u64);
            let free = head.saturating_sub(writer.length);
            let kept = head_part(text, usize::try_from(free).unwrap_or(usize::MAX));
            self.write_to_file(writer, &text[..kept]);
            rest = &text[kept..];
            writer.is_full = !rest.is_empty();
        }
        if !rest.is_empty() {
            self.append_to_tail(writer, rest);
        }
    }

    fn append_to_tail(&self, writer: &mut Writer, text: &[u8]) {
        let had_all = writer.omitted == 0;
        let skipped = text.len().saturating_sub(self.max_tail);
        let text = &text[skipped..];
        let excess = (writer.tail.len() + text.len()).saturating_sub(self.max_tail);
        writer.tail.drain(..excess);
        writer.tail.extend(text);
        writer.omitted += (skipped + excess) as u64;
        if had_all && writer.omitted > 0 {
            // For those who follow the trace: it goes on only when the job ends.
            let limit = self.limit;
            let notice = format!(
                "\n[the trace has reached its limit of {limit} bytes; its last lines follow when the \
                 job ends]\n"
            );
            self.write_to_file(writer, notice.as_bytes());
        }
    }

    fn write_tail(&self, writer: &mut Writer) {
        let mut tail = Vec::from(std::mem::take(&mut writer.tail));
        if writer.omitted > 0 {
            // It begins in the middle of a line, which nobody can read.
            if let Some(end) = tail.iter().position(|byte| *byte == b'\n') {
                tail.drain(..=end);
                writer.omitted += end as u64 + 1;
            }
            let notice = format!("[{} bytes of output are missing here]\n", writer.omitted);
            self.write_to_file(writer, notice.as_bytes());
        }
        self.write_to_file(writer, &tail);
    }

    fn write_to_file(&self, writer: &mut Writer, text: &[u8]) {
        if text.is_empty() || self.state.borrow().has_failed {
            return;
        }
        let mut file = &self.file;
        if let Err(error) = file.write_all(text) {
            tracing::error!(%error, "Could not write the trace");
            // Part of it may be in the file. Only bytes that were counted are ever sent.
            self.state.send_modify(|state| state.has_failed = true);
            return;
        }
        writer.sum.update(text);
        writer.length += text.len() as u64;
        let length = writer.length;
        self.state.send_modify(|state| state.length = length);
    }
}

/// How many bytes of `text` belong to the beginning of a trace that has room for `free` more: whole
/// lines, if one ends within them.
fn head_part(text: &[u8], free: usize) -> usize {
    if text.len() <= free {
        return text.len();
    }
    let lines = text[..free].iter().rposition(|byte| *byte == b'\n');
    lines.map_or(free, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(limit: u64) -> (tempfile::TempDir, Spool) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace");
        let spool = Spool::create(&path, Secrets::new(["s3cret"]), limit).unwrap();
        (dir, spool)
    }

    #[test]
    fn secrets_are_masked_before_they_reach_the_disk() {
        let (dir, spool) = spool(1000);
        spool.write(b"a s3c");
        spool.write(b"ret b\n");
        let sum = spool.end();
        let text = std::fs::read(dir.path().join("trace")).unwrap();
        assert_eq!(text, b"a [MASKED] b\n");
        assert_eq!(sum.length, text.len() as u64);
        assert_eq!(sum.crc32, crc32fast::hash(&text));
        assert_eq!(spool.read(2, 8).unwrap(), b"[MASKED]");
        assert!(spool.follow().borrow().is_complete);
    }

    fn text_of(spool: &Spool) -> String {
        String::from_utf8(spool.read(0, 1 << 20).unwrap()).unwrap()
    }

    #[test]
    fn a_trace_beyond_its_limit_keeps_its_beginning_and_its_end() {
        let (_dir, spool) = spool(40);
        for number in 0..20 {
            spool.write(format!("line {number}\n").as_bytes());
        }
        let sum = spool.end();
        let text = text_of(&spool);
        assert_eq!(
            text,
            "line 0\nline 1\nline 2\nline 3\nli\n[the trace has reached its limit of 40 bytes; its last \
             lines follow when the job ends]\n[112 bytes of output are missing here]\nline 19\n"
        );
        assert_eq!(spool.omitted(), 112);
        assert_eq!(sum.length, text.len() as u64);
        assert_eq!(sum.crc32, crc32fast::hash(text.as_bytes()));
    }

    #[test]
    fn a_trace_just_below_its_limit_has_no_gap() {
        let (_dir, spool) = spool(40);
        spool.write(b"0123456789012345678901234\n");
        spool.write(b"67890");
        spool.write(b"12345678");
        spool.end();
        assert_eq!(text_of(&spool), "0123456789012345678901234\n6789012345678");
        assert_eq!(spool.omitted(), 0);
    }

    #[test]
    fn one_long_line_keeps_its_ends_and_large_writes_take_little_memory() {
        let (_dir, spool) = spool(8);
        spool.write(&[b'a'; 100_000]);
        spool.write(&[b'b'; 100_000]);
        spool.end();
        let text = text_of(&spool);
        assert!(text.starts_with("aaaaaa\n[the trace"), "{text}");
        assert!(
            text.ends_with("[199992 bytes of output are missing here]\nbb"),
            "{text}"
        );
        assert_eq!(spool.omitted(), 199_992);
    }

    #[test]
    fn a_full_disk_sets_has_failed_and_lost_bytes_are_not_counted() {
        let file = File::options().write(true).open("/dev/full").unwrap();
        let spool = Spool::with_file(file, Secrets::new([]), 100);
        spool.write(b"text");
        assert!(spool.follow().borrow().has_failed);
        assert_eq!(spool.end().length, 0);
    }
}
