//! One image build from start to end.

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::builder::{Backend, Builder};
use crate::buildkit::secrets::BuildSecrets;
use crate::context::Context;
use crate::engine::build_options::{build_options, with_cache, with_scope};
use crate::engine::failures::build_error;
use crate::engine::trace_writer::TraceWriter;
use crate::error::BuildError;
use crate::progress::Progress;
use crate::request::{BuildRequest, BuiltImage, ResolvedBase};

/// The line of the trace that tells which builder is used if the engine has only one.
const CLASSIC_NOTICE: &str = "This engine has no BuildKit; building with its classic builder\n";

impl Builder {
    /// Builds the image and pushes its tags. Afterwards the engine keeps only build cache of it,
    /// unless an archive is requested: then the image stays until [`Builder::remove_job`] is
    /// called.
    ///
    /// Canceling kills the running step in the engine. Dropping this future does the same, but then
    /// the caller must call [`Builder::remove_job`].
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
        let keeps_image = self.keeps_images() || !request.spec.archive.is_empty();
        if keeps_image && built.is_ok() {
            return built;
        }
        // A failed cleanup must not fail a good build: the next sweep deletes what is left.
        if let Err(error) = self.remove_job(&request.job).await {
            tracing::warn!(%error, "Could not delete the images of job {}", request.job);
        }
        built
    }

    async fn build_and_push(
        &self,
        request: &BuildRequest,
        progress: &dyn Progress,
    ) -> Result<BuiltImage, BuildError> {
        if self.backend() == Backend::Classic {
            progress.output(CLASSIC_NOTICE.as_bytes());
        }
        // What can fail without the engine fails before anything is pulled.
        self.check_backend(request)?;
        let secrets = BuildSecrets::resolve(request)?;
        let (checkout, spec) = (request.checkout.clone(), request.spec.clone());
        let modes = request.modes;
        let context = tokio::task::spawn_blocking(move || Context::find(&checkout, &spec, modes))
            .await
            .map_err(std::io::Error::other)??;
        let base = context.base.as_ref();
        let asks_registry = self
            .check_images(request, &context.images, progress)
            .await?;
        self.pull_base_image(request, base, progress).await?;
        let cache_images = self.cache_images(request, progress).await;
        let (id, bases) = self
            .build_image(
                request,
                context,
                secrets,
                (cache_images, asks_registry),
                progress,
            )
            .await?;
        // A failure costs the next build time, and nothing else.
        if let Err(error) = self.keep_layers(request, &id).await {
            tracing::warn!(%error, "Could not keep the layers of job {}", request.job);
        }
        let spec = &request.spec;
        let built = match &spec.repository {
            Some(repository) if !spec.tags.is_empty() => {
                self.push_image(&id, repository, &spec.tags, &request.logins, progress)
                    .await
            }
            _ => {
                let (size_bytes, details) = self.inspect(&id).await;
                Ok(BuiltImage {
                    reference: None,
                    tags: Vec::new(),
                    size_bytes,
                    details,
                    digest: id.clone(),
                    bases: Vec::new(),
                })
            }
        };
        // The cache is pushed last, so that it never delays or fails the image itself.
        if built.is_ok() {
            self.push_cache(request, &id, progress).await;
        }
        built.map(|image| BuiltImage { bases, ..image })
    }

    /// Builds the image, reusing layers of `cache_images` where they match; returns its id and the
    /// base images that it was built from. With `asks_registry`, the engine looks every base image
    /// up in its registry.
    async fn build_image(
        &self,
        request: &BuildRequest,
        context: Context,
        secrets: BuildSecrets,
        (cache_images, asks_registry): (Vec<String>, bool),
        progress: &dyn Progress,
    ) -> Result<(String, Vec<ResolvedBase>), BuildError> {
        // A name keeps the image from being pruned as dangling before it is pushed.
        let name = self.built_name(&request.job);
        let backend = self.backend();
        let options = build_options(request, backend, self.owner(), &name, asks_registry);
        let mut options = with_cache(options, request, backend, cache_images);
        if let Some(scope) = &request.cache_scope {
            let kept = self.kept_for(request).await?;
            options = with_scope(options, scope, backend, self.is_podman(), kept);
        }
        let mut trace = TraceWriter::new(progress);
        let result = match self.backend() {
            Backend::BuildKit => {
                self.build_with_buildkit(request, &context, secrets, options, &mut trace)
                    .await?
            }
            Backend::Classic => {
                self.build_with_classic(request, &context, options, &mut trace)
                    .await
            }
        };
        trace.finish(result.is_err());
        if let Err(error) = result {
            let step = trace.failed_step(&error.to_string());
            return Err(build_error(error, step.as_ref(), &request.spec));
        }
        // An answer without an error and without an image id was cut off.
        let bases = trace.bases.into_inner();
        let image = trace.image.map(|image| (image, bases));
        image.ok_or_else(|| BuildError::EngineUnavailable {
            detail: "the connection ended before the image was complete".to_owned(),
        })
    }

    /// Refuses a request that the classic builder cannot carry out.
    fn check_backend(&self, request: &BuildRequest) -> Result<(), BuildError> {
        if self.backend() == Backend::BuildKit {
            return Ok(());
        }
        let spec = &request.spec;
        let platform = spec.platforms.first();
        let feature = if !spec.secrets.is_empty() {
            "secrets"
        } else if spec.ssh.is_some() {
            "SSH keys"
        } else if platform.is_some() && platform != self.platform() {
            "images for other platforms"
        } else {
            return Ok(());
        };
        Err(BuildError::NeedsBuildKit { feature })
    }
}
