//! Runs jobs through the Docker Engine: fetches a commit, submitted sources or a package, then
//! builds an image, runs a script, or pushes an image index.

mod attestations;
mod build_cache;
mod checkout;
mod disk_limit;
mod image_archive;
mod image_index;
mod isolation;
mod package;
mod script;
mod submitted_source;

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use slipway_domain::spec::SourceDate;
use slipway_domain::{ImageBuild, JobSpec, Phase, ProjectPattern};
use slipway_git::{Git, RemoteUrl};
use slipway_image_builder::{
    BuildError, BuildRequest, Builder, BuiltImage, Login, Origin, Progress as _,
};
use slipway_packages::Packages;
use slipway_protocol::{Credentials, ImageResult};
use tokio::sync::Mutex;

use crate::executor::{Artifact, Executor, Failure, Job};

pub use attestations::{Attest, Notary};
pub use build_cache::CacheLimits;
pub use isolation::SharedCaches;

/// For how long the engine's storage directories are remembered.
const STORAGE_DIRS_FOR: Duration = Duration::from_secs(60);

/// The executor that builds images and runs scripts in containers.
pub struct DockerExecutor {
    builder: Builder,
    git: Git,
    packages: Packages,
    cache: CacheLimits,
    /// The engine's storage directories, and when they were last asked for.
    storage_dirs: Mutex<Option<(Instant, Vec<PathBuf>)>>,
    script_image: Option<String>,
    notary: Option<Notary>,
    /// Projects without a deploy key that are checked out with the ssh keys of this host.
    host_ssh_keys: Vec<ProjectPattern>,
    shared_caches: SharedCaches,
    notes: Vec<String>,
}

impl DockerExecutor {
    /// Creates an executor. It keeps the engine's build cache within `cache`.
    pub fn new(builder: Builder, git: Git, packages: Packages, cache: CacheLimits) -> Self {
        Self {
            storage_dirs: Mutex::default(),
            builder,
            git,
            packages,
            cache,
            script_image: None,
            notary: None,
            host_ssh_keys: Vec::new(),
            shared_caches: SharedCaches::default(),
            notes: Vec::new(),
        }
    }

    /// Sets which projects without a deploy key are checked out with the ssh keys of this host.
    #[must_use]
    pub fn with_host_ssh_keys(mut self, projects: Vec<ProjectPattern>) -> Self {
        self.host_ssh_keys = projects;
        self
    }

    /// Sets the image for scripts that name none.
    #[must_use]
    pub fn with_script_image(mut self, image: Option<String>) -> Self {
        self.script_image = image;
        self
    }

    /// Sets which builds share the engine's cache, and the notes about the separation of jobs on this
    /// host.
    #[must_use]
    pub fn with_sharing(mut self, caches: SharedCaches, notes: Vec<String>) -> Self {
        self.shared_caches = caches;
        self.notes = notes;
        self
    }

    /// Attaches a notary, which writes attestations for pushed images.
    #[must_use]
    pub fn with_notary(mut self, notary: Notary) -> Self {
        // The notary scans the image after the build, so it must not be deleted before.
        if notary.reads_images() {
            self.builder = self.builder.keeping_images();
        }
        self.notary = Some(notary);
        self
    }

    async fn build(&self, job: &Job, spec: &ImageBuild) -> Result<ImageResult, Failure> {
        let source_date = match spec.source_date {
            Some(SourceDate::Seconds(seconds)) => Some(seconds),
            Some(SourceDate::Commit) => Some(checkout::commit_time(job)?),
            None => None,
        };
        let variables = isolation::variables(job);
        let request = BuildRequest {
            job: job.payload.id.to_string(),
            checkout: checkout::dir(job),
            modes: checkout::modes(job),
            spec: package::located(job, spec)?,
            origin: origin(job),
            logins: logins(job),
            pull_login: job.own.pull_login.as_ref().map(login),
            variables: variables
                .map(|variable| (variable.key.clone(), variable.value.clone()))
                .collect(),
            scratch: job.dir.clone(),
            source_date,
            cache_scope: isolation::cache_scope(job, self.shared_caches),
        };
        let built = self
            .builder
            .build(&request, &job.output, job.stop.token())
            .await;
        let built = built.map_err(|error| self.build_failure(&error))?;
        // Its failures are warnings: the image is already pushed.
        if let Some(notary) = &self.notary {
            notary.attest(&self.builder, job, &request, &built).await;
        }
        Ok(image_result(built))
    }

    /// The failure of an image build. If a step was killed, adds the memory limit as the likely cause.
    fn build_failure(&self, error: &BuildError) -> Failure {
        let mut failure = failure(error);
        // 137 is SIGKILL, which is how the kernel enforces a memory limit.
        if let BuildError::BuildFailed {
            code: Some(137), ..
        } = error
            && self.builder.limits_builds()
            && let Some(limit) = self.builder.limits().memory_bytes
        {
            failure.message.push_str(&format!(
                "; it was killed, perhaps because it exceeded the memory limit of {} MiB on this runner",
                limit >> 20
            ));
        }
        failure
    }

