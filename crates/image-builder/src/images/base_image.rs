//! The image that a build begins with, fetched ahead of it where the spec wants a fresh one.
//!
//! Of several stages the base of the first is fetched; the others are the engine's to pull. The
//! image is here under a tag of its own for as long as the build takes.

use bollard::errors::Error;
use slipway_domain::Phase;
use slipway_domain::base_image::BaseImage;

use crate::builder::Builder;
use crate::dockerfile::first_from::Base;
use crate::engine::failures::{engine_error, shorten};
use crate::error::BuildError;
use crate::images::layer_cache::Wanted;
use crate::request::{BuildRequest, Progress};

impl Builder {
    /// Tells which image the build begins with, and fetches it.
    ///
    /// Nothing is fetched of `scratch`, of an image that is asked for in a special way, and for a
    /// spec that is content with what the engine has.
    pub(crate) async fn fetch_base(
        &self,
        request: &BuildRequest,
        base: Option<&Base>,
        progress: &dyn Progress,
    ) -> Result<(), BuildError> {
        let plain = base.and_then(|base| Some((base, BaseImage::new(&base.image, None).ok()?)));
        let Some((base, told)) = plain else {
            progress.phase(Phase::Pulling);
            return Ok(());
        };
        let login = told.registry().and_then(|host| request.login_to_pull(host));
        let username = login.map(|login| login.username.as_str());
        match BaseImage::new(&base.image, username) {
            Ok(told) => progress.base_image(&told),
            Err(_) => progress.base_image(&told),
        }
        if told.registry().is_none() || base.is_special || !request.spec.pull {
            return Ok(());
        }
        let name = whole_name(&told, &base.image);
        progress.output(format!("Pulling {name}\n").as_bytes());
        let lock = self.tag_lock(told.repository());
        let _alone = lock.lock().await;
        let own = self.base_tag(&request.job);
        let wanted = Wanted {
            repository: told.repository(),
            name: &name,
            own: &own,
            // Others may want it under its name.
            keeps_name: self.engine().inspect_image(&name).await.is_ok(),
        };
        let say = |line: String| progress.output(format!("{line}\n").as_bytes());
        let fetched = self.fetch_patiently(&wanted, login, say).await;
        fetched.map_err(|error| unavailable(&base.image, error))
    }
}

/// The name by which one image is fetched: by its digest where it has one, else by its tag.
fn whole_name(told: &BaseImage, image: &str) -> String {
    match (image.split_once('@'), told.tag()) {
        (Some((_, digest)), _) => format!("{}@{digest}", told.repository()),
        (None, tag) => format!("{}:{}", told.repository(), tag.unwrap_or("latest")),
    }
}

fn unavailable(image: &str, error: Error) -> BuildError {
    let detail = match &error {
        Error::DockerStreamError { error } => shorten(error),
        Error::DockerResponseServerError { message, .. } => shorten(message),
        _ => return engine_error(error),
    };
    match engine_error(error) {
        BuildError::DiskFull => BuildError::DiskFull,
        _ => BuildError::BaseImageUnavailable {
            image: image.to_owned(),
            detail,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_image_is_fetched_and_never_all_of_a_repository() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (image, whole) in [
            ("alpine".to_owned(), "alpine:latest".to_owned()),
            (
                "r.example:5000/a/b".to_owned(),
                "r.example:5000/a/b:latest".to_owned(),
            ),
            ("a:1".to_owned(), "a:1".to_owned()),
            (format!("a:1@{digest}"), format!("a@{digest}")),
        ] {
            let told = BaseImage::new(&image, None).unwrap();
            assert_eq!(whole_name(&told, &image), whole);
        }
    }
}
