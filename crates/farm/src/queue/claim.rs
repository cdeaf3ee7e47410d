//! A runner asks for a job, and waits for one if it may.

use std::time::Duration;

use chrono::TimeDelta;
use slipway_domain::image::marker::ImageMarker;
use slipway_domain::tokens::SourceToken;
use slipway_domain::{JobId, JobToken, QueueKeyId};
use slipway_store::artifacts::{self, Artifact, Content};
use slipway_store::builds::{self, Build};
use slipway_store::jobs::{self, Job};
use slipway_store::projects::{self, Project};
use slipway_store::runners::{self, About, Runner};
use slipway_store::{ClaimRequest, Conn, queue};
use tokio::time::{Instant, timeout_at};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::projects::secrets::{JobSecrets, SealedSecrets};
use crate::queue::made_images::{gives_layers, with_images};
use crate::runners::managers::Process;

/// How long a parked poll trusts in being woken before it looks for itself.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The one generation of stock runners that sends nothing at all while a job prints nothing.
const SILENT_VERSION: &str = "0.5.";

/// What a runner says when it asks.
#[derive(Clone, Debug, Default)]
pub struct Poll {
    /// What it says of itself, and whether it beats apart from its output.
    pub about: Option<(About, bool)>,
    /// The queue value it was last told; a poll with the present one is held.
    pub last_value: Option<String>,
    /// Which of the processes that share its token asks.
    pub process: Process,
}

impl Poll {
    /// The runner as the process that asks: others with its token may be something else.
    fn asking(&self, runner: Runner) -> Runner {
        match &self.about {
            Some((about, heartbeat)) => runner.as_manager(about, *heartbeat),
            None => runner,
        }
    }
}

/// What a runner is told.
pub enum PollAnswer {
    /// A job.
    Job(Box<ClaimedJob>),
    /// There is none.
    Nothing {
        /// The value that makes the runner's next poll wait.
        value: String,
    },
    /// An operator paused the runner.
    Paused,
}

/// A job with all that its runner needs to do it.
pub struct ClaimedJob {
    /// The job.
    pub job: Job,
    /// Its build.
    pub build: Build,
    /// Its project.
    pub project: Project,
    /// Its token.
    pub token: JobToken,
    /// The mark by which its commands tell of the image they pushed.
    pub mark: ImageMarker,
    /// Variables and logins.
    pub secrets: JobSecrets,
    /// The jobs it needed, with what they made.
    pub needs: Vec<Needed>,
    /// What it made itself so far.
    pub artifacts: Vec<Artifact>,
    /// The sources that were handed in, in the place of a commit.
    pub source: Option<ClaimedSource>,
    /// The size, in bytes, below which each of its files must stay.
    pub max_file_bytes: u64,
}

/// Where a runner finds the sources that were handed in.
pub struct ClaimedSource {
    /// The address.
    pub url: String,
    /// The token that the farm wants to see there, if it is the farm's own address.
    pub token: Option<SourceToken>,
    /// The SHA-256 that they must have, in hex.
    pub sha256: Option<String>,
}

/// A job that another one needed.
pub struct Needed {
    /// The job.
    pub job: Job,
    /// A token that fetches its archive.
    pub token: JobToken,
    /// What it made.
    pub artifacts: Vec<Artifact>,
}

impl Needed {
    /// The archive, if it made one.
    pub fn archive(&self) -> Option<(&str, u64)> {
        archive_of(&self.artifacts)
    }
}

/// Name and size of the archive among a job's artifacts.
pub fn archive_of(artifacts: &[Artifact]) -> Option<(&str, u64)> {
    artifacts
        .iter()
        .find_map(|artifact| match &artifact.content {
            Content::Archive { filename, .. } => Some((filename.as_str(), artifact.size_bytes)),
            Content::Image { .. } | Content::File { .. } => None,
        })
}

impl Farm {
    /// Gives a runner the next job that it can run. Waits for one when the runner was told the
    /// present queue value already, up to the poll wait.
    ///
    /// # Errors
    /// `Invalid` when what the runner says of itself cannot be; `BadToken` when it is removed
    /// meanwhile; `Unavailable` when the database is.
    pub async fn poll(&self, runner: &Runner, poll: Poll) -> Result<PollAnswer, FarmError> {
        if runner.paused {
            return Ok(PollAnswer::Paused);
        }
        let said = poll.about.clone();
        self.note_process(runner, &poll.process, said).await?;
        let deadline = Instant::now() + self.inner.settings.poll_wait;
        let mut runner = poll.asking(runner.clone());
        let mut value = self.queue_value(&runner);
        let mut hold = poll.last_value.as_deref() == Some(value.as_str());
        loop {
            // Subscribe before looking, or a job that comes in between is missed.
            let mut ticket = self.inner.wakeups.park(runner.id, &runner.capabilities);
            if hold && self.queue_value(&runner) == value {
                let wake_at = deadline.min(Instant::now() + LOOK_EVERY);
                tokio::select! {
                    _ = timeout_at(wake_at, ticket.woken()) => {}
                    () = self.inner.stopping.cancelled() => return Ok(PollAnswer::Nothing { value }),
                }
                // Somebody may have changed, paused or removed the runner while it waited.
                let now = self.runner_again(&runner).await?;
                if now.paused {
                    return Ok(PollAnswer::Paused);
                }
                hold = now.rev == runner.rev;
                runner = poll.asking(now);
            }
            value = self.queue_value(&runner);
            let claimed = self.claim_now(&runner, &poll.process).await?;
            match ticket.called_for() {
                Some(key) if claimed.is_none() && self.passed_over(&runner, key).await? => {
                    ticket.pass_on();
                }
                _ => ticket.looked(),
            }
            if let Some(job) = claimed {
                return Ok(PollAnswer::Job(Box::new(job)));
            }
            if !hold || Instant::now() >= deadline || self.inner.stopping.is_cancelled() {
                return Ok(PollAnswer::Nothing { value });
            }
        }
    }

