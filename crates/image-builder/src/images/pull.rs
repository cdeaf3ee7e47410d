//! Pulling images for one job. Each gets a local tag of the job, which is deleted with it.

use bollard::errors::Error;
use bollard::query_parameters::{CreateImageOptions, TagImageOptions};
use futures_util::StreamExt as _;
use slipway_domain::image::registry_of;

use crate::builder::Builder;
use crate::engine::credentials::credentials_of;
use crate::images::registry_retry::RegistryRetry;
use crate::request::Login;
use crate::sharing::with_tag;

/// An image to pull, and the local tag that it gets.
pub(crate) struct Pull<'a> {
    /// The repository with its registry, without tag and digest.
    pub(crate) repository: &'a str,
    /// The full name, with a tag or a digest.
    pub(crate) name: &'a str,
    pub(crate) local_tag: &'a str,
    /// Whether the image also keeps its full name in the engine.
    pub(crate) keeps_name: bool,
}

impl Builder {
    /// Makes the image of another job available to `job` until [`Builder::remove_job`] is called:
    /// tags it if the engine has it, and pulls it otherwise. `image` is a name with a digest.
    /// Returns the local name.
    ///
    /// # Errors
    /// The engine's error if the image can be neither found nor pulled.
    pub async fn ensure_job_image(
        &self,
        image: &str,
        job: &str,
        logins: &[Login],
    ) -> Result<String, Error> {
        let repository = repository_of(image);
        let local_tag = self.job_image_tag(job);
        let login = login_for(repository, logins);
        let report = |line| tracing::warn!("Pulling the image of job {job} is delayed: {line}");
        // The digest alone must not open an image that another project pushed.
        self.check_pull_right(image, login, report).await?;
        let lock = self.tag_lock(repository);
        let _guard = lock.lock().await;
        let local_name = format!("{repository}:{local_tag}");
        let options = TagImageOptions {
            repo: Some(repository.to_owned()),
            tag: Some(local_tag.clone()),
        };
        // If the engine has the image, tagging it is all that is needed, and it fails otherwise.
        if self.engine().tag_image(image, Some(options)).await.is_ok() {
            return Ok(local_name);
        }
        let pull = Pull {
            repository,
            name: image,
            local_tag: &local_tag,
            keeps_name: false,
        };
        self.pull_with_retries(&pull, login, report).await?;
        Ok(local_name)
    }

    /// Pulls `image` under its own name; without a tag or digest, its tag is `latest`. Transient errors
    /// are retried and passed to `report`.
    ///
    /// # Errors
    /// What the engine answered, or status 403 if the runner may not connect to the registry.
    pub async fn pull_image(
        &self,
        image: &str,
        login: Option<&Login>,
        report: impl Fn(String),
    ) -> Result<(), Error> {
        let name = with_tag(image);
        let mut retry = self.registry_retry(&name, login).await?;
        loop {
            match self.fetch(&name, login).await {
                Err(error) if retry.wait_after(&error.to_string(), &report).await => {}
                done => return done,
            }
        }
    }

    /// Pulls an image for a job, retrying transient errors; each retry is passed to `report`.
    ///
    /// The caller holds the tag lock of the repository.
    pub(crate) async fn pull_with_retries(
        &self,
        pull: &Pull<'_>,
        login: Option<&Login>,
        report: impl Fn(String),
    ) -> Result<(), Error> {
        let mut retry = self.registry_retry(pull.name, login).await?;
        loop {
            match self.pull_once(pull, login).await {
                Err(error) if retry.wait_after(&error.to_string(), &report).await => {}
                done => return done,
            }
        }
    }

    /// The retries of requests to the registry of `name`, if the runner may connect to it.
    pub(crate) async fn registry_retry<'a>(
        &'a self,
        name: &'a str,
        login: Option<&'a Login>,
    ) -> Result<RegistryRetry<'a>, Error> {
        let repository = repository_of(name);
        let checked = self.check_registry(registry_of(repository)).await;
        // As the engine would answer if it had this rule itself.
        checked.map_err(|refused| Error::DockerResponseServerError {
            status_code: 403,
            message: refused.to_string(),
        })?;
        let reference = reference_in(name);
        Ok(RegistryRetry::new(
            self.outbound(),
            repository,
            reference,
            login,
        ))
    }

    async fn fetch(&self, name: &str, login: Option<&Login>) -> Result<(), Error> {
        let options = CreateImageOptions {
            from_image: Some(name.to_owned()),
            ..CreateImageOptions::default()
        };
        let credentials = login.map(credentials_of);
        let answer = self.engine().create_image(Some(options), None, credentials);
        let mut answer = std::pin::pin!(answer);
        while let Some(message) = answer.next().await {
            message?;
        }
        Ok(())
    }

    async fn pull_once(&self, pull: &Pull<'_>, login: Option<&Login>) -> Result<(), Error> {
        self.fetch(pull.name, login).await?;
        let options = TagImageOptions {
            repo: Some(pull.repository.to_owned()),
            tag: Some(pull.local_tag.to_owned()),
        };
        // The local tag comes first, so that the image is never without a name and prunable.
        let tagged = self.engine().tag_image(pull.name, Some(options)).await;
        // Docker deletes the digest of a repository together with its last tag. Deleted by itself,
        // it takes the tag with it in the store of containerd.
        let goes_with_tag = pull.name.contains('@') && !self.is_podman();
        if !pull.keeps_name
            && !goes_with_tag
            && tagged.is_ok()
            && let Err(error) = self.remove_tag(pull.name).await
        {
            tracing::warn!(%error, "Could not delete the local tag {}", pull.name);
        }
        tagged
    }
}

/// The digest in an image name, or else its tag, or nothing.
pub(crate) fn reference_in(image: &str) -> &str {
    match image.split_once('@') {
        Some((_, digest)) => digest,
        None => image
            .strip_prefix(repository_of(image))
            .unwrap_or_default()
            .trim_start_matches(':'),
    }
}

/// The repository in an image name with a digest or a tag.
pub(crate) fn repository_of(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        // A colon before a slash belongs to the port of a registry.
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => image,
    }
}

/// The login for the registry of `repository`.
pub(crate) fn login_for<'a>(repository: &str, logins: &'a [Login]) -> Option<&'a Login> {
    let registry = registry_of(repository);
    logins.iter().find(|login| login.registry == registry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_repository_and_a_digest_or_tag() {
        for (image, repository, reference) in [
            ("busybox", "busybox", ""),
            ("acme/tools:1", "acme/tools", "1"),
            ("r.example:5000/a/b", "r.example:5000/a/b", ""),
            ("r.example:5000/a:2", "r.example:5000/a", "2"),
            ("localhost/a:3@sha256:12", "localhost/a", "sha256:12"),
        ] {
            let found = (repository_of(image), reference_in(image));
            assert_eq!(found, (repository, reference), "{image}");
        }
        assert_eq!(with_tag("busybox"), "docker.io/library/busybox:latest");
        assert_eq!(with_tag("r.example:5000/a/b"), "r.example:5000/a/b:latest");
        assert_eq!(with_tag("localhost/a@sha256:12"), "localhost/a@sha256:12");
    }
}
