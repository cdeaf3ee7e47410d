//! What a job does, behind one trait: a real one with Docker, and a scripted one for rehearsals.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use slipway_domain::base_image::BaseImage;
use slipway_domain::image::details::MAX_ITEMS;
use slipway_domain::{BuildStep, FailureReason, Phase};
use slipway_image_builder::Progress;
use slipway_protocol::{Dependency, ImageResult, JobPayload, OwnJob};
use tokio::sync::watch;

use crate::jobs::phases::Phases;
use crate::jobs::stop::Stop;
use crate::traces::spool::{Spool, Written};

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
    /// The uploaded file that it builds, once that is here.
    pub upload: OnceLock<Upload>,
    /// What the last command of its script ended with, once it has.
    pub exit_code: OnceLock<i32>,
}

impl Job {
    /// The jobs before it whose archives it gets, and the files that hold these until they are
    /// unpacked.
    pub fn needs(&self) -> impl Iterator<Item = (&Dependency, PathBuf)> {
        let with_archive = self.payload.depends_on_builds.iter().filter(|need| {
            let file = need.artifacts_file.as_ref();
            file.is_some_and(|file| !file.filename.is_empty())
        });
        with_archive.map(|need| (need, self.dir.join(format!("needs-{}.zip", need.id))))
    }

    /// The file that holds the sources that were handed in until they are unpacked, if it is the
    /// farm that has them.
    pub fn source_of_farm(&self) -> Option<PathBuf> {
        let source = self.own.source.as_ref()?;
        source.token.as_ref()?;
        Some(self.dir.join("source.tar.gz"))
    }
}

/// An uploaded file that a job builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Where it is.
    pub path: PathBuf,
    /// The type that it was said to have.
    pub content_type: Option<String>,
}

/// What a job leaves, packed on this host's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// What is in it.
    pub kind: ArchiveKind,
    /// Where it is.
    pub path: PathBuf,
    /// What it is called.
    pub name: String,
    /// How long the farm is to keep it, as GitLab writes durations; for ever when absent.
    pub expire_in: Option<String>,
}

/// What is in an archive that a job leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveKind {
    /// Files, for other jobs and for people.
    Files,
    /// The image that it built, for an engine to load.
    Image,
}

/// Why a job failed: the farm's word, and a sentence that somebody can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The farm's word.
    pub reason: FailureReason,
    /// The sentence.
    pub message: String,
}

/// The failure of a job for which there is no room.
pub(crate) fn disk_full() -> Failure {
    Failure {
        reason: FailureReason::DiskFull,
        message: "the disk of the build host is full; free some space".to_owned(),
    }
}

/// The trace and the phase of a job. Clones write to the same.
#[derive(Clone)]
pub struct Output {
    spool: Arc<Spool>,
    phases: Phases,
    base: Arc<OnceLock<BaseImage>>,
    steps: Arc<Mutex<Vec<BuildStep>>>,
}

impl Output {
    /// Output to this spool; phases go to `phases`.
    pub fn new(spool: Arc<Spool>, phases: Phases) -> Self {
        Self {
            spool,
            phases,
            base: Arc::default(),
            steps: Arc::default(),
        }
    }

    /// The steps of an image build that have ended.
    pub fn steps(&self) -> Vec<BuildStep> {
        self.steps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Follows how far the trace has come.
    pub fn follow(&self) -> watch::Receiver<Written> {
        self.spool.follow()
    }

    /// The first base image that was pulled, once it was told.
    pub fn first_base(&self) -> Option<BaseImage> {
        self.base.get().cloned()
    }

    /// The text without the secrets of the job.
    pub fn mask(&self, text: &str) -> String {
        self.spool.mask(text)
    }

    /// Writes a line to the trace.
    pub fn line(&self, line: &str) {
        self.spool.write(format!("{line}\n").as_bytes());
    }
}

impl Progress for Output {
    fn phase(&self, phase: Phase) {
        self.phases.enter(phase, None);
    }

    fn base_image(&self, base: &BaseImage) {
        // The first one counts.
        let _ = self.base.set(base.clone());
        self.phases.enter(Phase::Pulling, Some(base.clone()));
    }

    fn step(&self, step: &BuildStep) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if steps.len() < MAX_ITEMS {
            steps.push(step.clone());
        }
    }

    fn build_restarted(&self) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.clear();
    }

    fn phase_reported(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.phases.until_told())
    }

    fn output(&self, text: &[u8]) {
        self.spool.write(text);
    }
}

/// Runs jobs. Jobs may run side by side; the calls for one job come in this order:
///
/// 1. `prepare` fetches what the job works on into its directory, where the archives of the jobs it
///    needs and an uploaded file that it builds are already;
/// 2. `run`, only if that went well, does the work;
/// 3. `collect`, unless the job was stopped, packs the files or the image that are kept after such
///    an end;
/// 4. `clean`, on every path, removes what the job left outside of its directory.
///
/// When the job is stopped, each but `clean` stops the work itself and return soon, with any
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

    /// Packs what the job leaves after this end of `run`, if it leaves anything.
    async fn collect(
        &self,
        job: &Job,
        outcome: &Result<Option<ImageResult>, Failure>,
    ) -> Result<Option<Archive>, Failure>;

    /// Removes what the job left.
    async fn clean(&self, job: &Job);

    /// Brings what outlives jobs within its bounds, after a job was reported and beside others.
    async fn tidy(&self) {}

    /// The directory of this host where it keeps what outlives a job, if there is one.
    fn store(&self) -> Option<&Path> {
        None
    }

    /// Removes what outlives jobs, until it `is_enough` or nothing is left that may go. What running
    /// jobs use stays.
    async fn make_room(&self, _is_enough: &(dyn Fn() -> bool + Send + Sync)) {}
}
