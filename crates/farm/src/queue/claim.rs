//! Polls of runners: a runner asks for a job, and waits for one if it may.

use std::time::Duration;

use chrono::TimeDelta;
use slipway_domain::image::marker::ImageMarker;
use slipway_domain::image::push_targets::PushTargets;
use slipway_domain::tokens::SourceToken;
use slipway_domain::{ClaimRequestId, Event, JobId, JobSpec, JobToken, QueueKeyId};
use slipway_store::artifacts::{self, Artifact, Content};
use slipway_store::builds::{self, Build};
use slipway_store::jobs::{self, Job};
use slipway_store::projects::{self, Project};
use slipway_store::runners::{self, About, Runner};
use slipway_store::{ClaimRequest, Conn, StoreError, queue};
use tokio::time::{Instant, timeout_at};

use crate::error::FarmError;
use crate::fail_points::FailPoint;
use crate::farm::Farm;
use crate::jobs::ending::finish;
use crate::projects::secrets::{JobSecrets, SealedSecrets};
use crate::queue::needed_images::{is_cache_source, with_needed_images};
use crate::runners::managers::ManagerInfo;

/// The one version of stock runners that sends nothing at all while a job prints nothing.
const SILENT_VERSION: &str = "0.5.";

/// A runner's request for a job.
#[derive(Clone, Debug, Default)]
pub struct Poll {
    /// What the runner reports about itself, and whether it sends heartbeats apart from its output.
    pub about: Option<(About, bool)>,
    /// The queue value of the last answer. A poll with the current one waits for a job.
    pub last_value: Option<String>,
    /// The manager that polls, among those that share the runner's token.
    pub manager: ManagerInfo,
    /// The id of the request. A poll with the id of one that claimed a job gets the same job, as long
    /// as it runs: the answer to the first poll was lost.
    pub request: Option<ClaimRequestId>,
}

impl Poll {
    /// The runner with what this manager reports: others with the same token may differ.
    fn as_reported(&self, runner: Runner) -> Runner {
        match &self.about {
            Some((about, heartbeat)) => runner.as_manager(about, *heartbeat),
            None => runner,
        }
    }
}

/// The answer to a poll.
pub enum PollAnswer {
    Job(Box<ClaimedJob>),
    /// There is no job.
    Nothing {
        /// The queue value, with which the runner's next poll waits.
        value: String,
    },
    /// The runner is paused.
    Paused,
}

/// A job with everything its runner needs to run it.
pub struct ClaimedJob {
    pub job: Job,
    pub build: Build,
    pub project: Project,
    pub token: JobToken,
    /// Marks the line by which the job's commands report the image they pushed.
    pub mark: ImageMarker,
    pub secrets: JobSecrets,
    /// The jobs that this one needed, with what they made.
    pub needs: Vec<NeededJob>,
    /// What a needed job was to leave and is missing, explained to people. A runner never gets such a
    /// job.
    pub(crate) missing: Option<String>,
    /// What the job itself made so far.
    pub artifacts: Vec<Artifact>,
    /// Sources that were submitted instead of a commit.
    pub source: Option<ClaimedSource>,
    /// The size, in bytes, that each of its files must stay below.
    pub max_file_bytes: u64,
    pub caches: CacheScopes,
    /// To which repositories it may push.
    pub push_targets: PushTargets,
    /// How many jobs of its project are running, with this one.
    pub running: u32,
}

/// A job for a poll.
struct FoundJob {
    job: ClaimedJob,
    /// Whether an earlier poll with the same request id claimed it.
    is_again: bool,
}

/// Secret values that name the builds which may share a cache. They are the same for each runner.
pub struct CacheScopes {
    /// For all builds of the project.
    pub project: String,
    /// For the builds of the project with the same trust level.
    pub trust: String,
}

/// Where a runner fetches submitted sources.
pub struct ClaimedSource {
    pub url: String,
    /// The token to send, if the URL is the farm's own.
    pub token: Option<SourceToken>,
    /// The SHA-256 that the sources must have, in hex.
    pub sha256: Option<String>,
}

/// A job that another job needed.
pub struct NeededJob {
    pub job: Job,
    /// A token that can only fetch the job's archive.
    pub token: JobToken,
    pub artifacts: Vec<Artifact>,
}

impl NeededJob {
    /// Name and size, in bytes, of the archive that the job left, if any.
    pub fn archive(&self) -> Option<(&str, u64)> {
        archive_of(&self.artifacts)
    }
}

/// Name and size, in bytes, of the archive among a job's artifacts.
pub fn archive_of(artifacts: &[Artifact]) -> Option<(&str, u64)> {
    artifacts
        .iter()
        .find_map(|artifact| match &artifact.content {
            Content::Archive { filename, .. } => Some((filename.as_str(), artifact.size_bytes)),
            Content::Image { .. } | Content::File { .. } => None,
        })
}

