//! The connection to one Docker Engine, with the settings that all of its builds share.
//!
//! What a [`Builder`] does is implemented where the work is: builds in `build`, images in `images`.
//! This file imports none of those.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use parking_lot::Mutex;
use slipway_domain::Platform;
use slipway_outbound::{Outbound, OutboundError};

use crate::confinement::Confinement;
use crate::engine::endpoint::Endpoint;
use crate::engine::failures::engine_error;
use crate::engine::versioned::with_negotiated_version;
use crate::error::BuildError;
use crate::limits::Limits;
use crate::sharing::LocalImages;

/// How long the engine may take to begin an answer. The answer to a build request may begin only
/// after the whole context was sent; the job's own timeout bounds that, not this constant.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// The first version of the engine's API with a BuildKit that this crate can use.
const FIRST_BUILDKIT_API: (usize, usize) = (1, 40);

/// Which of the engine's two builders is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// BuildKit, which runs independent steps in parallel and has a cache of its own.
    BuildKit,
    /// The classic builder, for engines without BuildKit.
    Classic,
}

/// Where the engine stores images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageStore {
    /// The engine's own store, which keeps unpacked layers only.
    GraphDriver,
    /// The store of containerd, which also keeps the compressed layers, and in which an image is
    /// named by the digest of its manifest.
    Containerd,
}

/// Builds images with one Docker Engine. Any number of builds may run at the same time.
#[derive(Debug)]
pub struct Builder {
    docker: Docker,
    endpoint: Endpoint,
    outbound: Outbound,
    backend: Backend,
    is_podman: bool,
    image_store: ImageStore,
    platform: Option<Platform>,
    owner: String,
    engine_version: String,
    /// One lock per repository whose local tags are in use.
    tag_locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Registries that only the engine talks to: adding tags to an image there directly failed.
    pub(crate) engine_only_registries: Mutex<HashSet<String>>,
    limits: Limits,
    confinement: Confinement,
    local_images: LocalImages,
    /// Part of the names of images until they are pushed, so that no other job can guess them.
    name_secret: u128,
    keeps_images: bool,
}

impl Builder {
    /// Connects to the engine that `DOCKER_HOST` names, or else to the one of this host.
    ///
    /// `owner` labels everything that this builder creates in the engine. Pass the same value after
    /// a restart, so that [`Builder::remove_leftovers`] finds what the previous manager left.
    /// Registries are contacted through `outbound`, and only if it allows them.
    ///
    /// # Errors
    /// `EngineUnavailable` if the engine does not answer.
    pub async fn connect(owner: &str, outbound: Outbound) -> Result<Self, BuildError> {
        let endpoint = Endpoint::from_env()?;
        // The client would report what is wrong with the address in its own words.
        endpoint.ping().await?;
        let docker = Docker::connect_with_defaults().map_err(engine_error)?;
        let docker = docker.negotiate_version().await.map_err(engine_error)?;
        let docker = with_negotiated_version(docker);
        let version = docker.version().await.map_err(engine_error)?;
        let api = docker.client_version();
        let components = version.components.unwrap_or_default();
        // Podman reports a recent API version, but has no BuildKit.
        let is_podman = components.iter().any(|part| part.name.contains("Podman"));
        let has_buildkit = (api.major_version, api.minor_version) >= FIRST_BUILDKIT_API
            && version.os.as_deref() == Some("linux")
            && !is_podman;
        Ok(Self {
            image_store: image_store(&docker).await,
            is_podman,
            docker: docker.with_timeout(ANSWER_TIMEOUT),
            endpoint,
            outbound,
            platform: version.arch.as_deref().and_then(Platform::linux),
            backend: if has_buildkit {
                Backend::BuildKit
            } else {
                Backend::Classic
            },
            owner: owner.to_owned(),
            engine_version: version.version.unwrap_or_default(),
            tag_locks: Mutex::default(),
            engine_only_registries: Mutex::default(),
            limits: Limits::default(),
            confinement: Confinement::default(),
            local_images: LocalImages::default(),
            name_secret: rand::random(),
            keeps_images: false,
        })
    }

