//! Deleting what builds leave in the engine: images and containers by label, and build cache.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bollard::query_parameters::{
    ListContainersOptions, ListImagesOptions, PruneBuildOptions, PruneImagesOptions,
    RemoveContainerOptions, RemoveImageOptions,
};

use crate::builder::{Backend, Builder};
use crate::engine::failures::{engine_error, ignore_missing};
use crate::error::BuildError;
use crate::labels::{BUILD_NAME_PREFIX, OWNER_LABEL};

impl Builder {
    /// Deletes the containers, the network and the images of `job` with all their local tags, and
    /// the images that were pulled for it. Call it before the job's result is reported.
    ///
    /// Layers may stay in the build cache, which [`Builder::prune`] limits.
    ///
    /// # Errors
    /// `EngineUnavailable` if the engine does not answer.
    pub async fn remove_job(&self, job: &str) -> Result<(), BuildError> {
        let labels = self.labels(job).into_iter();
        let labels = labels.map(|(name, value)| format!("{name}={value}"));
        self.remove_labeled(labels.collect(), |_| true).await?;
        self.remove_tags_of(job).await
    }

    /// Deletes all images and containers of this owner that a manager left when it died; returns
    /// how many there were. Call it only while no build runs.
    ///
    /// Pushed images have the owner's labels too, and so have containers that somebody runs from
    /// them on this host. So an image is deleted only if it has a name that builds use, or no name.
    ///
    /// # Errors
    /// `EngineUnavailable` if the engine does not answer.
    pub async fn remove_leftovers(&self) -> Result<usize, BuildError> {
        let labels = vec![format!("{OWNER_LABEL}={}", self.owner())];
        let is_leftover = |names: &[String]| {
            let mut all = names.iter();
            // Podman adds a registry to local names.
            let is_own = |name: &str| {
                let name = name.strip_prefix("localhost/").unwrap_or(name);
                name.starts_with(BUILD_NAME_PREFIX)
            };
            names.is_empty() || all.any(|name| is_own(name))
        };
        let removed = self.remove_labeled(labels, is_leftover).await?;
        Ok(self.remove_all_tags().await? + removed)
    }

    /// Deletes build cache, least recently used first, until at most `cache_bytes` are left, and
    /// dangling images of this owner. Nothing that a running build uses is deleted. Returns how
    /// many bytes the engine freed.
    ///
    /// # Errors
    /// `EngineUnavailable` if the engine does not answer.
    pub async fn prune(&self, cache_bytes: u64) -> Result<u64, BuildError> {
        // The owner's label keeps dangling images of other users of the engine.
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
            // Without this the engine deletes only dangling cache.
            all: Some(true),
            ..PruneBuildOptions::default()
        };
        let cache = self.prune_cache(options).await?;
        let kept = self.prune_kept(cache_bytes).await?;
        Ok(cache + kept + bytes(images.space_reclaimed))
    }

    /// Deletes build cache that no build has used for `age`. Returns how many bytes the engine
    /// freed.
    ///
    /// # Errors
    /// `EngineUnavailable` if the engine does not answer.
    pub async fn prune_unused_for(&self, age: Duration) -> Result<u64, BuildError> {
        let until = format!("{}s", age.as_secs());
        let options = PruneBuildOptions {
            all: Some(true),
            filters: Some(HashMap::from([("until".to_owned(), vec![until])])),
            ..PruneBuildOptions::default()
        };
        let cache = self.prune_cache(options).await?;
        Ok(cache + self.prune_kept_for(age).await?)
    }

    async fn prune_cache(&self, options: PruneBuildOptions) -> Result<u64, BuildError> {
        // An engine without BuildKit has no other cache than images, and may refuse the request.
        if self.backend() == Backend::Classic {
            return Ok(0);
        }
        let pruned = self.engine().prune_build(Some(options)).await;
        Ok(bytes(pruned.map_err(engine_error)?.space_reclaimed))
    }

    /// Deletes containers with these labels that this owner named, and images with these labels
    /// whose names satisfy `is_wanted`; returns how many there were.
    async fn remove_labeled(
        &self,
        labels: Vec<String>,
        is_wanted: impl Fn(&[String]) -> bool,
    ) -> Result<usize, BuildError> {
        let mut filters = HashMap::from([("label".to_owned(), labels)]);
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
                filters: Some(filters.clone()),
                ..ListImagesOptions::default()
            }))
            .await
            .map_err(engine_error)?;
        // A container inherits the labels of its image, so the labels alone do not show who
        // created it. The engine lists names with a slash in front.
        let prefix = format!("/{}", self.container_prefix());
        let is_own = |names: &Option<Vec<String>>| {
            let mut names = names.iter().flatten();
            names.any(|name| name.starts_with(&prefix))
        };
        let containers: Vec<_> = containers
            .into_iter()
            .filter(|found| is_own(&found.names))
            .collect();
        // Podman lists an image without a name even if another one consists of its layers.
        let parents: HashSet<String> = images.iter().map(|found| found.parent_id.clone()).collect();
        let images: Vec<_> = images
            .into_iter()
            .filter(|found| !found.repo_tags.is_empty() || !parents.contains(&found.id))
            // Its other names are deleted by `remove_tags_of` and `remove_all_tags`.
            .filter(|found| is_wanted(&found.repo_tags) && !self.is_kept(&found.repo_tags))
            .collect();
        let count = containers.len() + images.len();
        let networks = filters.remove("label").unwrap_or_default();
        // Containers first: the engine keeps an image that a container uses.
        for container in containers.into_iter().filter_map(|found| found.id) {
            let options = RemoveContainerOptions {
                force: true,
                v: true,
                ..RemoveContainerOptions::default()
            };
            let removed = self.engine().remove_container(&container, Some(options));
            ignore_missing(removed.await)?;
        }
        self.remove_networks(networks).await?;
        for image in images {
            let options = RemoveImageOptions {
                force: true,
                ..RemoveImageOptions::default()
            };
            let removed = self
                .engine()
                .remove_image(&image.id, Some(options), None)
                .await;
            ignore_missing(removed.map(drop))?;
        }
        Ok(count)
    }
}

fn bytes(freed: Option<i64>) -> u64 {
    freed.and_then(|bytes| bytes.try_into().ok()).unwrap_or(0)
}
