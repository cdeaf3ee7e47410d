//! A job's trace on this host's disk: masked, counted, and kept until the coordinator has it all.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use slipway_protocol::TraceSum;
use tokio::sync::watch;

use crate::traces::mask::{Masker, Secrets};

/// How far a trace has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// How many bytes are in the file.
    pub length: u64,
    /// Whether nothing follows.
    pub has_ended: bool,
    /// Whether the file could not be written, so that text was lost.
    pub is_broken: bool,
}

/// The file that a job's trace is written to, by one job and any number of its threads.
pub struct Spool {
    file: File,
    state: Mutex<State>,
    written: watch::Sender<Written>,
    limit: u64,
    secrets: Secrets,
}

struct State {
    masker: Masker,
    sum: crc32fast::Hasher,
    length: u64,
    left_out: u64,
}

impl Spool {
    /// Makes the file. `limit` is how many bytes of output it takes.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path, secrets: Secrets, limit: u64) -> std::io::Result<Self> {
        let mut options = File::options();
        let file = options
            .read(true)
            .append(true)
            .create_new(true)
            .open(path)?;
        Ok(Self {
            file,
            state: Mutex::new(State {
                masker: Masker::new(secrets.clone()),
                sum: crc32fast::Hasher::new(),
                length: 0,
                left_out: 0,
            }),
            written: watch::Sender::default(),
            limit,
            secrets,
        })
    }

    /// A text that is whole as it would be in the trace.
    pub fn mask(&self, text: &str) -> String {
        self.secrets.mask(text)
    }

    /// Appends output. Beyond the limit it is counted and left out; when the disk does not take
    /// it, [`Written::is_broken`] says so.
    pub fn write(&self, text: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let masked = state.masker.push(text);
        self.append(&mut state, &masked);
    }

    /// Ends the trace; returns what identifies it as a whole.
    pub fn end(&self) -> TraceSum {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = state.masker.finish();
        self.append(&mut state, &rest);
        if state.left_out > 0 {
            let notice = format!("[{} bytes of output were left out]\n", state.left_out);
            self.put(&mut state, notice.as_bytes());
        }
        self.written.send_modify(|written| written.has_ended = true);
        TraceSum {
            length: state.length,
            crc32: state.sum.clone().finalize(),
        }
    }

    /// Reads up to `most` bytes from the offset `from`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self, from: u64, most: usize) -> std::io::Result<Vec<u8>> {
        let there = self.written.borrow().length.saturating_sub(from);
        let size = usize::try_from(there).unwrap_or(most).min(most);
        let mut piece = vec![0; size];
        self.file.read_exact_at(&mut piece, from)?;
        Ok(piece)
    }

    /// Follows how far the trace has come.
    pub fn follow(&self) -> watch::Receiver<Written> {
        self.written.subscribe()
    }

    fn append(&self, state: &mut State, text: &[u8]) {
        let was_full = state.left_out > 0;
        let room = match was_full {
            true => 0,
            false => usize::try_from(self.limit.saturating_sub(state.length)).unwrap_or(usize::MAX),
        };
        let (kept, left_out) = text.split_at(text.len().min(room));
        self.put(state, kept);
        state.left_out += left_out.len() as u64;
        if state.left_out > 0 && !was_full {
            let limit = self.limit;
            let notice = format!("\n[the trace has reached its limit of {limit} bytes]\n");
            self.put(state, notice.as_bytes());
        }
    }

    fn put(&self, state: &mut State, text: &[u8]) {
        if text.is_empty() || self.written.borrow().is_broken {
            return;
        }
        let mut file = &self.file;
        if let Err(error) = file.write_all(text) {
            tracing::error!(%error, "The trace cannot be written");
            // A part may have been written; only what was counted is ever sent.
            self.written.send_modify(|written| written.is_broken = true);
            return;
        }
        state.sum.update(text);
        state.length += text.len() as u64;
        let length = state.length;
        self.written.send_modify(|written| written.length = length);
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
    fn no_secret_reaches_the_disk() {
        let (dir, spool) = spool(1000);
        spool.write(b"a s3c");
        spool.write(b"ret b\n");
        let sum = spool.end();
        let text = std::fs::read(dir.path().join("trace")).unwrap();
        assert_eq!(text, b"a [MASKED] b\n");
        assert_eq!(sum.length, text.len() as u64);
        assert_eq!(sum.crc32, crc32fast::hash(&text));
        assert_eq!(spool.read(2, 8).unwrap(), b"[MASKED]");
        assert!(spool.follow().borrow().has_ended);
    }

    #[test]
    fn beyond_the_limit_output_is_counted() {
        let (_dir, spool) = spool(4);
        spool.write(b"123456");
        spool.write(b"78");
        let sum = spool.end();
        let text = spool.read(0, 1000).unwrap();
        assert_eq!(
            String::from_utf8(text.clone()).unwrap(),
            "1234\n[the trace has reached its limit of 4 bytes]\n[4 bytes of output were left out]\n"
        );
        assert_eq!(sum.crc32, crc32fast::hash(&text));
    }

    #[test]
    fn a_full_disk_is_told_and_what_is_there_stays_countable() {
        let spool = Spool {
            file: File::options().write(true).open("/dev/full").unwrap(),
            state: Mutex::new(State {
                masker: Masker::new(Secrets::new([])),
                sum: crc32fast::Hasher::new(),
                length: 0,
                left_out: 0,
            }),
            written: watch::Sender::default(),
            limit: 100,
            secrets: Secrets::new([]),
        };
        spool.write(b"text");
        assert!(spool.follow().borrow().is_broken);
        assert_eq!(spool.end().length, 0);
    }
}
