//! Reusing layers of earlier images, and pushing images for later builds to reuse.
//!
//! A problem with the cache never fails a build: it is written to the trace.

use slipway_domain::Phase;
use slipway_domain::image::{Repository, registry_of};

use crate::builder::{Backend, Builder, ImageStore};
use crate::engine::failures::shorten;
use crate::images::pull::{Pull, login_for, repository_of};
use crate::progress::Progress;
use crate::request::BuildRequest;

impl Builder {
    /// The images whose layers the build may reuse, as names that the engine can use.
    ///
    /// BuildKit reads such images in the registry itself, and downloads only the layers that it
    /// reuses. The classic builder reuses only layers that the engine has, so whole images are
    /// pulled for it. The same is done for BuildKit if the request has a login for base images
    /// only, because BuildKit would use that login for the cache too. With the image store of
    /// containerd, BuildKit reuses nothing that was pulled, so images of that registry are left out.
    pub(crate) async fn cache_images(
        &self,
        request: &BuildRequest,
        progress: &dyn Progress,
    ) -> Vec<String> {
        let spec = &request.spec;
        // Podman reuses only layers of its own, and refuses a build that names an image as cache.
        if spec.no_cache || self.is_podman() {
            return Vec::new();
        }
        let tags = spec.cache_tag.iter().chain(&spec.fallback_cache_tag);
        let repository = spec.repository.as_ref();
        let branches: Vec<String> = repository
            .iter()
            .flat_map(|repository| tags.clone().map(|tag| repository.tagged(tag)))
            .collect();
        let others = spec.cache_image.iter().chain(&spec.cache_images);
        let names: Vec<&String> = branches.iter().chain(others.clone()).collect();
        for name in names {
            // The engine would connect to it during the build.
            if let Err(refused) = self.check_registry(registry_of(repository_of(name))).await {
                let line = format!("No layers reused from {name}: {refused}\n");
                progress.output(line.as_bytes());
                return Vec::new();
            }
        }
        match (self.backend(), &request.pull_login, self.image_store()) {
            (Backend::BuildKit, None, _) => branches.into_iter().chain(others.cloned()).collect(),
            (Backend::BuildKit, Some(pull_login), ImageStore::Containerd) => {
                let mut names: Vec<String> = branches.into_iter().chain(others.cloned()).collect();
                names.retain(|name| {
                    let is_usable = registry_of(repository_of(name)) != pull_login.registry;
                    if !is_usable {
                        let why = "this engine would use the login for base images";
                        progress
                            .output(format!("No layers reused from {name}: {why}\n").as_bytes());
                    }
                    is_usable
                });
                names
            }
            _ => {
                let others: Vec<&String> = others.collect();
                self.pull_caches(request, &branches, &others, progress)
                    .await
            }
        }
    }

    /// Pulls the first of the `branches` that exists, and all `others`; returns their local names.
    async fn pull_caches(
        &self,
        request: &BuildRequest,
        branches: &[String],
        others: &[&String],
        progress: &dyn Progress,
    ) -> Vec<String> {
        let mut local_names = Vec::new();
        // Whole images are pulled here, so the fallback is used only if the branch has none.
        for name in branches {
            let tag = self.branch_cache_tag(&request.job);
            local_names.extend(self.pull_cache(name, &tag, request, progress).await);
            if !local_names.is_empty() {
                break;
            }
        }
        for (index, image) in others.iter().enumerate() {
            let tag = self.extra_cache_tag(index, &request.job);
            local_names.extend(self.pull_cache(image, &tag, request, progress).await);
        }
        local_names
    }

    /// Pulls one image under `local_tag`; returns its local name, or `None` if that failed.
    ///
    /// The tag is not the registry's, because the image that is being built may get that one.
    async fn pull_cache(
        &self,
        name: &str,
        local_tag: &str,
        request: &BuildRequest,
        progress: &dyn Progress,
    ) -> Option<String> {
        progress.phase(Phase::Pulling);
        let repository = repository_of(name);
        let pull = Pull {
            repository,
            name,
            local_tag,
            keeps_name: false,
        };
        let report = |line: String| progress.output(format!("{line}\n").as_bytes());
        report(format!("Pulling {name} to reuse its layers"));
        // A push of this repository uses the same local tags.
        let lock = self.tag_lock(repository);
        let _guard = lock.lock().await;
        let login = login_for(repository, &request.logins);
        // The engine does not ask the registry about an image of this digest that it has.
        let checked = if name.contains('@') {
            self.check_pull_right(name, login, report).await
        } else {
            Ok(())
        };
        let pulled = match checked {
            Ok(()) => self.pull_with_retries(&pull, login, report).await,
            Err(error) => Err(error),
        };
        match pulled {
            Ok(()) => Some(format!("{repository}:{local_tag}")),
            Err(error) => {
                let error = shorten(&error.to_string());
                report(format!("No layers reused from {name}: {error}"));
                None
            }
        }
    }

    /// Pushes the image with this `id` to the place from which other builds reuse layers, if the
    /// spec names one.
    pub(crate) async fn push_cache(
        &self,
        request: &BuildRequest,
        id: &str,
        progress: &dyn Progress,
    ) {
        let target = request.spec.cache_to.as_deref();
        let Some((repository, tag)) = target.and_then(Repository::split_tagged) else {
            return;
        };
        progress.phase(Phase::Pushing);
        // The cache is visible to others too, so a canceled job must not push it either.
        progress.phase_reported().await;
        let tags = [tag.to_owned()];
        let pushed = self.push_tags(id, &repository, &tags, &request.logins, progress);
        if let Err(error) = pushed.await {
            progress.output(format!("Could not push the layer cache: {error}\n").as_bytes());
        }
    }
}
