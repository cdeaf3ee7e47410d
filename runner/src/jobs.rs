//! One job from its claim to the coordinator's last answer.
//!
//! Work, heartbeat and trace run side by side. The last report is sent when the whole trace was
//! stored; only after its answer is the job's directory, with the trace in it, removed.

pub mod heartbeat;
pub mod phases;
mod secrets;
pub mod stop;
mod transfers;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use slipway_domain::{BuildStep, FailureReason, JobToken, Platform, RunnerToken};
use slipway_protocol::{ImageResult, JobPayload, TraceSum, UpdateRequest};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::client::{Coordinator, Finished};
use crate::executor::{Executor, Failure, Job, Output, disk_full};
use crate::jobs::heartbeat::Heartbeat;
use crate::jobs::phases::Phases;
use crate::jobs::secrets::secrets_of;
use crate::jobs::stop::{Stop, StopCause};
use crate::traces::mask::{MIN_SECRET, Secrets};
use crate::traces::sender::{Delivery, TraceSender};
use crate::traces::spool::Spool;
use crate::work_dir::WorkDir;

/// What a job may take when the coordinator names no limit.
const USUAL_LIMIT: Duration = Duration::from_secs(7200);
/// How long an executor may take to stop before it is dropped.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// How long reports are tried yet once the runner was told to stop at once.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What all jobs of a runner share.
pub struct Jobs {
    /// Whom to report to.
    pub coordinator: Coordinator,
    /// The runner's token.
    pub token: RunnerToken,
    /// What runs them.
    pub executor: Arc<dyn Executor>,
    /// Where they run.
    pub work: WorkDir,
    /// What images are built for besides the processor of this host.
    pub emulates: Vec<Platform>,
    /// How many bytes of output a trace takes.
    pub trace_limit: u64,
    /// Stops all jobs at once.
    pub told_to_stop: CancellationToken,
}

impl Jobs {
    /// Runs one job and reports how it ended. Returns when the coordinator has taken the report.
    pub async fn run(&self, payload: JobPayload) {
        let id = payload.id;
        tracing::info!(job.id = id, "Job {id} is claimed");
        let outcome = self.run_here(payload).await;
        let update = match outcome {
            Ok(()) => return,
            Err(error) => {
                tracing::error!(job.id = id, %error, "There is no place to run job {id}");
                let failure = match error.kind() {
                    std::io::ErrorKind::StorageFull => disk_full(),
                    _ => Failure {
                        reason: FailureReason::RunnerFault,
                        message: "the runner could not make a directory for the job".to_owned(),
                    },
                };
                update(&Err(failure), empty_sum())
            }
        };
        self.report_unsent(id, update).await;
    }

    /// Reports a job that cannot be run at all.
    pub async fn refuse(&self, id: i64) {
        tracing::warn!(job.id = id, "Job {id} is beyond this runner");
        let failure = Failure {
            reason: FailureReason::Unsupported,
            message: "the job asks for something this runner does not know; update the runner"
                .to_owned(),
        };
        self.report_unsent(id, update(&Err(failure), empty_sum()))
            .await;
    }

