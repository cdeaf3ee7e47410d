//! A runner says how a job goes, and hears whether it should go on.

use std::time::Duration;

use bytes::Bytes;
use slipway_domain::base_image::BaseImage;
use slipway_domain::image::is_tag;
use slipway_domain::names::{Invalid, check_line, clean_message};
use slipway_domain::{
    BuildStep, Event, ImageDetails, JobId, JobState, Outcome, Phase, ReportedResult, RunnerId,
};
use slipway_store::artifacts::{self, Content, NewArtifact};
use slipway_store::jobs::{self, Changes, Job};
use slipway_store::runners::Runner;
use slipway_store::traces::{self, Extent};
use slipway_store::{Conn, StoreError, phases};
use tokio::time::Instant;

use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::ending::finish;
use crate::state::wakeups::JobWatch;
use crate::traces::append::SentTrace;

/// The longest that a beat is held, whatever the runner asks for.
const MAX_BEAT_WAIT: Duration = Duration::from_secs(10);

/// What a runner says of a job.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The whole trace, in the place of what is stored.
    pub trace: Option<Bytes>,
    /// What the job is doing.
    pub phase: Option<Phase>,
    /// The base image that it pulls in this phase.
    pub base_image: Option<BaseImage>,
    /// How it ended, if it did.
    pub ended: Option<Ended>,
    /// With an end, what the runner says that it sent of the trace. When the farm holds something else
    /// the end counts all the same, and the job is marked.
    pub sent: SentTrace,
    /// How long the answer may be held back while nothing changes.
    pub wait: Option<Duration>,
}

/// How a job ended, as its runner tells it.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How.
    pub result: ReportedResult,
    /// A sentence on a failure.
    pub message: Option<String>,
    /// How much trace there must be before the end counts.
    pub trace: Option<Extent>,
    /// The image it made.
    pub image: Option<MadeImage>,
    /// What its last command ended with, if the runner tells.
    pub exit_code: Option<i32>,
    /// The steps of an image build, as far as they came.
    pub build_steps: Vec<BuildStep>,
}

/// An image that a job made.
#[derive(Clone, Debug)]
pub struct MadeImage {
    /// What was pushed.
    pub reference: Option<String>,
    /// The manifest's digest.
    pub digest: String,
    /// The tags that were pushed.
    pub tags: Vec<String>,
    /// The size of its layers, in bytes.
    pub size_bytes: u64,
    /// Its platform and layers.
    pub details: ImageDetails,
}

impl MadeImage {
    /// Checks what is stored and shown of it.
    fn check(&self) -> Result<(), Invalid> {
        check_line("image digest", &self.digest)?;
        check_line(
            "image reference",
            self.reference.as_deref().unwrap_or_default(),
        )?;
        if self.digest.is_empty() {
            return Err(Invalid::new("image digest", "", "the digest of a manifest"));
        }
        for layer in &self.details.layers {
            check_line("layer of an image", &layer.diff_id)?;
        }
        match self.tags.iter().find(|tag| !is_tag(tag)) {
            Some(tag) => Err(Invalid::new("image tag", tag, "a tag of a registry")),
            None => Ok(()),
        }
    }
}

impl Farm {
    /// Takes a report, and returns the state the job has afterwards.
    ///
    /// # Errors
    /// `NotFound` when the job is not with this runner any more; `Erased`; `Invalid` for an image
    /// that cannot be; `TraceGap` when the trace is not whole at the end.
    pub async fn report(
        &self,
        runner: &Runner,
        id: JobId,
        report: Report,
    ) -> Result<JobState, FarmError> {
        self.record_contact(runner, None).await?;
        let mut watch = report.wait.map(|_| self.inner.wakeups.watch(id));
        let job = self.read(move |conn| jobs::get(conn, id)).await?;
        if job.erased_at.is_some() {
            return Err(FarmError::Erased);
        }
        if job.state == JobState::Done(Outcome::Canceled)
            && job.runner == Some(runner.id)
            && report.ended.is_some()
        {
            self.record_stopped(id).await?;
        }
        if !matches!(job.state, JobState::Running(lease, _) if lease.runner == runner.id) {
            return Err(FarmError::NotFound("running job of this runner"));
        }
        if let Some(image) = report.ended.as_ref().and_then(|ended| ended.image.as_ref()) {
            image.check()?;
        }
        if let Some(trace) = report.trace {
            self.replace_trace(id, trace).await?;
        }
        let state = match report.ended {
            Some(ended) => return self.take_end(runner.id, &job, ended, report.sent).await,
            None => {
                self.renew(runner.id, id, report.phase, report.base_image)
                    .await?
            }
        };
        if let (Some(wait), Some(watch)) = (report.wait, &mut watch) {
            return self
                .hold(runner.id, id, state, wait.min(MAX_BEAT_WAIT), watch)
                .await;
        }
        Ok(state)
    }

