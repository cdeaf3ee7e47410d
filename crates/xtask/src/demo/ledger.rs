//! Which processes a demonstration has started: a file, so that `--stop` finds them.
//!
//! A process is known by its id and the time it started, as ids are given out again.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::images::Images;
use super::place::Place;
use crate::process::Running;

/// The engine, which is needed to remove images and so is the last to go.
pub(super) const ENGINE: &str = "dockerd";
/// How long a process may take to end once asked.
const GRACE: Duration = Duration::from_secs(20);

/// The file.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
}

/// A process that was started.
#[derive(Debug)]
struct Entry {
    name: String,
    pid: i32,
    started: u64,
}

impl Ledger {
    /// The file of the demonstration in `place`.
    pub(super) fn of(place: &Path) -> Self {
        Self {
            path: place.join("running"),
        }
    }

    /// Writes down a process.
    pub(super) fn add(&self, name: &str, running: &Running) -> Result<()> {
        let pid = running.id().context("it has ended")?.cast_signed();
        let started = started(pid).context("it has ended")?;
        let mut file = fs::File::options()
            .create(true)
            .append(true)
            .open(&self.path)?;
        writeln!(file, "{name} {pid} {started}")?;
        Ok(())
    }

    /// # Errors
    /// When something of it runs.
    pub(super) fn check_idle(&self) -> Result<()> {
        let runs = self.entries().iter().any(Entry::is_alive);
        ensure!(
            !runs,
            "it runs already; `cargo xtask demo --stop` ends what --keep left"
        );
        Ok(())
    }

    fn entries(&self) -> Vec<Entry> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        text.lines().filter_map(Entry::parse).collect()
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

    /// Asks it to end, and makes it end when it does not.
    async fn stop(&self) {
        let pid = Pid::from_raw(self.pid);
        let limit = Instant::now() + GRACE;
        let mut signal = Signal::SIGTERM;
        while self.is_alive() {
            if Instant::now() > limit {
                signal = Signal::SIGKILL;
            }
            // A runner that is told twice does not wait for its jobs.
            if kill(pid, signal).is_err() {
                return;
            }
            let _ = tokio::time::timeout(Duration::from_secs(2), self.ended()).await;
        }
    }

    /// Nobody is told when a process ends that is not a child.
    async fn ended(&self) {
        while self.is_alive() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Ends and removes what is left of the demonstration in `place`; returns how many processes ran.
pub(super) async fn stop(place: Place) -> Result<usize> {
    let mut entries = Ledger::of(place.path()).entries();
    entries.retain(Entry::is_alive);
    let (engine, others): (Vec<_>, Vec<_>) = entries.iter().partition(|one| one.name == ENGINE);
    for entry in others.iter().rev() {
        entry.stop().await;
        println!("stopped {}", entry.name);
    }
    drop(Images::of(&place));
    for entry in engine {
        entry.stop().await;
        println!("stopped {}", entry.name);
    }
    Ok(entries.len())
}

/// When a process that lives was started, in ticks since the machine was.
fn started(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may have spaces and parentheses.
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
    fn a_process_is_known_by_its_id_and_its_start() {
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
