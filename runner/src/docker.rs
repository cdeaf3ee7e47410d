//! The executor for real: a checkout with git, sources that were handed in or a package, then an
//! image or a script with the Docker Engine.

mod checkout;
mod package;
mod script;
mod source;

use std::time::SystemTime;

use async_trait::async_trait;
use slipway_domain::spec::SourceDate;
use slipway_domain::{FailureReason, ImageBuild, JobSpec, Phase};
use slipway_git::{Git, RemoteUrl};
use slipway_image_builder::{
    BuildError, BuildRequest, Builder, BuiltImage, Login, Origin, Progress as _,
};
use slipway_packages::Packages;
use slipway_protocol::{Credentials, ImageResult};

use crate::executor::{Archive, Executor, Failure, Job};

/// Builds images, and runs scripts in containers.
pub struct Docker {
    builder: Builder,
    git: Git,
    packages: Packages,
    cache_bytes: u64,
    script_image: Option<String>,
}

impl Docker {
    /// An executor with this engine; its build cache is kept under `cache_bytes`.
    pub fn new(builder: Builder, git: Git, packages: Packages, cache_bytes: u64) -> Self {
        Self {
            builder,
            git,
            packages,
            cache_bytes,
            script_image: None,
        }
    }

    /// The same with an image for scripts that name none.
    #[must_use]
    pub fn with_script_image(mut self, image: Option<String>) -> Self {
        self.script_image = image;
        self
    }

    async fn build(&self, job: &Job, spec: &ImageBuild) -> Result<ImageResult, Failure> {
        let source_date = match spec.source_date {
            Some(SourceDate::Seconds(seconds)) => Some(seconds),
            Some(SourceDate::Commit) => Some(checkout::time(&self.git, job).await?),
            None => None,
        };
        let variables = job.payload.variables.iter();
        let request = BuildRequest {
            job: job.payload.id.to_string(),
            checkout: checkout::dir(job),
            spec: package::located(job, spec)?,
            origin: origin(job),
            logins: logins(job),
            pull_login: job.own.pull_login.as_ref().map(login),
            variables: variables
                .map(|variable| (variable.key.clone(), variable.value.clone()))
                .collect(),
            scratch: job.dir.clone(),
            source_date,
        };
        let built = self
            .builder
            .build(&request, &job.output, job.stop.token())
            .await;
        built.map(image_result).map_err(|error| failure(&error))
    }
}

#[async_trait]
impl Executor for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    async fn sweep(&self) {
        match self.builder.remove_leftovers().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "Removed {count} leftovers from the engine"),
            Err(error) => tracing::warn!(%error, "Leftovers in the engine could not be removed"),
        }
    }

    async fn prepare(&self, job: &Job) -> Result<(), Failure> {
        job.output.phase(Phase::Fetching);
        if let Some(package) = job.own.spec.package() {
            return package::prepare(&self.packages, job, package).await;
        }
        match (&job.own.spec, &job.own.source) {
            // The image has the files.
            (JobSpec::Script(script), _) if script.goes_on => checkout::none(job)?,
            (JobSpec::ImageIndex(_), _) => return Ok(()),
            (_, Some(source)) => source::prepare(&self.packages, job, source).await?,
            (_, None) => checkout::prepare(&self.git, job).await?,
        }
        checkout::unpack_needs(job).await
    }

    async fn run(&self, job: &Job) -> Result<Option<ImageResult>, Failure> {
        match &job.own.spec {
            JobSpec::ImageBuild(spec) => self.build(job, spec).await.map(Some),
            JobSpec::Script(spec) => {
                let image = self.script_image.as_deref();
                let kept = script::run_script(&self.builder, image, job, spec).await?;
                Ok(kept.map(image_result))
            }
            JobSpec::ImageIndex(_) => Err(Failure {
                reason: FailureReason::Unsupported,
                message: "this runner pushes no image indexes yet".to_owned(),
            }),
        }
    }

    async fn collect(
        &self,
        job: &Job,
        outcome: &Result<Option<ImageResult>, Failure>,
    ) -> Result<Option<Archive>, Failure> {
        let succeeded = match outcome {
            Ok(_) => true,
            Err(_) if job.exit_code.get().is_some() => false,
            // The commands have come to no end.
            Err(_) => return Ok(None),
        };
        match &job.own.spec {
            JobSpec::ImageBuild(_) | JobSpec::ImageIndex(_) => Ok(None),
            JobSpec::Script(spec) => {
                script::collect_files(&self.builder, job, spec, succeeded).await
            }
        }
    }

    async fn clean(&self, job: &Job) {
        let id = job.payload.id;
        if let Err(error) = self.builder.remove_job(&id.to_string()).await {
            tracing::warn!(job.id = id, %error, "What job {id} left in the engine could not be removed");
        }
        match self.builder.prune(self.cache_bytes).await {
            Ok(0) => {}
            Ok(freed) => tracing::info!(size_bytes = freed, "Freed build cache"),
            // Another job may be pruning at this moment; the next one tries again.
            Err(error) => tracing::debug!(%error, "The build cache was not pruned"),
        }
    }
}

fn logins(job: &Job) -> Vec<Login> {
    let registries = job.payload.credentials.iter();
    registries
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

/// Where a commit came from. Of a package and of sources that were handed in nothing is told: their
/// address may be nobody's business.
fn origin(job: &Job) -> Origin {
    let source: Option<RemoteUrl> = job.payload.repo_url.parse().ok();
    let of_commit = job.own.spec.package().is_none() && job.own.source.is_none();
    Origin {
        source: source.filter(|_| of_commit).map(|url| url.to_string()),
        revision: of_commit.then(|| job.payload.sha.clone()),
        created: SystemTime::now().into(),
    }
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