    async fn fetch(&self, job: &Job) -> Result<(), Failure> {
        if let Some(package) = job.own.spec.package() {
            return package::prepare(&self.packages, job, package).await;
        }
        match (&job.own.spec, &job.own.source) {
            // The image of the job that it continues has the files.
            (JobSpec::Script(script), _) if script.skip_checkout => checkout::create_empty(job)?,
            // An index consists of images in a registry and needs no files.
            (JobSpec::ImageIndex(_), _) => return Ok(()),
            (_, Some(source)) => submitted_source::prepare(&self.packages, job, source).await?,
            (_, None) => checkout::prepare(&self.git, &self.host_ssh_keys, job).await?,
        }
        checkout::unpack_artifacts(job).await
    }
}

#[async_trait]
impl Executor for DockerExecutor {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    async fn remove_leftovers(&self) -> Result<(), String> {
        let removed = self.builder.remove_leftovers().await;
        let count = removed.map_err(|error| error.to_string())?;
        if count > 0 {
            tracing::info!("Deleted {count} leftovers of an earlier run from the engine");
        }
        Ok(())
    }

    async fn prepare(&self, job: &Job) -> Result<(), Failure> {
        isolation::check_push(job)?;
        job.output.phase(Phase::Fetching);
        disk_limit::enforce(self.builder.limits().disk_bytes, job, self.fetch(job)).await
    }

    async fn run(&self, job: &Job) -> Result<Option<ImageResult>, Failure> {
        match &job.own.spec {
            JobSpec::ImageBuild(spec) => self.build(job, spec).await.map(Some),
            JobSpec::Script(spec) => {
                let image = self.script_image.as_deref();
                let saved = script::run_script(&self.builder, image, job, spec).await?;
                Ok(saved.map(image_result))
            }
            JobSpec::ImageIndex(spec) => image_index::push(self.builder.outbound(), job, spec)
                .await
                .map(Some),
        }
    }

    async fn collect(
        &self,
        job: &Job,
        outcome: &Result<Option<ImageResult>, Failure>,
    ) -> Result<Option<Artifact>, Failure> {
        let succeeded = match outcome {
            Ok(_) => true,
            // A script that exited may leave artifacts even if it failed.
            Err(_) if job.exit_code.get().is_some() => false,
            // The script never ran, or was killed: there is nothing to collect.
            Err(_) => return Ok(None),
        };
        match &job.own.spec {
            JobSpec::ImageBuild(spec) if !spec.archive.is_empty() && succeeded => {
                image_archive::save_image(&self.builder, job, &spec.archive).await
            }
            JobSpec::ImageBuild(_) | JobSpec::ImageIndex(_) => Ok(None),
            JobSpec::Script(spec) => {
                script::collect_files(&self.builder, job, spec, succeeded).await
            }
        }
    }

    async fn clean(&self, job: &Job) -> Result<(), String> {
        self.clean_again(job.payload.id).await
    }

    async fn clean_again(&self, id: i64) -> Result<(), String> {
        let removed = self.builder.remove_job(&id.to_string()).await;
        removed.map_err(|error| error.to_string())
    }

    async fn prune_cache(&self) {
        build_cache::prune(&self.builder, &self.cache).await;
    }

    async fn check(&self) -> Result<(), String> {
        let checked = self.builder.check().await;
        checked.map_err(|error| error.to_string())
    }

    async fn self_test(&self) -> Result<(), String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let tested = self.builder.self_test(dir.path()).await;
        tested.map_err(|error| error.to_string())
    }

    async fn storage_dirs(&self) -> Vec<PathBuf> {
        let mut known = self.storage_dirs.lock().await;
        // An engine that was restarted may be another process, or have other settings.
        let dirs = match known.take() {
            Some((since, dirs)) if since.elapsed() < STORAGE_DIRS_FOR => (since, dirs),
            _ => (Instant::now(), self.builder.storage_dirs().await),
        };
        known.insert(dirs).1.clone()
    }

    async fn free_space(&self, is_enough: &(dyn Fn() -> bool + Send + Sync)) {
        build_cache::free_space(&self.builder, &self.cache, is_enough).await;
    }
}

fn logins(job: &Job) -> Vec<Login> {
    let registries = job.payload.credentials.iter();
    registries
        // The protocol allows other kinds of credentials.
        .filter(|login| login.kind == "registry")
        .map(login)
        .collect()
}

fn login(login: &Credentials) -> Login {
    Login {
        registry: login.url.clone(),
        username: login.username.clone(),
        password: login.password.clone(),
    }
}

/// Where the image comes from, for its labels. The addresses of packages and submitted sources are
/// left out, because they may be private.
fn origin(job: &Job) -> Origin {
    Origin {
        source: repository_url(job),
        revision: builds_commit(job).then(|| job.payload.sha.clone()),
        created: SystemTime::now().into(),
    }
}

/// The URL of the repository that the image is built from, without credentials.
fn repository_url(job: &Job) -> Option<String> {
    if !builds_commit(job) {
        return None;
    }
    // A `RemoteUrl` never displays its credentials.
    let url: RemoteUrl = job.payload.repo_url.parse().ok()?;
    Some(url.to_string())
}

fn builds_commit(job: &Job) -> bool {
    job.own.spec.package().is_none() && job.own.source.is_none()
}

fn image_result(image: BuiltImage) -> ImageResult {
    ImageResult {
        reference: image.reference,
        tags: image.tags,
        digest: image.digest,
        size_bytes: image.size_bytes,
        details: image.details,
    }
}

fn failure(error: &BuildError) -> Failure {
    Failure {
        reason: error.reason(),
        message: error.to_string(),
    }
}