    /// # Errors
    /// When there is no place for the job; nothing was reported then.
    async fn run_here(&self, payload: JobPayload) -> std::io::Result<()> {
        let Some(own) = payload.own.clone() else {
            self.refuse(payload.id).await;
            return Ok(());
        };
        let id = payload.id;
        let place = self.work.job(id)?;
        let secrets = secrets_of(&payload, &self.token);
        let trace = place.path().join("trace");
        let spool = Arc::new(Spool::create(&trace, secrets.clone(), self.trace_limit)?);
        let phases = Phases::default();
        let stop = Stop::default();
        let heartbeat = Heartbeat {
            coordinator: &self.coordinator,
            token: &self.token,
            job: id,
            lease: Duration::from_secs(u64::from(own.lease_s)),
            phases: phases.clone(),
            stop: &stop,
        };
        let token = JobToken::presented(payload.token.clone());
        let mut sender = TraceSender::new(&self.coordinator, id, token, &spool);
        let job = Job {
            payload,
            own,
            dir: place.path().join("work"),
            output: Output::new(Arc::clone(&spool), phases.clone()),
            stop: stop.clone(),
            upload: OnceLock::new(),
            exit_code: OnceLock::new(),
        };
        let is_reported = CancellationToken::new();
        let work = async {
            let execute = async {
                let outcome = self.execute(&job).await;
                let outcome = outcome.map_err(|failure| Failure {
                    message: secrets.mask(&failure.message),
                    ..failure
                });
                if let Err(failure) = &outcome {
                    job.output.line(&format!("Failed: {}", failure.message));
                }
                (outcome, spool.end())
            };
            let ((outcome, sum), delivery) =
                tokio::join!(execute, self.patiently(sender.run(&stop)));
            let delivery = delivery.unwrap_or(Delivery::Refused);
            // The end is the last thing that is told of a job.
            tokio::select! {
                _ = self.patiently(phases.until_told()) => {}
                () = stop.stopped() => {}
            }
            match stop.cause() {
                Some(StopCause::Taken) => self.report_stopped(id, &outcome).await,
                _ => {
                    let update = UpdateRequest {
                        exit_code: job.exit_code.get().copied(),
                        build_steps: masked(job.output.steps(), &secrets),
                        ..update(&outcome, sum)
                    };
                    self.report(&job, &outcome, update, delivery, &mut sender)
                        .await;
                }
            }
            is_reported.cancel();
        };
        tokio::join!(work, heartbeat.run(&is_reported));
        // Removing a large checkout takes time that other jobs need not wait for.
        let removed = tokio::task::spawn_blocking(move || place.close()).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(job.id = id, %error, "The directory of job {id} could not be removed");
        }
        Ok(())
    }

    /// Does the work until it ends or is stopped, and cleans up after it.
    async fn execute(&self, job: &Job) -> Result<Option<ImageResult>, Failure> {
        let limit = match job.payload.timeout {
            0 => USUAL_LIMIT,
            seconds => Duration::from_secs(u64::from(seconds)),
        };
        let mut written = job.output.follow();
        self.warn_of_short_secrets(job);
        let work = async {
            tokio::fs::create_dir(&job.dir).await.map_err(io_failure)?;
            transfers::fetch(&self.coordinator, job).await?;
            transfers::fetch_upload(&self.coordinator, job).await?;
            transfers::fetch_source(&self.coordinator, job).await?;
            self.executor.prepare(job).await?;
            let outcome = self.executor.run(job).await;
            transfers::keep(&self.coordinator, self.executor.as_ref(), job, outcome).await
        };
        let watch = async {
            tokio::select! {
                () = self.told_to_stop.cancelled() => job.stop.stop(StopCause::Told),
                () = tokio::time::sleep(limit) => job.stop.stop(StopCause::TimedOut),
                _ = written.wait_for(|now| now.is_broken) => job.stop.stop(StopCause::DiskFull),
                () = job.stop.stopped() => {}
            }
            tokio::time::sleep(STOP_GRACE).await;
        };
        let outcome = tokio::select! {
            outcome = work => outcome,
            () = watch => Err(Failure {
                reason: FailureReason::RunnerFault,
                message: "the work did not stop when it was told to".to_owned(),
            }),
        };
        self.executor.clean(job).await;
        match job.stop.cause() {
            None => outcome,
            Some(StopCause::TimedOut) => Err(Failure {
                reason: FailureReason::TimedOut,
                message: format!("the job took longer than its {} s", limit.as_secs()),
            }),
            Some(StopCause::Told) => Err(Failure {
                reason: FailureReason::RunnerFault,
                message: "the runner was told to stop".to_owned(),
            }),
            Some(StopCause::DiskFull) => Err(disk_full()),
            Some(StopCause::Taken) => Err(Failure {
                reason: FailureReason::JobFailed,
                message: "the job was canceled".to_owned(),
            }),
        }
    }

    /// Sends the last report, and what is missing of the trace, until it is taken.
    async fn report(
        &self,
        job: &Job,
        outcome: &Result<Option<ImageResult>, Failure>,
        update: UpdateRequest,
        mut delivery: Delivery,
        sender: &mut TraceSender<'_>,
    ) {
        let id = job.payload.id;
        let mut backoff = Backoff::new();
        let reporting = async {
            // What turns out to be no longer ours has ended already.
            while job.stop.cause() != Some(StopCause::Taken) {
                if delivery == Delivery::Refused {
                    tracing::warn!(job.id = id, "The trace of job {id} was not taken whole");
                }
                let finishing = self.coordinator.finish(&self.token, id, update.clone());
                let after = match finishing.await {
                    Finished::Done => break,
                    Finished::Missing { length } => {
                        sender.resume_from(length);
                        delivery = sender.run(&job.stop).await;
                        None
                    }
                    Finished::Retry(retry) => {
                        tracing::warn!(job.id = id, "The report on job {id} waits: {}", retry.why);
                        retry.after
                    }
                };
                tokio::time::sleep(backoff.after_failure(after)).await;
            }
        };
        let is_taken = self.patiently(reporting).await.is_some();
        match (is_taken, outcome) {
            (false, _) => tracing::error!(job.id = id, "Job {id} ends unreported"),
            (true, Ok(_)) => tracing::info!(job.id = id, "Job {id} succeeded"),
            (true, Err(failure)) => tracing::info!(
                job.id = id,
                reason = %failure.reason,
                "Job {id} did not succeed: {}",
                failure.message
            ),
        }
    }

    /// Says that the work on a job that is no longer ours has stopped. How it ended is known
    /// already, and so nothing is made of the answer.
    async fn report_stopped(&self, id: i64, outcome: &Result<Option<ImageResult>, Failure>) {
        self.report_unsent(id, update(outcome, empty_sum())).await;
        tracing::info!(job.id = id, "Job {id} has stopped");
    }

    /// Reports on a job that never ran, or whose trace is of no interest any more.
    async fn report_unsent(&self, id: i64, update: UpdateRequest) {
        let mut backoff = Backoff::new();
        let reporting = async {
            loop {
                let finished = self.coordinator.finish(&self.token, id, update.clone());
                match finished.await {
                    // Of an empty trace nothing can be missing.
                    Finished::Done | Finished::Missing { .. } => break,
                    Finished::Retry(retry) => {
                        tokio::time::sleep(backoff.after_failure(retry.after)).await;
                    }
                }
            }
        };
        if self.patiently(reporting).await.is_none() {
            tracing::error!(job.id = id, "Job {id} ends unreported");
        }
    }

    /// Waits without limit, but only a little longer once the runner was told to stop at once.
    async fn patiently<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = async {
                self.told_to_stop.cancelled().await;
                tokio::time::sleep(STOP_GRACE + LAST_WORDS).await;
            } => None,
        }
    }

    fn warn_of_short_secrets(&self, job: &Job) {
        let hidden = job.payload.variables.iter();
        let short = hidden
            .filter(|variable| !variable.public && (1..MIN_SECRET).contains(&variable.value.len()));
        for variable in short {
            job.output.line(&format!(
                "Warning: {} is shorter than {MIN_SECRET} bytes and is not masked",
                variable.key
            ));
        }
    }
}

/// What steps are called may have values in it.
fn masked(steps: Vec<BuildStep>, secrets: &Secrets) -> Vec<BuildStep> {
    let steps = steps.into_iter().map(|step| BuildStep {
        name: secrets.mask(&step.name),
        ..step
    });
    steps.collect()
}

fn update(outcome: &Result<Option<ImageResult>, Failure>, sum: TraceSum) -> UpdateRequest {
    let base = UpdateRequest {
        trace_sum: Some(sum),
        ..UpdateRequest::default()
    };
    match outcome {
        Ok(image) => UpdateRequest {
            state: Some("success".to_owned()),
            image: image.clone(),
            ..base
        },
        Err(failure) => UpdateRequest {
            state: Some("failed".to_owned()),
            failure_reason: Some(failure.reason.as_str().to_owned()),
            failure_message: Some(failure.message.clone()),
            ..base
        },
    }
}

fn empty_sum() -> TraceSum {
    TraceSum {
        length: 0,
        crc32: 0,
    }
}

fn io_failure(error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::StorageFull => disk_full(),
        _ => Failure {
            reason: FailureReason::RunnerFault,
            message: "the runner could not make a directory for the job".to_owned(),
        },
    }
}
