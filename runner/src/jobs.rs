//! One job from its claim to the coordinator's last answer.
//!
//! Work, heartbeats and trace run side by side. The final report is sent once the whole trace is
//! stored. The job's directory holds the trace, so it is deleted after the coordinator's answer.

pub mod heartbeat;
pub mod phases;
mod report;
mod secrets;
pub mod stop;
mod transfers;
mod uploads;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use slipway_domain::{
    BuildStep, FailureReason, JobSpec, JobToken, Platform, RunnerToken, TrustLevel,
};
use slipway_image_builder::Progress as _;
use slipway_protocol::{ImageResult, JobPayload, UpdateRequest};
use tokio_util::sync::CancellationToken;

use crate::client::CoordinatorClient;
use crate::executor::{Executor, Failure, Job, Output, disk_full};
use crate::health::{Health, Verdict};
use crate::jobs::heartbeat::Heartbeat;
use crate::jobs::phases::Phases;
use crate::jobs::report::{ReportedTrace, Reporter, STOP_GRACE, empty_sum, report_of};
use crate::jobs::secrets::{prepare, secrets_of, warnings};
use crate::jobs::stop::{Stop, StopCause};
use crate::leftovers::Leftovers;
use crate::traces::sender::{Delivery, TraceSender};
use crate::traces::spool::Spool;
use crate::work_dir::WorkDir;
use slipway_masking::secrets::Secrets;

/// The time limit of a job for which the coordinator sets none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(7200);

/// Runs jobs and reports their results.
pub struct JobRunner {
    pub coordinator: CoordinatorClient,
    pub token: RunnerToken,
    pub executor: Arc<dyn Executor>,
    pub work_dir: WorkDir,
    /// The platforms that images are built for besides this host's own.
    pub emulates: Vec<Platform>,
    /// The trust levels of the builds that this runner is dedicated to; empty for all.
    pub trust: Vec<TrustLevel>,
    /// The size limit of a trace, in bytes.
    pub trace_limit: u64,
    /// What jobs could not delete.
    pub leftovers: Leftovers,
    /// Stops all jobs.
    pub stop_all: CancellationToken,
}

impl JobRunner {
    /// Runs one job and reports its result. Returns when the coordinator has taken the report. What
    /// the job shows about this host is recorded in `health` before that.
    pub async fn run(&self, payload: JobPayload, health: &Health) {
        let id = payload.id;
        let _in_engine = self.leftovers.use_engine().await;
        tracing::info!("Job {id} is claimed");
        let Err(error) = self.run_in_work_dir(payload, health).await else {
            return;
        };
        tracing::error!("Could not create a work directory for job {id}: {error}");
        let failure = work_dir_failure(&error);
        record(health, &Verdict::Faulty(failure.message.clone())).await;
        let report = report_of(&Err(failure), empty_sum());
        self.reporter().send_without_trace(id, report).await;
    }

    /// Reports that this runner cannot run a job at all.
    pub async fn refuse(&self, id: i64) {
        tracing::warn!("Job {id} needs features this runner does not support");
        let failure = Failure {
            reason: FailureReason::Unsupported,
            message: "the job needs features that this runner does not support; update the runner"
                .to_owned(),
        };
        let report = report_of(&Err(failure), empty_sum());
        self.reporter().send_without_trace(id, report).await;
    }