    /// What registries are contacted through.
    pub fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// Checks that the engine may connect to a registry, before it is asked to.
    ///
    /// # Errors
    /// `Refused`.
    pub(crate) async fn check_registry(&self, registry: &str) -> Result<(), OutboundError> {
        self.outbound.check_registry(registry).await
    }

    /// Uses `backend` whatever the engine supports.
    #[must_use]
    pub fn with_backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Limits what each job may use.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Confines the containers of jobs.
    #[must_use]
    pub fn with_confinement(mut self, confinement: Confinement) -> Self {
        self.confinement = confinement;
        self
    }

    /// Lets every job use these images of the engine without asking a registry for them.
    #[must_use]
    pub fn with_local_images(mut self, images: LocalImages) -> Self {
        self.local_images = images;
        self
    }

    /// Keeps the image of a successful build in the engine until [`Builder::remove_job`] is called
    /// for its job.
    #[must_use]
    pub fn keeping_images(mut self) -> Self {
        self.keeps_images = true;
        self
    }

    /// Which builder of the engine is used.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Whether the engine is Podman, which differs from Docker behind the same API.
    pub(crate) fn is_podman(&self) -> bool {
        self.is_podman
    }

    /// Where the engine stores images.
    pub fn image_store(&self) -> ImageStore {
        self.image_store
    }

    /// The platform that the engine builds for by default.
    pub fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref()
    }

    /// The version of the engine, such as `27.3.1`.
    pub fn engine_version(&self) -> &str {
        &self.engine_version
    }

    /// The client of the engine, for calls other than builds.
    pub fn engine(&self) -> &Docker {
        &self.docker
    }

    /// What distinguishes this builder from others that use the same engine.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// What each job may use.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How the containers of jobs are confined.
    pub fn confinement(&self) -> &Confinement {
        &self.confinement
    }

    /// The images of the engine that every job may use.
    pub fn local_images(&self) -> &LocalImages {
        &self.local_images
    }

    /// What makes the names of images unknown to other jobs.
    pub(crate) fn name_secret(&self) -> u128 {
        self.name_secret
    }

    /// Whether the engine runs on this host.
    pub fn is_local(&self) -> bool {
        self.endpoint.is_local()
    }

    /// The memory of the engine's host, in bytes; `None` if the engine does not tell.
    pub async fn host_memory(&self) -> Option<u64> {
        let info = self.docker.info().await.ok()?;
        let bytes = u64::try_from(info.mem_total?).ok()?;
        (bytes > 0).then_some(bytes)
    }

    /// Whether the memory and CPU limits apply to the steps of image builds.
    ///
    /// BuildKit inside the engine takes no limits: it runs the steps of all builds in one control
    /// group of its own, even if a request names another.
    pub fn limits_builds(&self) -> bool {
        self.backend == Backend::Classic
    }

    pub(crate) fn keeps_images(&self) -> bool {
        self.keeps_images
    }

    /// The address of the engine, for connections that the client does not share.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The version of the engine's API that both sides support, such as `1.41`.
    pub(crate) fn api_version(&self) -> String {
        self.docker.client_version().to_string()
    }

    /// The lock to hold while creating or deleting local tags of `repository`.
    pub(crate) fn tag_lock(&self, repository: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.tag_locks.lock();
        // Dropping unused locks keeps the map from growing with every repository ever built.
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        let lock = locks.entry(repository.to_owned()).or_default();
        Arc::clone(lock)
    }
}

async fn image_store(docker: &Docker) -> ImageStore {
    const SNAPSHOTTER: [&str; 2] = ["driver-type", "io.containerd.snapshotter.v1"];
    // An engine that does not tell has the older store.
    let info = docker.info().await.ok();
    let status = info.and_then(|info| info.driver_status).unwrap_or_default();
    if status.iter().any(|pair| pair == &SNAPSHOTTER) {
        ImageStore::Containerd
    } else {
        ImageStore::GraphDriver
    }
}
