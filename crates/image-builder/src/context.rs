//! The build context of a checkout, with what is looked at before the engine gets it.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use slipway_build_context::{ContextError, Packing};
use slipway_domain::ImageBuild;
use tokio::sync::mpsc;

use crate::buildkit::file_sync::Files;
use crate::dockerfile::first_from::{self, Base};
use crate::dockerfile::frontend;
use crate::error::BuildError;

/// The pieces of a packed context.
pub(crate) type Packed = mpsc::Receiver<io::Result<Bytes>>;

/// A context that was looked at and can be packed.
#[derive(Debug)]
pub(crate) struct Context {
    files: slipway_build_context::Context,
    /// The image that the Dockerfile builds upon first, as far as it is known.
    pub(crate) base: Option<Base>,
}

impl Context {
    /// Finds context and Dockerfile in the checkout, and refuses a Dockerfile that asks for what
    /// is not allowed.
    pub(crate) fn find(checkout: &Path, spec: &ImageBuild) -> Result<Self, BuildError> {
        let found = slipway_build_context::Context::find(checkout, &spec.context, &spec.dockerfile);
        let files = found?;
        let text = files.dockerfile_text();
        frontend::check(text, spec)?;
        let base = first_from::check(text, spec)?;
        Ok(Self { base, files })
    }

    /// The Dockerfile's name in the archive.
    pub(crate) fn dockerfile(&self) -> String {
        self.files.dockerfile().to_owned()
    }

    /// Packs the context in the background, for an engine that takes an archive; the pieces come out
    /// of the channel.
    ///
    /// What changed after `latest_change` is said to have changed then.
    pub(crate) fn pack(&self, latest_change: Option<SystemTime>) -> Packed {
        self.files.clone().pack(Packing {
            latest_change,
            ..Packing::default()
        })
    }

    /// The context as it is sent to an engine that asks for each file; what changed after
    /// `latest_change` is said to have changed then.
    pub(crate) fn files(&self, latest_change: Option<SystemTime>) -> Files {
        Files::new(self.files.clone(), latest_change)
    }
}

impl From<ContextError> for BuildError {
    fn from(error: ContextError) -> Self {
        match error {
            ContextError::DockerfileMissing { path } => Self::DockerfileMissing { path },
            ContextError::Missing { path } => Self::ContextMissing { path },
            ContextError::Outside { path } => Self::OutsideCheckout { path },
            ContextError::Io(error) => error.into(),
        }
    }
}
