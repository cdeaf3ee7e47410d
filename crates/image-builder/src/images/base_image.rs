//! Pulling the first base image before the build, if the spec wants a fresh one.
//!
//! If a Dockerfile has several stages, only the base of the first is pulled here; the engine pulls
//! the others. The image has a tag of the job until the job ends.

use std::collections::HashSet;

use bollard::errors::Error;
use slipway_domain::Phase;
use slipway_domain::base_image::BaseImage;
use slipway_domain::image::{is_reference, registry_of};

use crate::builder::{Backend, Builder, ImageStore};
use crate::dockerfile::first_from::FirstFrom;
use crate::dockerfile::images::NamedImages;
use crate::engine::failures::{engine_error, host_fault, shorten};
use crate::error::BuildError;
use crate::images::archive::full_name;
use crate::images::pull::Pull;
use crate::progress::Progress;
use crate::request::{BuildRequest, ResolvedBase};

impl Builder {
    /// Reports the first base image, and pulls it.
    ///
    /// Nothing is pulled for `scratch`, for a `FROM` with flags such as `--platform`, and if the
    /// spec accepts the image that the engine has.
    pub(crate) async fn pull_base_image(
        &self,
        request: &BuildRequest,
        base: Option<&FirstFrom>,
        progress: &dyn Progress,
    ) -> Result<(), BuildError> {
        let known = base.and_then(|base| Some((base, BaseImage::new(&base.image, None).ok()?)));
        let Some((base, image)) = known else {
            progress.phase(Phase::Pulling);
            return Ok(());
        };
        let login = image
            .registry()
            .and_then(|host| request.login_to_pull(host));
        let username = login.map(|login| login.username.as_str());
        // A user name that cannot be shown is left out of the report.
        match BaseImage::new(&base.image, username) {
            Ok(with_username) => progress.base_image(&with_username),
            Err(_) => progress.base_image(&image),
        }
        if image.registry().is_none() || base.has_flags || !request.spec.pull {
            return Ok(());
        }
        let name = single_image_name(&image, &base.image);
        progress.output(format!("Pulling {name}\n").as_bytes());
        let lock = self.tag_lock(image.repository());
        let _guard = lock.lock().await;
        let local_tag = self.base_tag(&request.job);
        let pull = Pull {
            repository: image.repository(),
            name: &name,
            local_tag: &local_tag,
            // If the engine had the image before, someone else may use it under its name.
            keeps_name: self.engine().inspect_image(&name).await.is_ok(),
        };
        let report = |line: String| progress.output(format!("{line}\n").as_bytes());
        let pulled = self.pull_with_retries(&pull, login, report).await;
        pulled.map_err(|error| unavailable(&base.image, error))
    }
}

impl Builder {
    /// Checks that the job may use the images that its Dockerfile names. Returns whether the engine
    /// has to look them up in their registries, whatever it has under their names.
    ///
    /// The engine uses what it has of an image that is named by its digest, so the right to pull it
    /// is checked here. So is whether the runner may connect to the registries: the engine pulls by
    /// itself.
    pub(crate) async fn check_images(
        &self,
        request: &BuildRequest,
        images: &NamedImages,
        progress: &dyn Progress,
    ) -> Result<bool, BuildError> {
        let local = self.local_images();
        let mut uses_local = false;
        let mut checked = HashSet::new();
        for name in images.known.iter().filter(|name| is_reference(name)) {
            if local.contains(name) && self.engine().inspect_image(name).await.is_ok() {
                uses_local = true;
            } else if checked.insert(registry_of(name)) {
                let allowed = self.check_registry(registry_of(name)).await;
                allowed.map_err(|refused| BuildError::BaseImageUnavailable {
                    image: name.clone(),
                    detail: refused.to_string(),
                })?;
            }
        }
        if local.is_all() {
            return Ok(false);
        }
        // A build that uses a local image must not look any up. Then all others are checked here.
        if let Some(name) = images.unknown.first()
            && (uses_local || images.may_have_digest)
        {
            return Err(BuildError::DockerfileInvalid {
                detail: format!(
                    "the image name {} cannot be checked before the build; write it without this \
                     use of variables",
                    shorten(name)
                ),
            });
        }
        for name in &images.known {
            let is_checked = uses_local || name.contains('@');
            if !is_checked || local.contains(name) || !is_reference(name) {
                continue;
            }
            let login = request.login_to_pull(registry_of(name));
            let report = |line: String| progress.output(format!("{line}\n").as_bytes());
            let checked = self.check_pull_right(name, login, report).await;
            checked.map_err(|error| unavailable(name, error))?;
        }
        Ok(!uses_local)
    }

    /// The digest of a base image that an image was built from, as far as it is known; `resolved`
    /// is what the builder reported for that image.
    pub async fn base_digest(&self, base: &BaseImage, resolved: &[ResolvedBase]) -> Option<String> {
        if let Some((_, digest)) = base.image().split_once('@') {
            return Some(digest.to_owned());
        }
        let name = full_name(&single_image_name(base, base.image()));
        let used = resolved.iter().find(|used| full_name(&used.name) == name);
        match (used, self.backend(), self.image_store()) {
            (Some(used), _, _) => Some(used.digest.clone()),
            // BuildKit used what the registry has, whatever the engine has under this name.
            (None, Backend::BuildKit, ImageStore::Containerd) => None,
            // A local image was used, and there is no other of this name.
            (None, _, _) => self.image_digest(base.image()).await,
        }
    }
}

/// The full name with the digest or else the tag; without either, the engine would pull all tags.
fn single_image_name(used: &BaseImage, image: &str) -> String {
    match (image.split_once('@'), used.tag()) {
        (Some((_, digest)), _) => format!("{}@{digest}", used.repository()),
        (None, tag) => format!("{}:{}", used.repository(), tag.unwrap_or("latest")),
    }
}

fn unavailable(image: &str, error: Error) -> BuildError {
    let detail = match &error {
        Error::DockerStreamError { error } => shorten(error),
        Error::DockerResponseServerError { message, .. } => shorten(message),
        _ => return engine_error(error),
    };
    match host_fault(&detail) {
        Some(fault) => fault,
        None => BuildError::BaseImageUnavailable {
            image: image.to_owned(),
            detail,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_names_exactly_one_image() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (image, expected) in [
            ("alpine".to_owned(), "alpine:latest".to_owned()),
            (
                "r.example:5000/a/b".to_owned(),
                "r.example:5000/a/b:latest".to_owned(),
            ),
            ("a:1".to_owned(), "a:1".to_owned()),
            (format!("a:1@{digest}"), format!("a@{digest}")),
        ] {
            let used = BaseImage::new(&image, None).unwrap();
            assert_eq!(single_image_name(&used, &image), expected);
        }
    }
}
