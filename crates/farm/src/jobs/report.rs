//! Reports of runners that authenticate with the token of the runner (protocol v1).

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

/// The longest time that the answer to a heartbeat is held, whatever the runner asks for.
const MAX_HEARTBEAT_WAIT: Duration = Duration::from_secs(10);

/// What a runner reports about a job.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The whole trace, which replaces what is stored.
    pub trace: Option<Bytes>,
    pub phase: Option<Phase>,
    /// The base image that the job pulls in this phase.
    pub base_image: Option<BaseImage>,
    /// How the job ended, if it did.
    pub ended: Option<Ended>,
    /// With an end, how much of the trace the runner sent. When the farm stores something else, the
    /// end counts nevertheless, and the trace is marked as incomplete.
    pub sent: SentTrace,
    /// For how long the answer may be held while nothing changes.
    pub wait: Option<Duration>,
}

/// How a job ended.
#[derive(Clone, Debug)]
pub struct Ended {
    pub result: ReportedResult,
    /// A sentence about the failure.
    pub message: Option<String>,
    /// The trace that must be stored before the end counts.
    pub trace: Option<Extent>,
    /// The image that the job made.
    pub image: Option<MadeImage>,
    /// The exit code of the last command.
    pub exit_code: Option<i32>,
    /// The steps of an image build that were reached.
    pub build_steps: Vec<BuildStep>,
}

/// An image that a job made.
#[derive(Clone, Debug)]
pub struct MadeImage {
    /// Where the image was pushed; `None` when it was not.
    pub reference: Option<String>,
    /// The digest of the manifest.
    pub digest: String,
    /// The tags that were pushed.
    pub tags: Vec<String>,
    /// The size of the layers, in bytes.
    pub size_bytes: u64,
    /// Platform and layers.
    pub details: ImageDetails,
}

impl MadeImage {
    /// Checks the texts that are stored and shown.
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
    /// Applies a report, and returns the state of the job afterwards.
    ///
    /// # Errors
    /// `NotFound` when this runner no longer has the job; `Erased`; `Invalid` for an invalid image;
    /// `TraceGap` when the trace is not complete at the end.
    pub async fn report(
        &self,
        runner: &Runner,
        id: JobId,
        report: Report,
    ) -> Result<JobState, FarmError> {
        // Contact counts even if the report is refused: the runner is alive.
        self.record_contact(runner, None).await?;
        // Watch before reading, or a change in between is missed while the answer is held.
        let mut watch = report.wait.map(|_| self.inner.wakeups.watch(id));
        let job = self.read(move |conn| jobs::get(conn, id)).await?;
        if job.erased_at.is_some() {
            return Err(FarmError::Erased);
        }
        // The final report of a canceled job is refused below, but it shows that the runner has
        // stopped.
        if job.state == JobState::Done(Outcome::Canceled)
            && job.runner == Some(runner.id)
            && report.ended.is_some()
        {
            self.record_stopped(id).await?;
        }
        // Another runner may have the next attempt by now; the lease tells whose report counts.
        if !matches!(job.state, JobState::Running(lease, _) if lease.runner == runner.id) {
            return Err(FarmError::NotFound("running job of this runner"));
        }
        if let Some(image) = report.ended.as_ref().and_then(|ended| ended.image.as_ref()) {
            // Before anything is written, so that an invalid report changes nothing.
            image.check()?;
        }
        if let Some(trace) = report.trace {
            self.replace_trace(id, trace).await?;
        }
        if let Some(ended) = report.ended {
            return self.take_end(runner.id, &job, ended, report.sent).await;
        }
        let state = self
            .renew(runner.id, id, report.phase, report.base_image)
            .await?;
        if let (Some(wait), Some(watch)) = (report.wait, &mut watch) {
            return self
                .hold(runner.id, id, state, wait.min(MAX_HEARTBEAT_WAIT), watch)
                .await;
        }
        Ok(state)
    }

    /// Ends a job as its runner reports.
    pub(crate) async fn take_end(
        &self,
        runner: RunnerId,
        job: &Job,
        mut ended: Ended,
        sent: SentTrace,
    ) -> Result<JobState, FarmError> {
        // A stock runner cannot report images; its commands report them in the trace.
        if ended.result == ReportedResult::Succeeded && ended.image.is_none() {
            ended.image = self.marked_image(job).await?;
        }
        self.end(runner, job.id, ended, sent).await
    }

    /// Notes that the runner of a canceled job has stopped it.
    pub(crate) async fn record_stopped(&self, id: JobId) -> Result<(), FarmError> {
        let write = move |conn: &mut Conn| jobs::record_stopped(conn, id);
        if self.write(write).await? {
            self.announce_job_changes(&[id]);
        }
        Ok(())
    }

    /// Holds the answer to a heartbeat until the runner loses the job or the wait ends.
    async fn hold(
        &self,
        runner: RunnerId,
        id: JobId,
        mut state: JobState,
        wait: Duration,
        watch: &mut JobWatch,
    ) -> Result<JobState, FarmError> {
        // A held answer lets the runner learn of a cancel at once instead of at its next
        // heartbeat.
        let deadline = Instant::now() + wait;
        while state.is_running() {
            tokio::select! {
                () = watch.changed() => {}
                // The lease is renewed again at the end, because holding the answer took part of
                // it.
                () = tokio::time::sleep_until(deadline) => return self.renew(runner, id, None, None).await,
                () = self.inner.stopping.cancelled() => return Ok(state),
            }
            state = self.read(move |conn| jobs::get(conn, id)).await?.state;
        }
        Err(FarmError::NotFound("running job of this runner"))
    }

    /// Renews the lease of a running job. Requests that watch the job are woken for a new phase.
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
            // A trace that is not complete yet refuses the end: the runner deletes its spool once
            // the end is accepted.
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
            if !sent.is(traces::received(conn, id)?) {
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
                self.delete_blobs(unused).await;
                Err(FarmError::TraceGap { held })
            }
        }
    }
}

/// What the transaction of an end did.
enum Written {
    Ended(JobState, Changes),
    /// Nothing: the stored trace differs from the runner's, which is to send it again from `held`.
    Gap {
        held: u64,
        unused: Vec<String>,
    },
}

/// Compares the stored trace with the whole one. A stored trace that is not the beginning of it is
/// deleted, so that the runner, which still has every byte, can send it again.
fn close_gap(conn: &mut Conn, id: JobId, whole: Extent) -> Result<Option<Written>, StoreError> {
    let held = traces::received(conn, id)?;
    if held == whole {
        return Ok(None);
    }
    // A shorter trace may still be the beginning of the whole one; the runner continues from
    // there.
    if held.length < whole.length {
        return Ok(Some(Written::Gap {
            held: held.length,
            unused: Vec::new(),
        }));
    }
    tracing::warn!(
        job.id = %id,
        "The stored trace of job {id} differs from its runner's; it is sent again"
    );
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
