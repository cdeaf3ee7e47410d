//! Removing what builds leave in the engine: images by label, and build cache beyond a limit.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{
    ListContainersOptions, ListImagesOptions, PruneBuildOptions, PruneImagesOptions,
    RemoveContainerOptions, RemoveImageOptions,
};

use crate::builder::Builder;
use crate::engine::failures::engine_error;
use crate::error::BuildError;

/// Says on an image or container for which job it was made.
pub(crate) const JOB_LABEL: &str = "io.slipway.job";
/// Says which of several users of one engine made it.
pub(crate) const OWNER_LABEL: &str = "io.slipway.runner";

/// How the names begin that images have here while they are made.
pub(crate) const OWN_REPOSITORY: &str = "slipway-job:";

impl Builder {
    /// Removes the containers and images that were made for `job`, with all their local tags, and what
    /// was fetched for it. To be called before anybody hears that the image is there.
    ///
    /// Layers may stay in the build cache, which [`Builder::prune`] bounds.
    ///
    /// # Errors
    /// `EngineUnavailable` when the engine does not answer.
    pub async fn remove_job(&self, job: &str) -> Result<(), BuildError> {
        let labels = self.labels(job).into_iter();
        let labels = labels.map(|(name, value)| format!("{name}={value}"));
        self.remove_labelled(labels.collect(), |_| true).await?;
        self.remove_cache_of(job).await
    }

    /// The labels by which what was made for `job` is found and removed.
    pub fn labels(&self, job: &str) -> HashMap<String, String> {
        HashMap::from([
            (OWNER_LABEL.to_owned(), self.owner().to_owned()),
            (JOB_LABEL.to_owned(), job.to_owned()),
        ])
    }

    /// The name of a container that this owner makes for `job`.
    pub fn container_name(&self, purpose: &str, job: &str) -> String {
        format!("{}{purpose}-{job}", self.container_prefix())
    }

    fn container_prefix(&self) -> String {
        format!("slipway-{}-", self.owner())
    }

    /// Removes all images and containers of this owner, as a predecessor that died left them.
    /// Returns how many there were. To be called while no build runs.
    ///
    /// Images that were pushed have the labels too, and so have containers that somebody runs of
    /// them here. An image counts that has a name by which builds are done, or none at all.
    ///
    /// # Errors
    /// `EngineUnavailable` when the engine does not answer.
    pub async fn remove_leftovers(&self) -> Result<usize, BuildError> {
        let labels = vec![format!("{OWNER_LABEL}={}", self.owner())];
        let is_left = |names: &[String]| {
            names.is_empty() || names.iter().any(|name| name.starts_with(OWN_REPOSITORY))
        };
        let removed = self.remove_labelled(labels, is_left).await?;
        Ok(self.remove_caches().await? + removed)
    }

    /// Removes build cache, least recently used first, until it fits `cache_bytes`, and dangling
    /// images of this owner. Nothing that a build uses at the time is touched. Returns how many
    /// bytes the engine says it freed.
    ///
    /// # Errors
    /// `EngineUnavailable` when the engine does not answer.
    pub async fn prune(&self, cache_bytes: u64) -> Result<u64, BuildError> {
        let filters = HashMap::from([
            ("dangling".to_owned(), vec!["true".to_owned()]),
            (
                "label".to_owned(),
                vec![format!("{OWNER_LABEL}={}", self.owner())],
            ),
        ]);
        let options = PruneImagesOptions {
            filters: Some(filters),
        };
        let images = self
            .engine()
            .prune_images(Some(options))
            .await
            .map_err(engine_error)?;
        let options = PruneBuildOptions {
            reserved_space: Some(i64::try_from(cache_bytes).unwrap_or(i64::MAX)),
            all: Some(true),
            ..PruneBuildOptions::default()
        };
        let cache = self.prune_cache(options).await?;
        Ok(cache + bytes(images.space_reclaimed))
    }

    /// Removes build cache that no build has used for `age`. Returns how many bytes the engine says
    /// it freed.
    ///
    /// # Errors
    /// `EngineUnavailable` when the engine does not answer.
    pub async fn prune_unused_for(&self, age: Duration) -> Result<u64, BuildError> {
        let age = format!("{}s", age.as_secs());
        let options = PruneBuildOptions {
            all: Some(true),
            filters: Some(HashMap::from([("until".to_owned(), vec![age])])),
            ..PruneBuildOptions::default()
        };
        self.prune_cache(options).await
    }

