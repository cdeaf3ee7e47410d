//! Builds with their jobs, and the attempts of a build, as rows. Dialects derive phases and logs
//! from them, which are stored nowhere.

use std::ops::Range;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use slipway_domain::rollup::{RollupJob, build_state};
use slipway_domain::{BuildId, BuildState, JobState, Role};
use slipway_store::builds::Build;
use slipway_store::jobs::{self, Job};
use slipway_store::people::User;
use slipway_store::phases::{self, PhaseEntry};
use slipway_store::traces::{self, Chunk, ChunkSource, View};
use slipway_store::{Conn, StoreError, job_lists};

use crate::access::authorize::ProjectAccess;
use crate::error::FarmError;
use crate::farm::Farm;
use crate::traces::chunks::lines_of;

/// A build with its jobs, earlier attempts included.
#[derive(Clone, Debug)]
pub struct BuildWithJobs {
    pub build: Build,
    /// The user who created the build.
    pub user: Option<User>,
    /// In the order of their creation.
    pub jobs: Vec<Job>,
}

/// An attempt that a runner has started.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub job: Job,
    /// The phases that the attempt entered, and the moment when it was finished.
    pub phases: Vec<PhaseEntry>,
    /// The chunks of the trace up to [`Attempt::trace_end`].
    pub chunks: Vec<Chunk>,
    /// Whether the farm made the next attempt when this one failed.
    pub was_retried: bool,
}

impl Attempt {
    /// The length of the trace when the attempt was finished; a runner may send more afterwards.
    pub fn trace_end(&self) -> u64 {
        let finished = self.phases.iter().find(|entry| entry.phase.is_none());
        finished.map_or(u64::MAX, |entry| entry.trace_length)
    }
}

impl Farm {
    /// Builds of a project with their jobs.
    ///
    /// # Errors
    /// `Forbidden` for callers who see the project but not its builds.
    pub async fn with_jobs(
        &self,
        access: &ProjectAccess,
        builds: Vec<Build>,
    ) -> Result<Vec<BuildWithJobs>, FarmError> {
        access.require_builds(Role::Reader)?;
        let project = access.id();
        let read = move |conn: &mut Conn| {
            let listed = job_lists::complete_builds(conn, project, builds)?;
            let builds = listed.into_iter().map(|listed| {
                Ok(BuildWithJobs {
                    jobs: jobs::of_build(conn, listed.build.id)?,
                    build: listed.build,
                    user: listed.user,
                })
            });
            builds.collect::<Result<Vec<BuildWithJobs>, StoreError>>()
        };
        self.read(read).await
    }

    /// The attempts of a build that runners have started, in the order in which they started.
    ///
    /// An attempt is left out while an earlier one is unfinished, so that a log that is derived from
    /// them only grows at its end.
    ///
    /// # Errors
    /// `Unavailable` if the database is.
    pub async fn started_attempts(&self, build: &Build) -> Result<Vec<Attempt>, FarmError> {
        let id = build.id;
        let read = move |conn: &mut Conn| started_attempts(conn, id);
        self.read(read).await
    }

    /// The number of lines that end in a range of a trace's chunk, and whether its last byte ends
    /// one. The blob is only read if the chunk's row does not have the number.
    ///
    /// # Errors
    /// `Unavailable` if the blob cannot be read; `ContentMissing`.
    pub async fn lines_in(
        &self,
        chunk: &Chunk,
        range: &Range<u64>,
    ) -> Result<(u64, bool), FarmError> {
        if let Some(lines) = chunk.lines
            && *range == (chunk.start..chunk.start + chunk.length)
        {
            return Ok((lines.count, lines.ends));
        }
        let part = range.start - chunk.start..range.end - chunk.start;
        let (key, skipped) = match &chunk.source {
            ChunkSource::Blob { key, skipped, .. } => (key, skipped),
            ChunkSource::Inline(_) | ChunkSource::Notice(_) => {
                let text = self.chunk_bytes(&chunk.source, part).await?;
                let lines = lines_of(&text, self.now());
                return Ok((lines.count, lines.ends));
            }
        };
        let part = part.start + skipped..part.end + skipped;
        let mut bytes = self.inner.blobs.get(key, Some(part)).await?;
        let (mut count, mut ends) = (0, false);
        while let Some(bytes) = bytes.try_next().await? {
            let lines = lines_of(&bytes, self.now());
            count += lines.count;
            ends = lines.ends || (bytes.is_empty() && ends);
        }
        Ok((count, ends))
    }
}

fn started_attempts(conn: &mut Conn, build: BuildId) -> Result<Vec<Attempt>, StoreError> {
    let jobs = jobs::of_build(conn, build)?;
    let mut started: Vec<&Job> = jobs.iter().filter(|job| job.started_at.is_some()).collect();
    started.sort_by_key(|job| (job.started_at, job.id));
    let mut attempts = Vec::new();
    for job in started {
        let mut attempt = Attempt {
            job: job.clone(),
            phases: phases::of_job(conn, job.id)?,
            chunks: Vec::new(),
            was_retried: jobs.iter().any(|next| is_automatic_retry(next, job)),
        };
        attempt.chunks = traces::chunks_in(conn, job.id, 0..attempt.trace_end(), View::Now)?;
        attempts.push(attempt);
        if !job.state.is_done() {
            break;
        }
    }
    Ok(attempts)
}

/// Whether the farm made the attempt `next` because `previous` failed.
///
/// It does so in the transaction that finishes `previous`, so both have the same time. A person who
/// retries a job does it later.
pub fn is_automatic_retry(next: &Job, previous: &Job) -> bool {
    next.retries == Some(previous.id) && Some(next.created_at) == previous.finished_at
}

/// Whether a build of a package with these jobs can still be canceled at `now`: not when it is
/// finished, pushes its image, or was lost and is retried.
pub(crate) fn is_cancelable(build: &Build, jobs: &[Job], now: DateTime<Utc>) -> bool {
    let latest = || jobs.iter().filter(|job| !job.superseded);
    let parts = latest().map(|job| RollupJob {
        state: job.state,
        allowed_to_fail: job.allow_failure,
    });
    let could_not_be_planned = build.submission.error.is_some();
    match build_state(&parts.collect::<Vec<RollupJob>>(), could_not_be_planned) {
        BuildState::Succeeded | BuildState::Failed | BuildState::Canceled | BuildState::Skipped => {
            return false;
        }
        BuildState::Pending | BuildState::Running => {}
    }
    let running = latest().find_map(|job| match job.state {
        JobState::Running(lease, phase) => Some((lease, phase)),
        _ => None,
    });
    match running {
        Some((lease, phase)) => lease.expires_at > now && phase.is_cancelable(),
        None => {
            let is_retry = |next: &Job| jobs.iter().any(|job| is_automatic_retry(next, job));
            let mut unfinished = jobs.iter().filter(|job| !job.state.is_done());
            !unfinished.any(is_retry)
        }
    }
}
