//! A job's trace on this host's disk: masked, checksummed, and kept until the coordinator has it.

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
    secrets: Secrets,
}

struct Writer {
    masker: Masker,
    /// Masked output; it is kept so that each piece needs no allocation.
    masked: Vec<u8>,
    sum: crc32fast::Hasher,
    length: u64,
    /// How many bytes of output were omitted because of the limit.
    omitted: u64,
}

impl Spool {
    /// Creates the file, which must not exist. `limit` is how many bytes of output it takes.
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
                omitted: 0,
            }),
            state: watch::Sender::default(),
            limit,
            secrets,
        }
    }

    /// Masks the secrets in a complete text.
    pub fn mask(&self, text: &str) -> String {
        self.secrets.mask(text)
    }

    /// Appends output. Output beyond the limit is only counted. If the disk is full, sets
    /// [`SpoolState::has_failed`].
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
        if writer.omitted > 0 {
            let notice = format!("[{} bytes of output were omitted]\n", writer.omitted);
            self.write_to_file(&mut writer, notice.as_bytes());
        }
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

    fn append(&self, writer: &mut Writer, text: &[u8]) {
        let was_full = writer.omitted > 0;
        // Once something was omitted, nothing more is taken: the trace must not have gaps.
        let free = if was_full {
            0
        } else {
            usize::try_from(self.limit.saturating_sub(writer.length)).unwrap_or(usize::MAX)
        };
        let (kept, omitted) = text.split_at(text.len().min(free));
        self.write_to_file(writer, kept);
        writer.omitted += omitted.len() as u64;
        if writer.omitted > 0 && !was_full {
            let limit = self.limit;
            let notice = format!("\n[the trace has reached its limit of {limit} bytes]\n");
            self.write_to_file(writer, notice.as_bytes());
        }
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

    #[test]
    fn output_beyond_the_limit_is_omitted_and_counted() {
        let (_dir, spool) = spool(4);
        spool.write(b"123456");
        spool.write(b"78");
        let sum = spool.end();
        let text = spool.read(0, 1000).unwrap();
        assert_eq!(
            String::from_utf8(text.clone()).unwrap(),
            "1234\n[the trace has reached its limit of 4 bytes]\n[4 bytes of output were omitted]\n"
        );
        assert_eq!(sum.crc32, crc32fast::hash(&text));
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
