//! The build context of a checkout, with the checks that come before the engine gets it.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use slipway_build_context::{ContextError, FileModes, Packing};
use slipway_domain::ImageBuild;
use tokio::sync::mpsc;

use crate::buildkit::file_sync::Files;
use crate::dockerfile::first_from::{self, FirstFrom};
use crate::dockerfile::frontend;
use crate::dockerfile::images::{NamedImages, named_images};
use crate::error::BuildError;

/// The chunks of a packed context.
pub(crate) type PackedContext = mpsc::Receiver<io::Result<Bytes>>;

/// A context whose Dockerfile is allowed.
#[derive(Debug)]
pub(crate) struct Context {
    files: slipway_build_context::Context,
    modes: FileModes,
    /// The first base image of the Dockerfile, unless only the engine can resolve its name.
    pub(crate) base: Option<FirstFrom>,
    /// All images that the Dockerfile names.
    pub(crate) images: NamedImages,
}

impl Context {
    /// Finds the context and the Dockerfile in the checkout, and checks the Dockerfile.
    pub(crate) fn find(
        checkout: &Path,
        spec: &ImageBuild,
        modes: FileModes,
    ) -> Result<Self, BuildError> {
        let found = slipway_build_context::Context::find(checkout, &spec.context, &spec.dockerfile);
        let files = found?;
        let text = files.dockerfile_text();
        frontend::check(text, spec)?;
        let base = first_from::check(text, spec)?;
        let images = named_images(text, spec);
        Ok(Self {
            files,
            modes,
            base,
            images,
        })
    }

    /// The path of the Dockerfile in the archive.
    pub(crate) fn dockerfile(&self) -> String {
        self.files.dockerfile().to_owned()
    }

    /// Packs the context into an archive in the background; the channel yields its chunks.
    ///
    /// Files that changed after `latest_change` get that time.
    pub(crate) fn pack(&self, latest_change: Option<SystemTime>) -> PackedContext {
        self.files.clone().pack(Packing {
            latest_change,
            modes: self.modes,
            ..Packing::default()
        })
    }

    /// The context for BuildKit, which requests single files. Files that changed after
    /// `latest_change` get that time.
    pub(crate) fn files(&self, latest_change: Option<SystemTime>) -> Files {
        Files::new(self.files.clone(), latest_change, self.modes)
    }
}

impl From<ContextError> for BuildError {
    fn from(error: ContextError) -> Self {
        match error {
            ContextError::DockerfileMissing { path } => Self::DockerfileMissing { path },
            ContextError::Missing { path } => Self::ContextMissing { path },
            ContextError::Outside { path } => Self::OutsideCheckout { path },
            ContextError::PatternsInvalid { file, detail } => {
                Self::PatternsInvalid { file, detail }
            }
            ContextError::Io(error) => error.into(),
        }
    }
}
