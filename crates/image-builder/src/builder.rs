//! One build from beginning to end, and the connection to the engine that does it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::Docker;
use tokio_util::sync::CancellationToken;

use slipway_domain::ImageDetails;

use crate::apart;
use crate::classify::{build_error, engine_error};
use crate::context::Context;
use crate::error::BuildError;
use crate::limits::Limits;
use crate::options::{build_options, credentials, with_cache};
use crate::progress::Narrator;
use crate::request::{BuildRequest, BuiltImage, Progress};

/// How long the engine may take for the head of an answer. The answer to a build may begin only
/// when the whole context was sent; the time a job may take bounds it, not this.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// Which of the engine's two builders is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// BuildKit, which runs steps side by side and keeps a cache of its own.
    BuildKit,
    /// The first builder, for engines without BuildKit.
    Classic,
}

/// Builds images with one Docker Engine. Builds may run side by side.
#[derive(Debug)]
pub struct Builder {
    docker: Docker,
    backend: Backend,
    owner: String,
    engine: String,
    tags: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    pub(crate) limits: Limits,
    pub(crate) leaves_images: bool,
}

impl Builder {
    /// Connects to the engine that `DOCKER_HOST` names, or to the one of this host.
    ///
    /// `owner` sets what this builder leaves in the engine apart from what others do; give the
    /// same one after a restart, so that [`Builder::remove_leftovers`] finds its own.
    ///
    /// # Errors
    /// `EngineUnavailable` when it does not answer.
    pub async fn connect(owner: &str) -> Result<Self, BuildError> {
        let docker = Docker::connect_with_defaults().map_err(engine_error)?;
        let docker = docker.negotiate_version().await.map_err(engine_error)?;
        let version = docker.version().await.map_err(engine_error)?;
        let api = docker.client_version();
        let components = version.components.unwrap_or_default();
        let is_podman = components.iter().any(|part| part.name.contains("Podman"));
        let has_buildkit = (api.major_version, api.minor_version) >= (1, 40)
            && version.os.as_deref() == Some("linux")
            && !is_podman;
        Ok(Self {
            docker: docker.with_timeout(ANSWER_LIMIT),
            backend: match has_buildkit {
                true => Backend::BuildKit,
                false => Backend::Classic,
            },
            owner: owner.to_owned(),
            engine: version.version.unwrap_or_default(),
            tags: Mutex::default(),
            limits: Limits::default(),
            leaves_images: false,
        })
    }

    /// The same engine with the other builder, for those who know better.
    #[must_use]
    pub fn with_backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Which builder is used.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The engine's version.
    pub fn engine_version(&self) -> &str {
        &self.engine
    }

    /// Builds the image and pushes its tags. Nothing of it is left in the engine but cache.
    ///
    /// Canceling stops the build in the engine: the command that runs is killed. So does dropping
    /// this future, but then [`Builder::remove_job`] is up to the caller.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub async fn build(
        &self,
        request: &BuildRequest,
        progress: &dyn Progress,
        cancel: &CancellationToken,
    ) -> Result<BuiltImage, BuildError> {
        let built = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(BuildError::Canceled),
            built = self.build_and_push(request, progress) => built,
        };
        if self.leaves_images && built.is_ok() {
            return built;
        }
        if let Err(error) = self.remove_job(&request.job).await {
            tracing::warn!(%error, "The images of job {} could not be removed", request.job);
        }
        built
    }

    async fn build_and_push(
        &self,
        request: &BuildRequest,
        progress: &dyn Progress,
    ) -> Result<BuiltImage, BuildError> {
        let (checkout, spec) = (request.checkout.clone(), request.spec.clone());
        let context = tokio::task::spawn_blocking(move || Context::find(&checkout, &spec))
            .await
            .map_err(std::io::Error::other)??;
        let base = context.base.as_ref();
        self.fetch_base(request, base, progress).await?;
        let caches = self.fetch_caches(request, progress).await;
        let id = self.build_image(request, context, caches, progress).await?;
        let spec = &request.spec;
        match &spec.repository {
            Some(repository) if !spec.tags.is_empty() => {
                self.publish(&id, repository, &spec.tags, &request.logins, progress)
                    .await
            }
            _ => Ok(BuiltImage {
                reference: None,
                tags: Vec::new(),
                size_bytes: self.size_of(&id).await?,
                details: self.details_of(&id).await?,
                digest: id,
            }),
        }
    }

    /// The unpacked size of the layers of the image with this `id`, in bytes.
    pub(crate) async fn size_of(&self, id: &str) -> Result<u64, BuildError> {
        let image = self.docker.inspect_image(id).await.map_err(engine_error)?;
        let size = image.size.and_then(|size| size.try_into().ok());
        Ok(size.unwrap_or(0))
    }

    /// What the image with this `id` runs on.
    pub(crate) async fn details_of(&self, id: &str) -> Result<ImageDetails, BuildError> {
        let image = self.docker.inspect_image(id).await.map_err(engine_error)?;
        let variant = image.variant.filter(|variant| !variant.is_empty());
        let parts: Vec<String> = [image.os, image.architecture, variant]
            .into_iter()
            .flatten()
            .collect();
        Ok(ImageDetails {
            platform: parts.join("/").parse().ok(),
            ..ImageDetails::default()
        })
    }

    /// Builds the image, perhaps with layers of the images `caches`; returns its id.
    async fn build_image(
        &self,
        request: &BuildRequest,
        context: Context,
        caches: Vec<String>,
        progress: &dyn Progress,
    ) -> Result<String, BuildError> {
        // A name keeps the image from being pruned as dangling before it is pushed.
        let name = format!("slipway-job:{:032x}", rand::random::<u128>());
        let options = build_options(
            request,
            self.backend,
            &self.owner,
            &context.dockerfile,
            &name,
        );
        let options = with_cache(options, request, self.backend, caches);
        let logins = credentials(&request.logins_to_pull());
        let mut answer = apart::build(options, logins, context.pack(), self.limits_of_build())?;
        let mut narrator = Narrator::new(progress);
        let mut ended = Ok(());
        while let Some(message) = answer.recv().await {
            match message {
                Ok(info) => narrator.take(info),
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
        }
        narrator.finish();
        if let Err(error) = ended {
            let step = narrator.failed_step(&error.to_string());
            return Err(build_error(error, step.as_ref(), &request.spec.dockerfile));
        }
        narrator.image.ok_or_else(|| BuildError::EngineUnavailable {
            detail: "it broke off before the image was done".to_owned(),
        })
    }

    /// The connection to the engine, for what is done there besides building.
    pub fn engine(&self) -> &Docker {
        &self.docker
    }

    /// What sets this builder apart from others on the same engine.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The lock of those who give local tags to images of `repository`, or take them away.
    pub(crate) fn tag_lock(&self, repository: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        // A lock that nobody holds is not missed.
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        let lock = locks.entry(repository.to_owned()).or_default();
        Arc::clone(lock)
    }
}