    /// Whether a job of this requirement is there that the runner may not take, as it lost it.
    async fn passed_over(&self, runner: &Runner, key: QueueKeyId) -> Result<bool, FarmError> {
        let (id, now) = (runner.id, self.now());
        let look = move |conn: &mut Conn| queue::avoids_runner(conn, key, id, now);
        self.read(look).await
    }

    /// A runner that proved who it is some time ago, as it is now.
    async fn runner_again(&self, runner: &Runner) -> Result<Runner, FarmError> {
        let id = runner.id;
        let read = move |conn: &mut Conn| runners::get(conn, id);
        let now = self.read(read).await?;
        match now.removed_at {
            None => Ok(now),
            Some(_) => Err(FarmError::BadToken),
        }
    }

    /// How long a runner may be silent before its job is lost.
    fn lease_for(&self, runner: &Runner) -> Duration {
        let settings = &self.inner.settings;
        let version = runner.about.version.as_deref().unwrap_or_default();
        if runner.heartbeat {
            settings.lease
        } else if version.starts_with(SILENT_VERSION) {
            settings.silent_lease
        } else {
            settings.stock_lease
        }
    }

    async fn claim_now(
        &self,
        runner: &Runner,
        process: &Process,
    ) -> Result<Option<ClaimedJob>, FarmError> {
        let request = ClaimRequest {
            runner: runner.id,
            capabilities: runner.capabilities.clone(),
            lease: TimeDelta::from_std(self.lease_for(runner)).unwrap_or(TimeDelta::MAX),
            now: self.now(),
        };
        let Some(claimed) = self.inner.store.claim(request).await? else {
            return Ok(None);
        };
        tracing::info!(job.id = %claimed.job, runner.id = %runner.id, "Job {} is running", claimed.job);
        self.record_manager(claimed.job, process).await?;
        self.announce_job_changes(&[claimed.job]);
        self.claimed_job(claimed.job).await.map(Some)
    }

    /// A claimed job with all that its runner needs to do it.
    ///
    /// # Errors
    /// `NotFound` when there is no such job.
    pub async fn claimed_job(&self, id: JobId) -> Result<ClaimedJob, FarmError> {
        let (job, build, project, needs, artifacts, is_cache, sealed) = self
            .read(move |conn| {
                let job = jobs::get(conn, id)?;
                let build = builds::get(conn, job.build)?;
                let project = projects::get(conn, job.project)?;
                let mut needs = Vec::new();
                for need in jobs::needs(conn, id)? {
                    let made = artifacts::of_job(conn, need.id)?;
                    needs.push((need, made));
                }
                let artifacts = artifacts::of_job(conn, id)?;
                let others = jobs::of_build(conn, job.build)?;
                let is_cache = gives_layers(&job, &others);
                let sealed = SealedSecrets::read(conn, &project)?;
                Ok((job, build, project, needs, artifacts, is_cache, sealed))
            })
            .await?;
        let secrets = self.open_secrets(&project, &build, sealed)?;
        let job = with_images(job, &needs, is_cache);
        let needs = needs
            .into_iter()
            .map(|(job, artifacts)| Needed {
                token: self.archive_token(job.id),
                job,
                artifacts,
            })
            .collect();
        Ok(ClaimedJob {
            token: self.job_token(id),
            mark: self.image_mark(id),
            source: self.source_of(&build),
            max_file_bytes: self.inner.settings.max_artifact_bytes,
            job,
            build,
            project,
            secrets,
            needs,
            artifacts,
        })
    }

    /// Where the sources are that were handed in with a build. The farm's token is for the farm's
    /// own address alone.
    fn source_of(&self, build: &Build) -> Option<ClaimedSource> {
        let submission = &build.submission;
        let own = submission.source_key.is_some();
        Some(ClaimedSource {
            url: submission.source_url.clone()?,
            token: own.then(|| self.source_token(build.uuid)),
            sha256: submission.source_sha256.clone(),
        })
    }

    /// A value that changes whenever the runner may find work that it did not find before. It is
    /// the runner's own, as stock runners mix the values of several up.
    fn queue_value(&self, runner: &Runner) -> String {
        let purpose = format!(
            "queue {} {} {} {}",
            self.inner.start,
            self.inner.wakeups.generation(),
            runner.id,
            runner.rev
        );
        hex::encode(&self.derived(&purpose)[..16])
    }
}
