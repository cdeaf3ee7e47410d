//! Whether this runner may claim a job now: its engine answers, its disks have space, and its host
//! has not failed one job after the other.
//!
//! A runner that is not ready reports why, to its log and to the coordinator, which shows it to
//! those who wait. It recovers by itself.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use slipway_protocol::Info;
use tokio::time::Instant;

use crate::health::Health;
use crate::jobs::JobRunner;
use crate::work_dir::free_bytes;

/// How often the engine is checked while a poll waits for a job.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// How long to wait for an engine that does not answer before it is checked again.
const ENGINE_DOWN: Duration = Duration::from_secs(2);
/// How long to wait while the disk is too full to start a job.
const DISK_FULL: Duration = Duration::from_secs(15);
/// How often the runner reports that it is not ready. The coordinator counts a runner as offline
/// after two minutes without a report.
const REPORT_EVERY: Duration = Duration::from_secs(20);

/// Decides whether a runner may claim jobs.
pub struct Readiness {
    jobs: Arc<JobRunner>,
    health: Health,
    min_free_bytes: u64,
}

/// Why a runner may not claim jobs.
struct Obstacle {
    why: String,
    /// When to look again at the latest.
    wait: Duration,
}

impl Readiness {
    /// The readiness of a runner that needs `min_free_bytes` on its disks.
    pub fn new(jobs: Arc<JobRunner>, health: Health, min_free_bytes: u64) -> Self {
        Self {
            jobs,
            health,
            min_free_bytes,
        }
    }

    /// Waits until the runner may claim a job. Meanwhile reports why it may not, together with
    /// `info`.
    pub async fn wait(&self, info: &Info) {
        let mut reported: Option<(String, Instant)> = None;
        while let Some(Obstacle { why, wait }) = self.obstacle().await {
            let is_new = reported.as_ref().is_none_or(|(last, _)| *last != why);
            if is_new {
                tracing::warn!("Claiming no jobs: {why}");
            }
            let is_due = |at: Instant| at.elapsed() >= REPORT_EVERY;
            if is_new || reported.as_ref().is_some_and(|(_, at)| is_due(*at)) {
                self.report(info, &why).await;
                reported = Some((why, Instant::now()));
            }
            tokio::time::sleep(wait.min(REPORT_EVERY)).await;
        }
        if reported.is_some() {
            tracing::info!("Claiming jobs again");
        }
    }

    /// Waits until the runner is no longer ready. Meanwhile a poll may wait for a job.
    pub async fn lost(&self) {
        let engine_down = async {
            loop {
                tokio::time::sleep(CHECK_EVERY).await;
                if self.jobs.executor.check().await.is_err() {
                    self.jobs.leftovers.note_engine_lost();
                    return;
                }
            }
        };
        tokio::select! {
            () = engine_down => {}
            () = self.health.paused() => {}
        }
    }

    async fn report(&self, info: &Info, why: &str) {
        let info = Info {
            unready: Some(why.to_owned()),
            ..info.clone()
        };
        let jobs = &self.jobs;
        let reported = jobs.coordinator.report_unready(&jobs.token, info).await;
        if let Err(error) = reported {
            tracing::debug!(%error, "Could not report that this runner claims no jobs");
        }
    }

    async fn obstacle(&self) -> Option<Obstacle> {
        if let Err(why) = self.jobs.executor.check().await {
            self.jobs.leftovers.note_engine_lost();
            return Some(Obstacle {
                why,
                wait: ENGINE_DOWN,
            });
        }
        match self.low_disk().await {
            Some(why) => Some(Obstacle {
                why,
                wait: DISK_FULL,
            }),
            None => self.pause().await,
        }
    }

    /// Why the runner has stopped claiming after faults of its host. Ends the pause if it is over
    /// and a self-test succeeds.
    async fn pause(&self) -> Option<Obstacle> {
        let until = self.health.paused_until()?;
        let in_engine = self.jobs.leftovers.use_engine().await;
        let tested = self.jobs.executor.self_test().await;
        drop(in_engine);
        let is_over = Instant::now() >= until;
        if is_over && tested.is_ok() {
            self.health.resume();
            return None;
        }
        if is_over {
            self.health.prolong();
        }
        let until = self.health.paused_until().unwrap_or(until);
        let faults = self.health.faults();
        // The messages of the jobs are not repeated: they may quote another project's Dockerfile.
        let cause = match tested {
            Ok(()) => "they are in the runner's log".to_owned(),
            Err(error) => format!("a self-test fails too: {error}"),
        };
        Some(Obstacle {
            why: format!(
                "{faults} jobs in a row failed through a fault of the build host; {cause}"
            ),
            wait: until.saturating_duration_since(Instant::now()),
        })
    }

    /// Why there is too little disk space, if deleting caches does not help.
    async fn low_disk(&self) -> Option<String> {
        let dirs = self.jobs.executor.storage_dirs().await;
        let is_enough = || {
            self.free_bytes(&dirs)
                .is_none_or(|(free, _)| free >= self.min_free_bytes)
        };
        if is_enough() {
            return None;
        }
        self.jobs.executor.free_space(&is_enough).await;
        let (free, dir) = self.free_bytes(&dirs)?;
        (free < self.min_free_bytes).then(|| {
            format!(
                "only {} MiB are free on the disk of {}, and {} MiB are required",
                free >> 20,
                dir.display(),
                self.min_free_bytes >> 20
            )
        })
    }

    /// The fullest disk that jobs write to: its free space, in bytes, and a directory on it. `None`
    /// if the free space is unknown.
    fn free_bytes(&self, storage: &[PathBuf]) -> Option<(u64, PathBuf)> {
        // The engine may store images on another disk than the work directory.
        let work_dir = self.jobs.work_dir.root().to_owned();
        let dirs = std::iter::once(work_dir).chain(storage.iter().cloned());
        // A disk whose free space is unknown must not keep the runner from working.
        let known = |free: io::Result<u64>| match free {
            Ok(free) => Some(free),
            Err(error) => {
                tracing::warn!(%error, "Could not read the free space of the disk");
                None
            }
        };
        dirs.filter_map(|dir| Some((known(free_bytes(&dir))?, dir)))
            .min()
    }
}
