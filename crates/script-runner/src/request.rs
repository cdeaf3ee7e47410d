//! The request to run a script.

use std::fmt;
use std::path::PathBuf;

use slipway_domain::image::Repository;
use slipway_image_builder::Login;

/// A script to run.
#[derive(Clone)]
pub struct ScriptRequest {
    /// Identifies the job on this engine. The container is labelled with it.
    pub job: String,
    /// The image to run the commands in.
    pub image: String,
    /// Whether another job built the image. Then it is named by its digest, and deleted from this
    /// engine after the job.
    pub is_built_by_job: bool,
    /// The directory to copy into the container.
    pub checkout: PathBuf,
    pub commands: Vec<String>,
    /// The environment variables. If a name occurs twice, the last value counts.
    pub environment: Vec<(String, String)>,
    /// The credentials of registries.
    pub logins: Vec<Login>,
    /// The repository and tag that [`save_container`](crate::save_container) pushes to.
    pub save_as: Option<(Repository, String)>,
}

impl fmt::Debug for ScriptRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment contains secrets.
        write!(f, "ScriptRequest(job {} in {})", self.job, self.image)
    }
}
