//! What to run, and where.

use std::fmt;
use std::path::PathBuf;

use slipway_domain::image::Repository;
use slipway_image_builder::Login;

/// One script to run.
#[derive(Clone)]
pub struct ScriptRequest {
    /// Names the job on this engine; the container is labelled with it.
    pub job: String,
    /// The image whose container the commands run in.
    pub image: String,
    /// Whether another job made that image, so that it is named by its digest and here for this
    /// job alone.
    pub is_made: bool,
    /// The directory that is copied into the container.
    pub checkout: PathBuf,
    /// The commands.
    pub commands: Vec<String>,
    /// What they see in their environment; of two with one name the later counts.
    pub environment: Vec<(String, String)>,
    /// For the registries that are pulled from and pushed to.
    pub logins: Vec<Login>,
    /// The repository and the tag where the container is kept by [`keep`](crate::keep), if it is.
    pub keep: Option<(Repository, String)>,
}

impl fmt::Debug for ScriptRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment has secrets in it.
        write!(f, "ScriptRequest(job {} in {})", self.job, self.image)
    }
}
