//! The processes that a demo started, in a file, so that `--stop` finds them.
//!
//! A process is identified by its id and its start time, because ids are reused.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process::ChildProcess;

/// The engine. It is stopped last, because deleting images needs it.
pub(super) const ENGINE: &str = "dockerd";
/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(20);

/// The file with the list.
#[derive(Debug)]
pub(super) struct ProcessList {
    path: PathBuf,
}

/// A process in the list.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pid: i32,
    started: u64,
}

impl ProcessList {
    /// The list of the demo in `work_dir`.
    pub(super) fn of(work_dir: &Path) -> Self {
        Self {
            path: work_dir.join("running"),
        }
    }

    /// Adds a process.
    pub(super) fn add(&self, name: &str, running: &ChildProcess) -> Result<()> {
        let pid = running.id().context("the process has ended")?.cast_signed();
        let started = started(pid).context("the process has ended")?;
        let mut file = fs::File::options()
            .create(true)
            .append(true)
            .open(&self.path)?;
        writeln!(file, "{name} {pid} {started}")?;
        Ok(())
    }

    /// # Errors
    /// If a process of the list runs.
    pub(super) fn check_idle(&self) -> Result<()> {
        ensure!(
            self.running().is_empty(),
            "a demo is already running; stop it with `cargo xtask demo --stop`"
        );
        Ok(())
    }

    /// The processes of the list that still run, in the order in which they were started.
    pub(super) fn running(&self) -> Vec<Entry> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let entries = text.lines().filter_map(Entry::parse);
        entries.filter(Entry::is_alive).collect()
    }
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        Some(Self {
            name: words.next()?.to_owned(),
            pid: words.next()?.parse().ok()?,
            started: words.next()?.parse().ok()?,
        })
    }

    fn is_alive(&self) -> bool {
        started(self.pid) == Some(self.started)
    }

    /// Sends SIGTERM, then SIGKILL if the process does not end.
    pub(super) async fn stop(&self) {
        let pid = Pid::from_raw(self.pid);
        let limit = Instant::now() + GRACE;
        let mut signal = Signal::SIGTERM;
        while self.is_alive() {
            if Instant::now() > limit {
                signal = Signal::SIGKILL;
            }
            // A runner that gets a second signal does not wait for its jobs.
            if kill(pid, signal).is_err() {
                return;
            }
            let _ = tokio::time::timeout(Duration::from_secs(2), self.ended()).await;
        }
    }

    /// Polls: the kernel notifies only about children.
    async fn ended(&self) {
        while self.is_alive() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The start time of a process that runs, in clock ticks since boot.
fn started(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may contain spaces and parentheses.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    let is_dead = matches!(words.next()?, "Z" | "X");
    let started = words.nth(18)?.parse().ok()?;
    (!is_dead).then_some(started)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_identified_by_id_and_start_time() {
        let pid = std::process::id().cast_signed();
        let line = format!("runner-1 {pid} {}", started(pid).unwrap());
        let entry = Entry::parse(&line).unwrap();
        assert!(entry.is_alive());
        let other = Entry {
            started: entry.started + 1,
            ..entry
        };
        assert!(!other.is_alive());
    }
}