    /// Ends a job as its runner says.
    pub(crate) async fn take_end(
        &self,
        runner: RunnerId,
        job: &Job,
        mut ended: Ended,
        sent: SentTrace,
    ) -> Result<JobState, FarmError> {
        // Only the commands of a stock runner know what was pushed.
        if ended.result == ReportedResult::Succeeded && ended.image.is_none() {
            ended.image = self.marked_image(job).await?;
        }
        self.end(runner, job.id, ended, sent).await
    }

    /// Notes that the runner of a canceled job has stopped.
    pub(crate) async fn record_stopped(&self, id: JobId) -> Result<(), FarmError> {
        let write = move |conn: &mut Conn| jobs::record_stopped(conn, id);
        if self.write(write).await? {
            self.announce_job_changes(&[id]);
        }
        Ok(())
    }

    /// Holds a beat until the job is taken from the runner, or the wait is over.
    async fn hold(
        &self,
        runner: RunnerId,
        id: JobId,
        mut state: JobState,
        wait: Duration,
        watch: &mut JobWatch,
    ) -> Result<JobState, FarmError> {
        let deadline = Instant::now() + wait;
        while state.is_running() {
            tokio::select! {
                () = watch.changed() => {}
                () = tokio::time::sleep_until(deadline) => return self.renew(runner, id, None, None).await,
                () = self.inner.stopping.cancelled() => return Ok(state),
            }
            state = self.read(move |conn| jobs::get(conn, id)).await?.state;
        }
        Err(FarmError::NotFound("running job of this runner"))
    }

    /// Renews the lease of a running job; a change of phase is told to those who watch.
    pub(crate) async fn renew(
        &self,
        runner: RunnerId,
        id: JobId,
        phase: Option<Phase>,
        base_image: Option<BaseImage>,
    ) -> Result<JobState, FarmError> {
        let now = self.now();
        let state = self
            .write(move |conn| {
                let job = jobs::get(conn, id)?;
                let state = jobs::renew(conn, &job, runner, phase, now)?;
                if let Some(image) = &base_image {
                    phases::record_base_image(conn, id, &image.to_string())?;
                }
                Ok(state)
            })
            .await
            .map_err(|error| match error {
                FarmError::Refused(_) => FarmError::NotFound("running job of this runner"),
                other => other,
            })?;
        if phase.is_some() {
            self.announce_job_changes(&[id]);
        }
        Ok(state)
    }

    async fn end(
        &self,
        runner: RunnerId,
        id: JobId,
        ended: Ended,
        sent: SentTrace,
    ) -> Result<JobState, FarmError> {
        let (now, policy) = (self.now(), self.retry_policy());
        let written = self.write(move |conn| {
            if let Some(whole) = ended.trace
                && let Some(gap) = close_gap(conn, id, whole)?
            {
                return Ok(gap);
            }
            if let Some(image) = &ended.image {
                artifacts::put(conn, &image_of(id, image), now)?;
            }
            let event = Event::Report(runner, ended.result);
            let message = ended.message.as_deref().map(clean_message);
            let (state, changes) = finish(conn, id, event, message.as_deref(), policy, now)?;
            if !sent.is(traces::extent(conn, id)?) {
                jobs::record_trace_incomplete(conn, id)?;
            }
            if ended.exit_code.is_some() {
                jobs::record_exit(conn, id, ended.exit_code, None)?;
            }
            if !ended.build_steps.is_empty() {
                jobs::record_build_steps(conn, id, &ended.build_steps)?;
            }
            Ok(Written::Ended(state, changes))
        });
        match written.await? {
            Written::Ended(state, changes) => {
                self.announce_changes(changes).await;
                Ok(state)
            }
            Written::Gap { held, unused } => {
                self.drop_blobs(unused).await;
                Err(FarmError::TraceGap { held })
            }
        }
    }
}

/// What came of writing an end down.
enum Written {
    Ended(JobState, Changes),
    /// The trace is not what the runner says; it goes on from `held`.
    Gap {
        held: u64,
        unused: Vec<String>,
    },
}

/// Compares the stored trace with the whole one. What is not a beginning of it is thrown away, so
/// that the runner, which has every byte, can send it again.
fn close_gap(conn: &mut Conn, id: JobId, whole: Extent) -> Result<Option<Written>, StoreError> {
    let held = traces::extent(conn, id)?;
    if held == whole {
        return Ok(None);
    }
    if held.length < whole.length {
        return Ok(Some(Written::Gap {
            held: held.length,
            unused: Vec::new(),
        }));
    }
    tracing::warn!(job.id = %id, "The trace of job {id} differs from its runner's and is sent again");
    let unused = traces::clear(conn, id)?;
    Ok(Some(Written::Gap { held: 0, unused }))
}

fn image_of(job: JobId, image: &MadeImage) -> NewArtifact {
    NewArtifact {
        job,
        content: Content::Image {
            reference: image
                .reference
                .clone()
                .unwrap_or_else(|| image.digest.clone()),
            digest: image.digest.clone(),
            tags: image.tags.clone(),
            details: image.details.clone(),
        },
        size_bytes: image.size_bytes,
        expires_at: None,
    }
}