impl Farm {
    /// Gives a runner the next job that it can run. When the poll has the current queue value, it
    /// waits for a job, up to the poll wait.
    ///
    /// # Errors
    /// `Invalid` for what the runner reports about itself; `BadToken` when the runner is deleted
    /// meanwhile; `Unavailable`.
    pub async fn poll(&self, runner: &Runner, poll: Poll) -> Result<PollAnswer, FarmError> {
        // Before anything else: a runner that was paused meanwhile still runs what it has.
        if let Some(job) = self.claimed_before(runner, &poll).await? {
            return Ok(PollAnswer::Job(Box::new(job)));
        }
        // A paused runner does not even note contact or park, so it costs one read per poll.
        if runner.paused {
            return Ok(PollAnswer::Paused);
        }
        let about = poll.about.clone();
        self.record_manager_contact(runner, &poll.manager, about)
            .await?;
        // The deadline covers all rounds of the loop: proxies cut requests that take longer.
        let deadline = Instant::now() + self.inner.settings.poll_wait;
        let mut runner = poll.as_reported(runner.clone());
        let mut value = self.queue_value(&runner);
        // A poll with an outdated value looks once and returns: the runner must learn the new
        // value.
        let mut hold = poll.last_value.as_deref() == Some(value.as_str());
        loop {
            // Park before looking, or a job that becomes pending in between is missed.
            let mut parked = self
                .inner
                .wakeups
                .park(runner.id, runner.rev, &runner.capabilities);
            if hold && self.queue_value(&runner) == value {
                let woken = tokio::select! {
                    woken = timeout_at(deadline, parked.woken()) => woken.is_ok(),
                    () = self.inner.stopping.cancelled() => return Ok(PollAnswer::Nothing { value }),
                };
                // There is nothing that this runner has not looked for, so an idle poll costs no read.
                if !woken && self.queue_value(&runner) == value {
                    return Ok(PollAnswer::Nothing { value });
                }
                // The runner may have been changed, paused or deleted while it waited.
                let current = self.reread_runner(&runner).await?;
                if current.paused {
                    return Ok(PollAnswer::Paused);
                }
                // After a change of the runner its queue value is different, so this poll must
                // return it.
                hold = current.rev == runner.rev;
                runner = poll.as_reported(current);
            }
            // Before the claim: a job that comes after it must change the value that is returned.
            value = self.queue_value(&runner);
            let found = self.claim_now(&runner, &poll).await?;
            match (parked.woken_for(), &found) {
                (Some(key), None) if self.must_avoid_job(&runner, key).await? => parked.pass_on(),
                // The job that the poll was woken for is still there for others.
                (_, Some(found)) if found.is_again => drop(parked),
                _ => parked.looked(),
            }
            if let Some(found) = found {
                return Ok(PollAnswer::Job(Box::new(found.job)));
            }
            if !hold || Instant::now() >= deadline || self.inner.stopping.is_cancelled() {
                return Ok(PollAnswer::Nothing { value });
            }
        }
    }

    /// Whether a job of this queue key is pending that the runner may not take, because it lost the
    /// attempt before.
    async fn must_avoid_job(&self, runner: &Runner, key: QueueKeyId) -> Result<bool, FarmError> {
        let (id, now) = (runner.id, self.now());
        let read = move |conn: &mut Conn| queue::avoids_runner(conn, key, id, now);
        self.read(read).await
    }

    /// The present state of a runner that authenticated some time ago.
    async fn reread_runner(&self, runner: &Runner) -> Result<Runner, FarmError> {
        let id = runner.id;
        let read = move |conn: &mut Conn| runners::get(conn, id);
        let current = self.read(read).await?;
        match current.removed_at {
            None => Ok(current),
            Some(_) => Err(FarmError::BadToken),
        }
    }

    /// How long a runner may be silent before its lease expires.
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

    /// The job that an earlier poll with the same request id claimed, if this poll would otherwise
    /// get no job at once. A poll that looks for a job at once finds it in the same transaction.
    async fn claimed_before(
        &self,
        runner: &Runner,
        poll: &Poll,
    ) -> Result<Option<ClaimedJob>, FarmError> {
        let Some(request) = poll.request else {
            return Ok(None);
        };
        if !runner.paused && poll.last_value.is_none() {
            return Ok(None);
        }
        let id = runner.id;
        // Nearly always there is none, and a read does not queue behind the one writer of SQLite.
        let find = move |conn: &mut Conn| queue::claimed_by(conn, id, request);
        if self.read(find).await?.is_none() {
            return Ok(None);
        }
        self.give_again(runner, request).await
    }

    /// Gives a runner the job that this request claimed, with a renewed lease; `None` if the job has
    /// ended, or cannot run.
    async fn give_again(
        &self,
        runner: &Runner,
        request: ClaimRequestId,
    ) -> Result<Option<ClaimedJob>, FarmError> {
        let (id, now) = (runner.id, self.now());
        let renew = move |conn: &mut Conn| queue::claim_again(conn, id, request, now);
        let Some(job) = self.write(renew).await? else {
            return Ok(None);
        };
        let claimed = self.claimed_job(job).await?;
        if let Some(missing) = claimed.missing {
            self.fail_without_need(job, missing).await?;
            return Ok(None);
        }
        tracing::info!(
            job.id = %job, runner.id = %runner.id,
            "Runner {} asked for job {job} again", runner.id
        );
        Ok(Some(claimed))
    }

