//! Whether the disks of the farm have space left.
//!
//! Below a floor, what may be refused is refused: uploads, traces, new builds. What is left is for the
//! small writes that must not fail: heartbeats, results, leases.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// For how long a disk counts as full after a write failed, however much space it reports: it may be
/// a quota, or a disk of another host.
const FULL_FOR: Duration = Duration::from_secs(5);

/// A directory of the farm on a disk of this host.
#[derive(Clone, Debug)]
pub struct Disk {
    /// What is stored there: `blobs` or `database`.
    pub name: &'static str,
    pub path: PathBuf,
}

/// The space on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskUsage {
    /// What is stored there: `blobs` or `database`.
    pub name: &'static str,
    /// How many bytes can still be written.
    pub free_bytes: u64,
    /// Whether this is less than the floor.
    pub is_full: bool,
}

/// The space on all disks, as it was read last.
pub(crate) struct DiskSpace {
    disks: Vec<Disk>,
    /// The floor, in bytes.
    min_free: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    usage: Vec<DiskUsage>,
    /// What a write failed for lately, and when.
    failed: Option<(&'static str, Instant)>,
    /// What the log says.
    logged: Option<String>,
}

impl DiskSpace {
    /// Reads the space on `disks` for the first time.
    pub(crate) fn new(disks: Vec<Disk>, min_free: u64) -> Self {
        let space = Self {
            disks,
            min_free,
            state: Mutex::default(),
        };
        space.refresh();
        space
    }

    /// Reads the space again, and logs when a disk becomes full or has space again.
    pub(crate) fn refresh(&self) {
        let usage = self.disks.iter().filter_map(|disk| self.usage_of(disk));
        let usage = usage.collect();
        let mut state = self.lock();
        state.usage = usage;
        self.log_change(&mut state);
    }

    /// Notes that a write failed because the disk of `name` is full.
    pub(crate) fn note_full(&self, name: &'static str) {
        let mut state = self.lock();
        state.failed = Some((name, Instant::now()));
        self.log_change(&mut state);
    }

    /// Why nothing more should be stored; `None` if there is space.
    pub(crate) fn why_full(&self) -> Option<String> {
        self.why(&self.lock())
    }

    /// The space on each disk.
    pub(crate) fn usage(&self) -> Vec<DiskUsage> {
        self.lock().usage.clone()
    }

    fn usage_of(&self, disk: &Disk) -> Option<DiskUsage> {
        match nix::sys::statvfs::statvfs(&disk.path) {
            Ok(stat) => {
                let free_bytes = stat.blocks_available() * stat.fragment_size();
                Some(DiskUsage {
                    name: disk.name,
                    free_bytes,
                    is_full: free_bytes < self.min_free,
                })
            }
            Err(error) => {
                let path = disk.path.display();
                tracing::debug!(%error, "Could not read the free space of {path}");
                None
            }
        }
    }

    fn why(&self, state: &State) -> Option<String> {
        const MIB: u64 = 1 << 20;
        if let Some(full) = state.usage.iter().find(|disk| disk.is_full) {
            let (name, free) = (full.name, full.free_bytes / MIB);
            let floor = self.min_free / MIB;
            return Some(format!(
                "the disk of the {name} has {free} MiB left, less than the floor of {floor} MiB"
            ));
        }
        let (name, at) = state.failed?;
        (at.elapsed() < FULL_FOR)
            .then(|| format!("the disk of the {name} is full: a write to it failed"))
    }

    /// Called at every reading, so that a change is logged once.
    fn log_change(&self, state: &mut State) {
        let why = self.why(state);
        match (&why, &state.logged) {
            (Some(why), None) => {
                tracing::error!("Uploads, traces and new builds are refused: {why}");
            }
            (None, Some(_)) => {
                tracing::info!("The disks have space again; uploads and new builds are accepted");
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        state.logged = why;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk_at(dir: &std::path::Path, min_free: u64) -> DiskSpace {
        let disk = Disk {
            name: "blobs",
            path: dir.to_owned(),
        };
        DiskSpace::new(vec![disk], min_free)
    }

    #[test]
    fn a_disk_is_full_below_the_floor() {
        let dir = tempfile::tempdir().unwrap();
        let space = disk_at(dir.path(), 1);
        assert_eq!(space.why_full(), None);
        assert!(space.usage()[0].free_bytes > 0);
        let full = disk_at(dir.path(), u64::MAX);
        let why = full.why_full().unwrap();
        assert!(why.contains("blobs") && why.contains("floor"), "{why}");
        assert!(full.usage()[0].is_full);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_write_counts_for_some_seconds() {
        let dir = tempfile::tempdir().unwrap();
        let space = disk_at(dir.path(), 1);
        space.note_full("database");
        assert!(space.why_full().unwrap().contains("database"));
        tokio::time::advance(FULL_FOR).await;
        assert_eq!(space.why_full(), None);
    }

    #[test]
    fn a_directory_that_cannot_be_read_is_not_full() {
        let space = disk_at(std::path::Path::new("/does/not/exist"), u64::MAX);
        assert_eq!(space.why_full(), None);
        assert!(space.usage().is_empty());
    }
}
