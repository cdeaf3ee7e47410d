//! The engine's first builder, for engines without BuildKit.
//!
//! Each step makes an image that has no name. Whoever removes images beside a build may take away one
//! that the build comes back to, or looks through for its cache. The engine ends the build then, for no
//! fault of it.

use bollard::errors::Error;
use bollard::query_parameters::BuildImageOptions;

use crate::builder::Builder;
use crate::context::Context;
use crate::engine::build_options::credentials;
use crate::engine::failures::shorten;
use crate::engine::trace_writer::Narrator;
use crate::request::BuildRequest;

/// How often a build is begun whose images go missing.
const TRIES: usize = 5;

impl Builder {
    /// Builds from an archive of the context; begins again when an image goes missing.
    pub(crate) async fn with_archive(
        &self,
        request: &BuildRequest,
        context: &Context,
        options: BuildImageOptions,
        narrator: &mut Narrator<'_>,
    ) -> Result<(), Error> {
        let options = BuildImageOptions {
            dockerfile: context.dockerfile(),
            ..options
        };
        let logins = credentials(&request.logins_to_pull());
        let mut tries = 1;
        loop {
            let packed = context.pack(request.latest_change());
            let call = self.call(options.clone(), logins.clone(), Some(packed));
            match call.run(|info| narrator.take(info)).await {
                Err(Error::DockerStreamError { error })
                    if tries < TRIES && is_image_missing(&error) =>
                {
                    tries += 1;
                    let error = shorten(&error);
                    narrator
                        .begin_again(&format!("The engine lost an image of this build ({error})"));
                }
                ended => return ended,
            }
        }
    }
}

/// Whether the engine misses an image that it made or looked at itself: it calls those by their ids.
fn is_image_missing(message: &str) -> bool {
    const WORDS: &[&str] = &[
        "unable to find image \"sha256:",
        "No such image: sha256:",
        "unknown parent image ID sha256:",
        "failed to get digest sha256:",
    ];
    WORDS.iter().any(|words| message.contains(words))
}
