//! The engine's classic builder, for engines without BuildKit.
//!
//! Each of its steps creates an image without a name. If something else prunes images during the
//! build, it may delete one that the build needs again, or that it looks at for its cache. The
//! engine then fails the build, although nothing is wrong with it.

use bollard::errors::Error;
use bollard::query_parameters::BuildImageOptions;

use crate::builder::Builder;
use crate::context::Context;
use crate::engine::credentials::registry_config;
use crate::engine::failures::shorten;
use crate::engine::trace_writer::TraceWriter;
use crate::request::BuildRequest;

/// How often a build is started if its images go missing.
const MAX_ATTEMPTS: usize = 5;

impl Builder {
    /// Builds from an archive of the context, and starts over if an image of the build goes
    /// missing.
    pub(crate) async fn build_with_classic(
        &self,
        request: &BuildRequest,
        context: &Context,
        options: BuildImageOptions,
        trace: &mut TraceWriter<'_>,
    ) -> Result<(), Error> {
        let mut options = BuildImageOptions {
            dockerfile: context.dockerfile(),
            ..options
        };
        let logins = registry_config(&request.logins_to_pull());
        let mut attempt = 1;
        loop {
            // The previous attempt has consumed its archive.
            let packed = context.pack(request.latest_change());
            let call = self.build_call(options.clone(), logins.clone(), Some(packed));
            match call.run(|info| trace.handle(info)).await {
                Err(Error::DockerStreamError { error })
                    if attempt < MAX_ATTEMPTS && is_image_missing(&error) =>
                {
                    attempt += 1;
                    let error = shorten(&error);
                    trace.restart(&format!("The engine lost an image of this build ({error})"));
                }
                // The cache must not fail a build, whatever the engine makes of it.
                Err(Error::DockerStreamError { error })
                    if options.cachefrom.is_some() && is_cache_broken(&error) =>
                {
                    options.cachefrom = None;
                    let error = shorten(&error);
                    trace.restart(&format!("The engine could not reuse a layer ({error})"));
                }
                result => return result,
            }
        }
    }
}

/// Whether the engine failed to restore a layer from an image that was named as cache.
fn is_cache_broken(message: &str) -> bool {
    message.contains("failed to restore cached image")
}

/// Whether the engine misses an image of its own: it refers to those by id. An image that the
/// Dockerfile names is missing for good.
fn is_image_missing(message: &str) -> bool {
    const WORDS: &[&str] = &[
        "unable to find image \"sha256:",
        "No such image: sha256:",
        "unknown parent image ID sha256:",
        "failed to get digest sha256:",
    ];
    WORDS.iter().any(|words| message.contains(words))
}
