//! The executor for real: a checkout with git, then a build with the Docker Engine.

use std::time::SystemTime;

use async_trait::async_trait;
use slipway_domain::{CommitSha, FailureReason, GitRef, JobSpec, Phase};
use slipway_git::{Git, GitError, RemoteUrl, Source};
use slipway_image_builder::{
    BuildError, BuildRequest, Builder, BuiltImage, Login, Origin, Progress as _,
};
use slipway_protocol::ImageResult;

use crate::executor::{Executor, Failure, Job};

/// Where in the job's directory the sources are.
const SOURCE: &str = "source";

/// Builds images.
pub struct Docker {
    builder: Builder,
    git: Git,
    cache_bytes: u64,
}

impl Docker {
    /// An executor with this engine; its build cache is kept under `cache_bytes`.
    pub fn new(builder: Builder, git: Git, cache_bytes: u64) -> Self {
        Self {
            builder,
            git,
            cache_bytes,
        }
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
        let source = source_of(job)?;
        let dir = job.dir.join(SOURCE);
        let mut say = |line: &str| job.output.line(line);
        tokio::select! {
            biased;
            () = job.stop.stopped() => Err(failure(&BuildError::Canceled)),
            fetched = self.git.checkout(&source, &dir, &mut say) => {
                fetched.map_err(|error| git_failure(&error))
            }
        }
    }

    async fn run(&self, job: &Job) -> Result<Option<ImageResult>, Failure> {
        let JobSpec::ImageBuild(spec) = &job.own.spec else {
            return Err(Failure {
                reason: FailureReason::Unsupported,
                message: "this runner does not run scripts".to_owned(),
            });
        };
        let source: Option<RemoteUrl> = job.payload.repo_url.parse().ok();
        let request = BuildRequest {
            job: job.payload.id.to_string(),
            checkout: job.dir.join(SOURCE),
            spec: spec.clone(),
            origin: Origin {
                source: source.map(|url| url.to_string()),
                revision: Some(job.payload.sha.clone()),
                created: SystemTime::now().into(),
            },
            logins: logins(job),
        };
        let built = self
            .builder
            .build(&request, &job.output, job.stop.token())
            .await;
        built
            .map(image_result)
            .map(Some)
            .map_err(|error| failure(&error))
    }

    async fn clean(&self, job: &Job) {
        let id = job.payload.id;
        if let Err(error) = self.builder.remove_job(&id.to_string()).await {
            tracing::warn!(job.id = id, %error, "The images of job {id} could not be removed");
        }
        match self.builder.prune(self.cache_bytes).await {
            Ok(0) => {}
            Ok(freed) => tracing::info!(size_bytes = freed, "Freed build cache"),
            // Another job may be pruning at this moment; the next one tries again.
            Err(error) => tracing::debug!(%error, "The build cache was not pruned"),
        }
    }
}

fn source_of(job: &Job) -> Result<Source, Failure> {
    let payload = &job.payload;
    let url = payload
        .repo_url
        .parse()
        .map_err(|error| git_failure(&error))?;
    let sha: CommitSha = payload.sha.parse().map_err(|_| Failure {
        reason: FailureReason::SourceUnavailable,
        message: "the job does not name a full commit sha".to_owned(),
    })?;
    let git_ref: Option<GitRef> = payload.git_ref.parse().ok();
    Ok(Source { url, git_ref, sha })
}

fn logins(job: &Job) -> Vec<Login> {
    let registries = job.payload.credentials.iter();
    registries
        .filter(|login| login.kind == "registry")
        .map(|login| Login {
            registry: login.url.clone(),
            username: login.username.clone(),
            password: login.password.clone(),
        })
        .collect()
}

fn image_result(image: BuiltImage) -> ImageResult {
    ImageResult {
        reference: image.reference,
        tags: image.tags,
        digest: image.digest,
        size_bytes: image.size_bytes,
    }
}

fn failure(error: &BuildError) -> Failure {
    Failure {
        reason: error.reason(),
        message: error.to_string(),
    }
}

fn git_failure(error: &GitError) -> Failure {
    let reason = match error {
        GitError::RefusedUrl(_)
        | GitError::RepositoryUnavailable { .. }
        | GitError::CommitMissing { .. }
        | GitError::TimedOut { .. } => FailureReason::SourceUnavailable,
        GitError::DiskFull => FailureReason::DiskFull,
        GitError::GitMissing(_) | GitError::Io(_) => FailureReason::RunnerFault,
    };
    Failure {
        reason,
        message: error.to_string(),
    }
}
