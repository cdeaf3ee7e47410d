//! What a job does, behind one trait. There are two implementations: one with the Docker Engine,
//! and a scripted one for tests.

use std::path::PathBuf;
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
use crate::traces::spool::{Spool, SpoolState};

/// A job, as an executor gets it.
pub struct Job {
    /// The payload from the coordinator.
    pub payload: JobPayload,
    /// The part of the payload that only our runner gets.
    pub own: OwnJob,
    /// An empty directory that only this job uses.
    pub dir: PathBuf,
    pub output: Output,
    pub stop: Stop,
    /// The uploaded package to build, once it has been downloaded.
    pub upload: OnceLock<UploadedPackage>,
    /// The time of the commit, in seconds since the Unix epoch, once it is checked out.
    pub commit_time: OnceLock<i64>,
    /// The exit code of the script's last command, once it has ended.
    pub exit_code: OnceLock<i32>,
    /// Set once the job exceeded a limit of this runner, which is no fault of the host.
    pub exceeded_limit: OnceLock<()>,
    /// The name of the artifact that is being uploaded.
    pub uploading: OnceLock<String>,
}

impl Job {
    /// The needed jobs that have artifacts, and the file that holds each archive until it is
    /// unpacked.
    pub fn needs(&self) -> impl Iterator<Item = (&Dependency, PathBuf)> {
        let with_artifacts = self.payload.depends_on_builds.iter().filter(|need| {
            let file = need.artifacts_file.as_ref();
            file.is_some_and(|file| !file.filename.is_empty())
        });
        with_artifacts.map(|need| (need, self.dir.join(format!("needs-{}.zip", need.id))))
    }

    /// The file that holds the submitted sources until they are unpacked. `None` if the farm does
    /// not store them.
    pub fn stored_source(&self) -> Option<PathBuf> {
        let source = self.own.source.as_ref()?;
        // Only sources that the farm stores come with a token.
        source.token.as_ref()?;
        Some(self.dir.join("source.tar.gz"))
    }
}

/// A package that was uploaded for a job to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadedPackage {
    pub path: PathBuf,
    /// The content type that the uploader declared.
    pub content_type: Option<String>,
}

/// An artifact of a job, packed into a file on this host's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    pub kind: ArtifactKind,
    pub path: PathBuf,
    /// The file name to upload it under.
    pub name: String,
    /// How long the farm keeps it, in GitLab's notation for durations. `None` means forever.
    pub expire_in: Option<String>,
    /// Why the job fails although it succeeded so far: something that was requested is missing here.
    pub incomplete: Option<Failure>,
}

/// What an artifact contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArtifactKind {
    /// Files of the work directory, as a zip archive.
    Files,
    /// The image that the job built, as an archive that an engine can load.
    Image,
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: FailureReason,
    /// What failed, for a person who can act on it.
    pub message: String,
}

/// The failure of a job that filled the disk.
pub(crate) fn disk_full() -> Failure {
    Failure {
        reason: FailureReason::DiskFull,
        message: "the disk of the build host is full; free some space".to_owned(),
    }
}

/// The trace and the phase of a job. Clones share both.
#[derive(Clone)]
pub struct Output {
    spool: Arc<Spool>,
    phases: Phases,
    base: Arc<OnceLock<BaseImage>>,
    steps: Arc<Mutex<Vec<BuildStep>>>,
}

impl Output {
    /// Writes output to `spool` and phases to `phases`.
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

    /// Follows how much of the trace is written.
    pub fn follow(&self) -> watch::Receiver<SpoolState> {
        self.spool.follow()
    }

    /// The first base image that was pulled, if any was.
    pub fn first_base(&self) -> Option<BaseImage> {
        self.base.get().cloned()
    }

    /// Masks the secrets of the job in a complete text.
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
        // Provenance names one base image: the first.
        let _ = self.base.set(base.clone());
        self.phases.enter(Phase::Pulling, Some(base.clone()));
    }

    fn step(&self, step: &BuildStep) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        // The coordinator refuses reports with more.
        if steps.len() < MAX_ITEMS {
            steps.push(step.clone());
        }
    }

    fn build_restarted(&self) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        // The builder repeats all steps after it lost an image.
        steps.clear();
    }

    fn phase_reported(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.phases.all_reported())
    }

    fn output(&self, text: &[u8]) {
        self.spool.write(text);
    }
}

/// Runs jobs. Several jobs may run at the same time. For each job the methods are called in this
/// order:
///
/// 1. `prepare` puts the sources into the job's directory. The artifacts of needed jobs and an
///    uploaded package are there already;
/// 2. `run` does the work, if `prepare` succeeded;
/// 3. `collect` packs the job's artifact, unless the job was stopped;
/// 4. `clean` deletes what the job left outside of its directory. It is called on every path.
///
/// When the job is stopped, `prepare`, `run` and `collect` must stop the work themselves and return
/// soon; what they return is ignored. If they do not, the future is dropped, and `clean` has to
/// handle the rest.
#[async_trait]
pub trait Executor: Send + Sync {
    /// The executor's name in the protocol.
    fn name(&self) -> &'static str;

    /// What people should know about this runner, such as what its engine cannot separate.
    fn notes(&self) -> &[String] {
        &[]
    }

    /// Deletes everything that this runner left outside of directories of jobs. Called while no job runs:
    /// before the first one, and after the engine was away.
    ///
    /// # Errors
    /// Returns why something may be left, for a person to read.
    async fn remove_leftovers(&self) -> Result<(), String>;

    /// Fetches the sources of a job.
    async fn prepare(&self, job: &Job) -> Result<(), Failure>;

    /// Does the work. Returns the image, if the job builds one.
    async fn run(&self, job: &Job) -> Result<Option<ImageResult>, Failure>;

    /// Packs the artifact that the job leaves after this outcome of `run`, if it leaves one.
    async fn collect(
        &self,
        job: &Job,
        outcome: &Result<Option<ImageResult>, Failure>,
    ) -> Result<Option<Artifact>, Failure>;

    /// Deletes what the job left outside of its directory.
    ///
    /// # Errors
    /// Returns why something may be left, for a person to read. It is tried again.
    async fn clean(&self, job: &Job) -> Result<(), String>;

    /// Repeats a `clean` that failed, after the end of the job with this id.
    ///
    /// # Errors
    /// As `clean`.
    async fn clean_again(&self, _id: i64) -> Result<(), String> {
        Ok(())
    }

    /// Brings caches back within their limits. Called after each job, while others may run.
    async fn prune_cache(&self) {}

    /// Checks that jobs can be started at all, in the time of a request. Called before each claim,
    /// and every few seconds while a poll waits for a job.
    ///
    /// # Errors
    /// Returns what is missing, for a person to read.
    async fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Does what every job needs, like a job. Called when jobs failed through faults of the host.
    ///
    /// # Errors
    /// Returns what does not work, for a person to read.
    async fn self_test(&self) -> Result<(), String> {
        Ok(())
    }

    /// The directories on this host where images and caches are stored.
    async fn storage_dirs(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Deletes caches until `is_enough` returns true or there is nothing left to delete. Caches
    /// that running jobs use stay.
    async fn free_space(&self, _is_enough: &(dyn Fn() -> bool + Send + Sync)) {}
}