    fn reporter(&self) -> Reporter<'_> {
        Reporter {
            coordinator: &self.coordinator,
            token: &self.token,
            stop_all: &self.stop_all,
        }
    }

    /// # Errors
    /// Fails if the work directory or the trace file cannot be created. Nothing was reported then.
    async fn run_in_work_dir(&self, payload: JobPayload, health: &Health) -> std::io::Result<()> {
        // A coordinator that knows this runner adds this part. Without it there is no job spec.
        let Some(own) = payload.own.clone() else {
            self.refuse(payload.id).await;
            return Ok(());
        };
        let id = payload.id;
        let job_dir = self.work_dir.create_job_dir(id)?;
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
        let is_reported = CancellationToken::new();
        let work = async {
            // On every path: heartbeats must not go on for a job that has failed to start.
            let _reported = is_reported.clone().drop_guard();
            let values = secrets_of(&payload, &self.token);
            let short = warnings(&values);
            let secrets = prepare(values).await?;
            let trace_file = job_dir.path().join("trace");
            let spool = Spool::create(&trace_file, secrets.clone(), self.trace_limit)?;
            let spool = Arc::new(spool);
            let job = Job {
                payload,
                own,
                // The executor gets a directory of its own: the trace beside it is out of its reach.
                dir: job_dir.path().join("work"),
                output: Output::new(Arc::clone(&spool), phases.clone()),
                stop: stop.clone(),
                upload: OnceLock::new(),
                commit_time: OnceLock::new(),
                exit_code: OnceLock::new(),
                exceeded_limit: OnceLock::new(),
                uploading: OnceLock::new(),
            };
            for warning in short {
                job.output.line(&warning);
            }
            self.run_and_report(&job, &spool, &secrets, health).await;
            Ok(())
        };
        let (started, ()) = tokio::join!(work, heartbeat.run(&is_reported));
        // Deleting a large checkout takes time, and must not block the other jobs on this thread.
        let deleted = tokio::task::spawn_blocking(move || job_dir.close()).await;
        if let Ok(Err(error)) = deleted {
            tracing::warn!("Could not delete the work directory of job {id}: {error}");
        }
        started
    }

    /// Does the work while its trace is sent, and reports the result when all of it is sent.
    async fn run_and_report(&self, job: &Job, spool: &Spool, secrets: &Secrets, health: &Health) {
        let (id, stop) = (job.payload.id, &job.stop);
        let token = JobToken::presented(job.payload.token.clone());
        let mut sender = TraceSender::new(&self.coordinator, id, token, spool);
        let reporter = self.reporter();
        let execute = async {
            let outcome = self.execute(job).await;
            // A message may quote a command, and a command may contain a secret.
            let outcome = outcome.map_err(|failure| Failure {
                message: secrets.mask(&failure.message),
                ..failure
            });
            if let Err(failure) = &outcome {
                job.output.line(&format!("Failed: {}", failure.message));
            }
            (outcome, spool.end())
        };
        let sending = reporter.unless_stopping(sender.run(stop));
        let ((outcome, sum), delivery) = tokio::join!(execute, sending);
        // The coordinator accepts no phase after the final report.
        tokio::select! {
            _ = reporter.unless_stopping(job.output.phase_reported()) => {}
            () = stop.stopped() => {}
        }
        record(health, &verdict_of(job, &outcome)).await;
        let report = report_of(&outcome, sum);
        if stop.cause() == Some(StopCause::EndedByCoordinator) {
            // The coordinator has a result already; this only says that the work has stopped.
            let report = report_of(&outcome, empty_sum());
            reporter.send_without_trace(id, report).await;
            tracing::info!("Job {id} has stopped");
        } else {
            let report = UpdateRequest {
                exit_code: job.exit_code.get().copied(),
                build_steps: masked(job.output.steps(), secrets),
                ..report
            };
            let trace = ReportedTrace {
                sender: &mut sender,
                delivery: delivery.unwrap_or(Delivery::Refused),
                stop,
            };
            if reporter.send_with_trace(id, report, trace).await {
                log_result(id, &outcome);
            }
        }
    }

    /// Does the work until it ends or is stopped, and cleans up after it.
    async fn execute(&self, job: &Job) -> Result<Option<ImageResult>, Failure> {
        let limit = match job.payload.timeout {
            0 => DEFAULT_TIMEOUT,
            seconds => Duration::from_secs(u64::from(seconds)),
        };
        let mut trace = job.output.follow();
        let work = async {
            let created = tokio::fs::create_dir(&job.dir).await;
            created.map_err(|error| work_dir_failure(&error))?;
            transfers::fetch_artifacts(&self.coordinator, job).await?;
            transfers::fetch_package(&self.coordinator, job).await?;
            transfers::fetch_source(&self.coordinator, job).await?;
            self.executor.prepare(job).await?;
            let outcome = self.executor.run(job).await;
            transfers::upload(&self.coordinator, self.executor.as_ref(), job, outcome).await
        };
        let watch = async {
            tokio::select! {
                () = self.stop_all.cancelled() => job.stop.stop(StopCause::RunnerStopping),
                () = tokio::time::sleep(limit) => job.stop.stop(StopCause::TimedOut),
                _ = trace.wait_for(|state| state.has_failed) => {
                    job.stop.stop(StopCause::DiskFull);
                }
                () = job.stop.stopped() => {}
            }
            tokio::time::sleep(STOP_GRACE).await;
        };
        let outcome = tokio::select! {
            outcome = work => outcome,
            () = watch => Err(Failure {
                reason: FailureReason::RunnerFault,
                message: "the work did not stop within 10 s after the job was stopped".to_owned(),
            }),
        };
        // It runs on every path: containers outlive a future that is dropped.
        if let Err(why) = self.executor.clean(job).await {
            let id = job.payload.id;
            tracing::warn!("Could not delete the containers and images of job {id} yet: {why}");
            self.leftovers.note_job(id);
        }
        match job.stop.cause() {
            None => outcome,
            // The executor only sees that it was stopped. The cause explains the failure better.
            Some(cause) => Err(stop_failure(cause, limit, job.uploading.get())),
        }
    }
}

