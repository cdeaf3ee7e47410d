//! A runner asks for a job, and waits for one if it may.

use std::time::Duration;

use chrono::TimeDelta;
use slipway_domain::image_mark::ImageMark;
use slipway_domain::spec::{ImageIndex, PlatformImage};
use slipway_domain::tokens::SourceToken;
use slipway_domain::{JobId, JobSpec, JobToken, Name, QueueKeyId};
use slipway_store::artifacts::{self, Artifact, Content};
use slipway_store::builds::{self, Build};
use slipway_store::jobs::{self, Job};
use slipway_store::projects::{self, Project};
use slipway_store::runners::{self, About, Runner};
use slipway_store::{ClaimRequest, Conn, StoreError, queue};
use tokio::time::{Instant, timeout_at};

use crate::processes::Process;
use crate::secrets::JobSecrets;
use crate::wakeups::Pending;
use crate::{Farm, FarmError};

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
            Some((about, heartbeat)) => runner.saying(about, *heartbeat),
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
    pub mark: ImageMark,
    /// Variables and logins.
    pub secrets: JobSecrets,
    /// The jobs it needed, with what they made.
    pub needs: Vec<Needed>,
    /// What it made itself so far.
    pub artifacts: Vec<Artifact>,
    /// The sources that were handed in, in the place of a commit.
    pub source: Option<ClaimedSource>,
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

/// The build argument by which `BuildKit` is told to write down in an image how it was made, so that
/// others can take layers from it.
const INLINE_CACHE: &str = "BUILDKIT_INLINE_CACHE";

/// `job` with the images of the jobs that it needs by their digests, and fit for those that take
/// layers from its own.
fn with_images(mut job: Job, needs: &[(Job, Vec<Artifact>)], is_cache: bool) -> Job {
    let image_of = |name: &Name| {
        let (_, made) = needs.iter().find(|(need, _)| need.name == name.as_str())?;
        made.iter().find_map(|artifact| match &artifact.content {
            Content::Image {
                reference, digest, ..
            } if reference != digest => Some(pinned(reference, digest)),
            // What was not pushed is nowhere to be had.
            _ => None,
        })
    };
    match &mut job.spec {
        JobSpec::ImageBuild(image) => {
            let args = std::mem::take(&mut image.image_args);
            let told = args
                .into_iter()
                .filter_map(|(key, of)| Some((key, image_of(&of)?)));
            image.args.extend(told);
            image.cache_image = image.cache_of.take().and_then(|of| image_of(&of));
            if is_cache {
                image.args.insert(INLINE_CACHE.to_owned(), "1".to_owned());
            }
        }
        JobSpec::Script(script) => {
            if let Some(of) = &script.image_of {
                script.image = image_of(of);
            }
        }
        JobSpec::ImageIndex(index) => index.images = images_for_index(index, needs),
    }
    job
}

/// The images that an index is made of, as far as they were pushed for a platform that is known.
fn images_for_index(index: &ImageIndex, needs: &[(Job, Vec<Artifact>)]) -> Vec<PlatformImage> {
    let of = |name: &Name| {
        let (_, made) = needs.iter().find(|(need, _)| need.name == name.as_str())?;
        made.iter().find_map(|artifact| match &artifact.content {
            Content::Image {
                digest, details, ..
            } => Some(PlatformImage {
                platform: details.platform.clone()?,
                digest: digest.clone(),
            }),
            _ => None,
        })
    };
    index.images_of.iter().filter_map(of).collect()
}

/// Whether `other` takes layers from the image of `job`.
fn takes_layers(other: &Job, job: &Job) -> bool {
    match &other.spec {
        JobSpec::ImageBuild(image) => {
            let of = image.cache_of.as_ref();
            of.is_some_and(|of| of.as_str() == job.name)
        }
        JobSpec::Script(_) | JobSpec::ImageIndex(_) => false,
    }
}

/// The reference of an image by its digest, in the place of its tag.
fn pinned(reference: &str, digest: &str) -> String {
    let name = reference.split('@').next().unwrap_or(reference);
    // A colon after the last slash begins a tag; one before it, a port.
    let end = name.rfind('/').map_or(0, |slash| slash + 1);
    let name = match name[end..].find(':') {
        Some(colon) => &name[..end + colon],
        None => name,
    };
    format!("{name}@{digest}")
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
        let look = move |conn: &mut Conn| queue::passes_over(conn, key, id, now);
        Ok(self.inner.store.read(look).await?)
    }

    /// A runner that proved who it is some time ago, as it is now.
    async fn runner_again(&self, runner: &Runner) -> Result<Runner, FarmError> {
        let id = runner.id;
        let read = move |conn: &mut Conn| runners::get(conn, id);
        let now = self.inner.store.read(read).await?;
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
        self.note_taker(claimed.job, process).await?;
        self.tell_changed(&[claimed.job]);
        self.claimed_job(claimed.job).await.map(Some)
    }

    /// A claimed job with all that its runner needs to do it.
    ///
    /// # Errors
    /// `NotFound` when there is no such job.
    pub async fn claimed_job(&self, id: JobId) -> Result<ClaimedJob, FarmError> {
        let (job, build, project, needs, artifacts, is_cache) = self
            .inner
            .store
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
                let is_cache = others.iter().any(|other| takes_layers(other, &job));
                Ok((job, build, project, needs, artifacts, is_cache))
            })
            .await?;
        let secrets = self.job_secrets(&project, &build).await?;
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
        let handed = &build.handed;
        let own = handed.source_key.is_some();
        Some(ClaimedSource {
            url: handed.source_url.clone()?,
            token: own.then(|| self.source_token(build.uuid)),
            sha256: handed.source_sha256.clone(),
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

    /// Wakes runners, here and at other coordinators, for jobs that became pending.
    pub(crate) async fn tell_pending(&self, keys: &[QueueKeyId]) {
        for key in keys {
            let key = *key;
            match self
                .inner
                .store
                .read(move |conn| queue::requirement(conn, key))
                .await
            {
                Ok((requirement, policy)) => {
                    self.inner.wakeups.wake(&Pending {
                        key,
                        passed_on: false,
                        requirement,
                        policy,
                    });
                }
                Err(StoreError::NotFound(_)) => {}
                Err(error) => {
                    tracing::warn!(error = %error, "Runners are woken blindly");
                    self.inner.wakeups.wake_all();
                }
            }
        }
    }

    /// Tells those who watch a job, here and at other coordinators, that it changed.
    pub(crate) fn tell_changed(&self, jobs: &[JobId]) {
        for job in jobs {
            self.hear_changed(*job);
            self.inner.store.announce(slipway_store::Signal::Job(*job));
        }
    }

    /// Wakes those here who wait for something to happen to a job.
    pub(crate) fn hear_changed(&self, job: JobId) {
        self.inner.wakeups.touch(job);
        self.inner.rooms.look(job);
    }

    /// Acts on what a write changed, after its commit.
    pub(crate) async fn publish(&self, changes: jobs::Changes) {
        for key in &changes.pending {
            self.inner
                .store
                .announce(slipway_store::Signal::Pending(*key));
        }
        self.tell_changed(&changes.jobs);
        self.tell_pending(&changes.pending).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_by_its_digest() {
        let told = |reference| pinned(reference, "sha256:1");
        assert_eq!(told("host:5000/a/b:1.2"), "host:5000/a/b@sha256:1");
        assert_eq!(told("host:5000/a/b"), "host:5000/a/b@sha256:1");
        assert_eq!(told("a/b:1@sha256:0"), "a/b@sha256:1");
    }
}
