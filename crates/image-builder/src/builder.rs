//! One build from beginning to end, and the connection to the engine that does it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::query_parameters::BuildImageOptions;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use slipway_domain::Platform;

use crate::buildkit::secrets::Given;
use crate::context::{Context, Packed};
use crate::engine::build_call::Call;
use crate::engine::build_options::{build_options, with_cache};
use crate::engine::endpoint::Endpoint;
use crate::engine::failures::{build_error, engine_error};
use crate::engine::trace_writer::Narrator;
use crate::error::BuildError;
use crate::images::push::Unasked;
use crate::limits::Limits;
use crate::request::{BuildRequest, BuiltImage, Progress};

/// How long the engine may take for the head of an answer. The answer to a build may begin only
/// when the whole context was sent; the time a job may take bounds it, not this.
const ANSWER_LIMIT: Duration = Duration::from_secs(24 * 3600);
/// What the trace says where there is no choice of builders.
const CLASSIC: &str = "This engine has no BuildKit; building with its classic builder\n";

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
    endpoint: Endpoint,
    backend: Backend,
    platform: Option<Platform>,
    owner: String,
    engine: String,
    tags: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    pub(crate) unasked: Unasked,
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
        let endpoint = Endpoint::from_env()?;
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
            endpoint,
            platform: version.arch.as_deref().and_then(Platform::linux),
            backend: match has_buildkit {
                true => Backend::BuildKit,
                false => Backend::Classic,
            },
            owner: owner.to_owned(),
            engine: version.version.unwrap_or_default(),
            tags: Mutex::default(),
            unasked: Unasked::default(),
            limits: Limits::default(),
            leaves_images: false,
        })
    }

    /// The same engine with this builder, as if it had no other.
    #[must_use]
    pub fn with_backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Which builder is used.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// What the engine builds for when it is not told.
    pub fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref()
    }

    /// The engine's version.
    pub fn engine_version(&self) -> &str {
        &self.engine
    }

    /// Builds the image and pushes its tags. Nothing of it is left in the engine but cache, unless an
    /// archive is to be made of it: that image stays until [`Builder::remove_job`] is called.
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
        let work: BoxFuture<'_, _> = Box::pin(self.build_and_push(request, progress));
        let built = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(BuildError::Canceled),
            built = work => built,
        };
        let is_left = self.leaves_images || !request.spec.archive.is_empty();
        if is_left && built.is_ok() {
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
        if self.backend == Backend::Classic {
            progress.output(CLASSIC.as_bytes());
        }
        self.check_backend(request)?;
        let given = Given::find(request)?;
        let (checkout, spec) = (request.checkout.clone(), request.spec.clone());
        let context = tokio::task::spawn_blocking(move || Context::find(&checkout, &spec))
            .await
            .map_err(std::io::Error::other)??;
        let base = context.base.as_ref();
        self.fetch_base(request, base, progress).await?;
        let caches = self.caches_for(request, progress).await;
        let id = self
            .build_image(request, context, given, caches, progress)
            .await?;
        let spec = &request.spec;
        let built = match &spec.repository {
            Some(repository) if !spec.tags.is_empty() => {
                self.publish(&id, repository, &spec.tags, &request.logins, progress)
                    .await
            }
            _ => {
                let (size_bytes, details) = self.describe(&id).await?;
                Ok(BuiltImage {
                    reference: None,
                    tags: Vec::new(),
                    size_bytes,
                    details,
                    digest: id.clone(),
                })
            }
        };
        if built.is_ok() {
            self.push_cache(request, &id, progress).await;
        }
        built
    }

    /// Builds the image, perhaps with layers of the images `caches`; returns its id.
    async fn build_image(
        &self,
        request: &BuildRequest,
        context: Context,
        given: Given,
        caches: Vec<String>,
        progress: &dyn Progress,
    ) -> Result<String, BuildError> {
        // A name keeps the image from being pruned as dangling before it is pushed.
        let name = self.built_name(&request.job);
        let options = build_options(request, self.backend, &self.owner, &name);
        let options = with_cache(options, request, self.backend, caches);
        let mut narrator = Narrator::new(progress);
        let ended = match self.backend {
            Backend::BuildKit => {
                self.with_buildkit(request, &context, given, options, &mut narrator)
                    .await?
            }
            Backend::Classic => {
                self.with_archive(request, &context, options, &mut narrator)
                    .await
            }
        };
        narrator.finish(ended.is_err());
        if let Err(error) = ended {
            let step = narrator.failed_step(&error.to_string());
            return Err(build_error(error, step.as_ref(), &request.spec));
        }
        narrator.image.ok_or_else(|| BuildError::EngineUnavailable {
            detail: "it broke off before the image was done".to_owned(),
        })
    }

    pub(crate) fn call(
        &self,
        options: BuildImageOptions,
        logins: HashMap<String, DockerCredentials>,
        context: Option<Packed>,
    ) -> Call<'_> {
        Call {
            endpoint: &self.endpoint,
            version: self.api(),
            options,
            limits: self.limits_of_build(),
            logins,
            context,
        }
    }

    /// The connection to the engine, for what is done there besides building.
    pub fn engine(&self) -> &Docker {
        &self.docker
    }

    /// Where the engine is, for connections of our own.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The version of the engine's interface that both know, such as `1.41`.
    pub(crate) fn api(&self) -> String {
        self.docker.client_version().to_string()
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
