//! What a job does, behind one trait: a real one with Docker, and a scripted one for rehearsals.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use slipway_domain::{FailureReason, Phase};
use slipway_image_builder::Progress;
use slipway_protocol::{ImageResult, JobPayload, OwnJob};
use tokio::sync::watch;

use crate::spool::{Spool, Written};
use crate::stop::Stop;

/// A job as an executor sees it.
pub struct Job {
    /// All that the coordinator said.
    pub payload: JobPayload,
    /// The part of it for our runner.
    pub own: OwnJob,
    /// A fresh directory, for this job alone.
    pub dir: PathBuf,
    /// Where its output goes.
    pub output: Output,
    /// Stops it.
    pub stop: Stop,
}

/// Why a job failed: the farm's word, and a sentence that somebody can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The farm's word.
    pub reason: FailureReason,
    /// The sentence.
    pub message: String,
}

/// The trace and the phase of a job. Clones write to the same.
#[derive(Clone)]
pub struct Output {
    spool: Arc<Spool>,
    phases: watch::Sender<Phase>,
}

impl Output {
    /// Output to this spool; phases are told to whoever follows `phases`.
    pub fn new(spool: Arc<Spool>, phases: watch::Sender<Phase>) -> Self {
        Self { spool, phases }
    }

    /// Follows how far the trace has come.
    pub fn follow(&self) -> watch::Receiver<Written> {
        self.spool.follow()
    }

    /// Writes a line to the trace.
    pub fn line(&self, line: &str) {
        self.spool.write(format!("{line}\n").as_bytes());
    }
}

impl Progress for Output {
    fn phase(&self, phase: Phase) {
        self.phases.send_if_modified(|now| {
            let is_new = *now != phase;
            *now = phase;
            is_new
        });
    }

    fn output(&self, text: &[u8]) {
        self.spool.write(text);
    }
}

/// Runs jobs. Jobs may run side by side; the calls for one job come in this order:
///
/// 1. `prepare` fetches what the job needs into its directory;
/// 2. `run`, only if that went well, does the work;
/// 3. `clean`, on every path, removes what the job left outside of its directory.
///
/// When the job is stopped, `prepare` and `run` stop the work itself and return soon, with any
/// failure; a call that does not is dropped, and `clean` has to do with what it left.
#[async_trait]
pub trait Executor: Send + Sync {
    /// The word by which the coordinator knows it.
    fn name(&self) -> &'static str;

    /// Removes what a dead predecessor left, before the first job.
    async fn sweep(&self);

    /// Fetches what the job needs.
    async fn prepare(&self, job: &Job) -> Result<(), Failure>;

    /// Does the work; returns the image it made, if that is what the job is for.
    async fn run(&self, job: &Job) -> Result<Option<ImageResult>, Failure>;

    /// Removes what the job left.
    async fn clean(&self, job: &Job);
}
