//! Labels and names by which this crate finds what it created in the engine.

use std::collections::HashMap;

use crate::builder::Builder;

/// The label of images and containers that holds the id of their job.
pub(crate) const JOB_LABEL: &str = "io.slipway.job";
/// The label of images and containers that holds the owner of the [`Builder`] that created them.
pub(crate) const OWNER_LABEL: &str = "io.slipway.runner";

/// The prefix of the local names of images during their build.
pub(crate) const BUILD_NAME_PREFIX: &str = "slipway-job:";

impl Builder {
    /// The labels of everything that is created for `job`. [`Builder::remove_job`] finds it by
    /// them.
    pub fn labels(&self, job: &str) -> HashMap<String, String> {
        HashMap::from([
            (OWNER_LABEL.to_owned(), self.owner().to_owned()),
            (JOB_LABEL.to_owned(), job.to_owned()),
        ])
    }

    /// The name of the container with this purpose that this owner creates for `job`.
    pub fn container_name(&self, purpose: &str, job: &str) -> String {
        format!("{}{purpose}-{job}", self.container_prefix())
    }

    /// The prefix of the names of all containers of this owner.
    pub(crate) fn container_prefix(&self) -> String {
        format!("slipway-{}-", self.owner())
    }
}