/// Records what a job shows about its host, before the job is reported: after the report, the
/// coordinator may at once offer the next attempt to this runner.
async fn record(health: &Health, verdict: &Verdict) {
    health.record(verdict);
    if let Verdict::Faulty(_) = verdict {
        health.stopped_polling().await;
    }
}

/// What this outcome of a job shows about its host.
fn verdict_of(job: &Job, outcome: &Result<Option<ImageResult>, Failure>) -> Verdict {
    let is_stopped = matches!(job.stop.cause(), Some(cause) if cause != StopCause::DiskFull);
    if is_stopped || job.exceeded_limit.get().is_some() {
        return Verdict::Unknown;
    }
    let works = match (&job.own.spec, outcome) {
        (_, Err(failure)) if is_host_fault(failure.reason) => {
            return Verdict::Faulty(failure.message.clone());
        }
        // Pushing an index needs neither the engine nor much space.
        (JobSpec::ImageIndex(_), _) => false,
        (_, Ok(_)) => true,
        // The host ran the command that failed.
        (_, Err(failure)) => matches!(
            failure.reason,
            FailureReason::BuildFailed | FailureReason::JobFailed
        ),
    };
    if works {
        Verdict::Works
    } else {
        Verdict::Unknown
    }
}

fn is_host_fault(reason: FailureReason) -> bool {
    matches!(reason, FailureReason::RunnerFault | FailureReason::DiskFull)
}

fn log_result(id: i64, outcome: &Result<Option<ImageResult>, Failure>) {
    match outcome {
        Ok(_) => tracing::info!("Job {id} succeeded"),
        Err(failure) => tracing::info!(
            reason = %failure.reason,
            "Job {id} failed: {}",
            failure.message
        ),
    }
}

/// Masks the names of build steps: a step is named after its instruction, which may contain a
/// secret.
fn masked(steps: Vec<BuildStep>, secrets: &Secrets) -> Vec<BuildStep> {
    let steps = steps.into_iter().map(|step| BuildStep {
        name: secrets.mask(&step.name),
        ..step
    });
    steps.collect()
}

/// The failure of a job that was stopped; `limit` is its time limit, `uploading` the artifact that was
/// being uploaded.
fn stop_failure(cause: StopCause, limit: Duration, uploading: Option<&String>) -> Failure {
    let (reason, mut message) = match cause {
        StopCause::TimedOut => (
            FailureReason::TimedOut,
            format!("the job exceeded its time limit of {} s", limit.as_secs()),
        ),
        StopCause::RunnerStopping => (
            FailureReason::RunnerFault,
            "the runner was stopped while the job ran".to_owned(),
        ),
        StopCause::DiskFull => return disk_full(),
        StopCause::EndedByCoordinator => {
            (FailureReason::JobFailed, "the job was canceled".to_owned())
        }
    };
    if let Some(name) = uploading {
        message = format!("{message}; {name} is not uploaded");
    }
    Failure { reason, message }
}

fn work_dir_failure(error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::StorageFull => disk_full(),
        _ => Failure {
            reason: FailureReason::RunnerFault,
            message: "the runner could not create a work directory for the job".to_owned(),
        },
    }
}