    async fn prune_cache(&self, options: PruneBuildOptions) -> Result<u64, BuildError> {
        let pruned = prune_client(self.engine()).prune_build(Some(options)).await;
        Ok(bytes(pruned.map_err(engine_error)?.space_reclaimed))
    }

    /// Where the engine of this host keeps images and cache, as far as it says.
    pub async fn store(&self) -> Option<PathBuf> {
        let store = self.engine().info().await.ok()?.docker_root_dir?;
        // An engine on another host has its own disk.
        Some(PathBuf::from(store)).filter(|store| store.is_dir())
    }

    /// Removes what has these labels: of containers those that were made by this owner and not of an
    /// image with the labels, of images those whose names `is_meant` is for.
    async fn remove_labelled(
        &self,
        labels: Vec<String>,
        is_meant: impl Fn(&[String]) -> bool,
    ) -> Result<usize, BuildError> {
        let filters = HashMap::from([("label".to_owned(), labels)]);
        let containers = self
            .engine()
            .list_containers(Some(ListContainersOptions {
                all: true,
                filters: Some(filters.clone()),
                ..ListContainersOptions::default()
            }))
            .await
            .map_err(engine_error)?;
        let images = self
            .engine()
            .list_images(Some(ListImagesOptions {
                all: false,
                filters: Some(filters),
                ..ListImagesOptions::default()
            }))
            .await
            .map_err(engine_error)?;
        let prefix = format!("/{}", self.container_prefix());
        let is_own = |names: &Option<Vec<String>>| {
            let mut names = names.iter().flatten();
            names.any(|name| name.starts_with(&prefix))
        };
        let containers: Vec<_> = containers
            .into_iter()
            .filter(|found| is_own(&found.names))
            .collect();
        let images: Vec<_> = images
            .into_iter()
            .filter(|found| is_meant(&found.repo_tags))
            .collect();
        let count = containers.len() + images.len();
        for container in containers.into_iter().filter_map(|found| found.id) {
            let options = RemoveContainerOptions {
                force: true,
                v: true,
                ..RemoveContainerOptions::default()
            };
            let removed = self.engine().remove_container(&container, Some(options));
            gone(removed.await)?;
        }
        for image in images {
            let options = RemoveImageOptions {
                force: true,
                ..RemoveImageOptions::default()
            };
            let removed = self
                .engine()
                .remove_image(&image.id, Some(options), None)
                .await;
            gone(removed.map(drop))?;
        }
        Ok(count)
    }
}

fn bytes(freed: Option<i64>) -> u64 {
    freed.and_then(|bytes| bytes.try_into().ok()).unwrap_or(0)
}

/// Whether a removal left nothing behind. What another call has removed meanwhile is gone, and
/// what is still in use is removed by the next sweep.
pub(crate) fn gone(removed: Result<(), Error>) -> Result<(), BuildError> {
    match removed {
        Ok(())
        | Err(Error::DockerResponseServerError {
            status_code: 404 | 409,
            ..
        }) => Ok(()),
        // Of two calls that remove one image, the second is told that the engine is at fault.
        Err(Error::DockerResponseServerError { message, .. })
            if message.starts_with("unrecognized image ID") =>
        {
            Ok(())
        }
        Err(error) => Err(engine_error(error)),
    }
}

/// A client that says "keep this much cache" in the words of the engine's version: they changed
/// with API 1.48, and an engine that does not know the word would remove everything.
fn prune_client(docker: &Docker) -> Docker {
    let version = docker.client_version();
    if (version.major_version, version.minor_version) >= (1, 48) {
        return docker.clone();
    }
    docker.clone().with_request_modifier(|mut request| {
        let uri = request.uri().to_string();
        let uri = uri.replace("reserved-space=", "keep-storage=");
        if let Ok(uri) = uri.parse() {
            *request.uri_mut() = uri;
        }
        request
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status_code: u16, message: &str) -> Result<(), Error> {
        Err(Error::DockerResponseServerError {
            status_code,
            message: message.to_owned(),
        })
    }

    #[test]
    fn what_another_call_removed_meanwhile_is_gone() {
        // So Docker 20.10 says it, where two calls removed one image.
        for (status, message) in [
            (404, "No such image: a:1"),
            (409, "removal of container 12ab is already in progress"),
            (500, "unrecognized image ID sha256:24742aa09ec4"),
        ] {
            assert!(gone(refused(status, message)).is_ok(), "{message}");
        }
        assert!(gone(refused(500, "input/output error")).is_err());
    }
}