    async fn claim_now(&self, runner: &Runner, poll: &Poll) -> Result<Option<FoundJob>, FarmError> {
        loop {
            let request = ClaimRequest {
                runner: runner.id,
                capabilities: runner.capabilities.clone(),
                lease: TimeDelta::from_std(self.lease_for(runner)).unwrap_or(TimeDelta::MAX),
                request: poll.request,
                manager: poll.manager.recorded(),
                now: self.now(),
            };
            self.inner.fail_points.stop_after_crash();
            let Some(claimed) = self.inner.store.claim(request).await? else {
                return Ok(None);
            };
            let committed = self.inner.fail_points.pass(FailPoint::Committed);
            committed.map_err(StoreError::from)?;
            let id = claimed.job;
            if claimed.is_again
                && let Some(request) = poll.request
            {
                let is_again = true;
                match self.give_again(runner, request).await? {
                    Some(job) => return Ok(Some(FoundJob { job, is_again })),
                    None => continue,
                }
            }
            let claimed = self.claimed_job(id).await?;
            // What was there when the job became pending may have expired since.
            if let Some(missing) = claimed.missing {
                self.fail_without_need(id, missing).await?;
                continue;
            }
            tracing::info!(job.id = %id, runner.id = %runner.id, "Job {id} is running");
            // The job left the queue: followers and pages that show it must see that it runs.
            self.announce_job_changes(&[id]);
            return Ok(Some(FoundJob {
                job: claimed,
                is_again: false,
            }));
        }
    }

    /// Fails a job because of what is missing.
    async fn fail_without_need(&self, id: JobId, missing: String) -> Result<(), FarmError> {
        let (now, policy) = (self.now(), self.retry_policy());
        let write = move |conn: &mut Conn| {
            let event = Event::NeedMissing;
            let (_, changes) = finish(conn, id, event, Some(&missing), policy, now)?;
            Ok(changes)
        };
        let changes = self.write(write).await?;
        self.announce_changes(changes).await;
        Ok(())
    }

    /// A claimed job with everything its runner needs to run it.
    ///
    /// # Errors
    /// `NotFound` when there is no such job.
    pub async fn claimed_job(&self, id: JobId) -> Result<ClaimedJob, FarmError> {
        let now = self.now();
        let (job, build, project, needs, missing, artifacts, is_cache, sealed, running) = self
            .read(move |conn| {
                let job = jobs::get(conn, id)?;
                let build = builds::get(conn, job.build)?;
                let project = projects::get(conn, job.project)?;
                let needs = jobs::needs_with_artifacts(conn, id)?;
                let missing = jobs::missing_need(&job, &needs, now);
                let artifacts = artifacts::of_job(conn, id)?;
                let is_image = matches!(job.spec, JobSpec::ImageBuild(_));
                let is_cache = is_image && is_cache_source(&job, &jobs::of_build(conn, job.build)?);
                let sealed = SealedSecrets::read(conn, &project)?;
                let running = queue::running(conn, project.id)?;
                Ok((
                    job, build, project, needs, missing, artifacts, is_cache, sealed, running,
                ))
            })
            .await?;
        let secrets = self.open_secrets(&project, &build, sealed)?;
        let job = with_needed_images(job, &needs, is_cache);
        let needs = needs
            .into_iter()
            .map(|(job, artifacts)| NeededJob {
                token: self.archive_token(&job),
                job,
                artifacts,
            })
            .collect();
        Ok(ClaimedJob {
            token: self.job_token(&job),
            mark: self.image_mark(&job),
            source: self.source_of(&build),
            max_file_bytes: self.inner.settings.max_artifact_bytes,
            caches: self.cache_scopes(&project, &build),
            push_targets: self
                .push_targets(&project)
                .unwrap_or(PushTargets::Below(Vec::new())),
            job,
            build,
            project,
            secrets,
            needs,
            missing,
            artifacts,
            running,
        })
    }

    fn cache_scopes(&self, project: &Project, build: &Build) -> CacheScopes {
        // Ids come again after a restore from a backup, so the id alone does not name a project.
        let since = project.created_at.timestamp_millis();
        let scope = |level: &str| {
            let purpose = format!("cache {} {since} {level}", project.id);
            hex::encode(self.derived(&purpose))
        };
        CacheScopes {
            project: scope("all"),
            trust: scope(build.trust.as_str()),
        }
    }

    /// Where the submitted sources of a build are, if it has any.
    fn source_of(&self, build: &Build) -> Option<ClaimedSource> {
        let submission = &build.submission;
        // A foreign server must not see the token, so only sources that the farm stores have one.
        let is_stored = submission.source_key.is_some();
        Some(ClaimedSource {
            url: submission.source_url.clone()?,
            token: is_stored.then(|| self.source_token(build.uuid)),
            sha256: submission.source_sha256.clone(),
        })
    }

    /// A value that changes whenever the runner may find a job that it did not find before. It is
    /// different for every runner, because one program that serves several runners mixes them up.
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
