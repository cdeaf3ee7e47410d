//! Pushing an image under its tags.
//!
//! The engine pushes the first tag. Further tags are added in the registry directly, because the
//! engine would check every layer again for each of them
//! (`docs/decisions/0023-add-tags-through-the-registry.md`).

use bollard::errors::Error;
use bollard::query_parameters::{PushImageOptions, RemoveImageOptions, TagImageOptions};
use futures_util::StreamExt as _;
use slipway_domain::Phase;
use slipway_domain::image::Repository;
use slipway_registry::Registry;

use crate::builder::Builder;
use crate::engine::credentials::credentials_of;
use crate::engine::failures::{engine_error, shorten};
use crate::error::BuildError;
use crate::images::registry_retry::RegistryRetry;
use crate::progress::Progress;
use crate::request::{BuiltImage, Login};

impl Builder {
    /// Pushes the image with this `id` under every tag, of which there must be at least one. A job
    /// that was canceled before is not pushed.
    ///
    /// # Errors
    /// `PushRefused` if the registry refuses the image; `DiskFull` and `EngineUnavailable`.
    pub async fn push_image(
        &self,
        id: &str,
        repository: &Repository,
        tags: &[String],
        logins: &[Login],
        progress: &dyn Progress,
    ) -> Result<BuiltImage, BuildError> {
        let (size_bytes, details) = self.inspect(id).await;
        progress.phase(Phase::Pushing);
        // The coordinator may have canceled the job meanwhile. The answer to this report shows that
        // before anything is visible in the registry.
        progress.phase_reported().await;
        let pushed = self
            .push_tags(id, repository, tags, logins, progress)
            .await?;
        let digest = pushed.ok_or_else(|| BuildError::PushRefused {
            registry: repository.registry().to_owned(),
            reason: "it returned no digest for the image".to_owned(),
        })?;
        Ok(BuiltImage {
            reference: tags.first().map(|tag| repository.tagged(tag)),
            tags: tags.to_vec(),
            digest,
            size_bytes,
            details,
            bases: Vec::new(),
        })
    }

    /// Pushes the image with this `id` under every tag; returns the digest of its manifest. Stops
    /// at the first tag that the registry refuses; tags pushed before stay.
    ///
    /// All builds of an engine share its local tags. So only one build at a time pushes to a
    /// repository, and its local tags are deleted before the next one starts.
    pub(crate) async fn push_tags(
        &self,
        id: &str,
        repository: &Repository,
        tags: &[String],
        logins: &[Login],
        progress: &dyn Progress,
    ) -> Result<Option<String>, BuildError> {
        let checked = self.check_registry(repository.registry()).await;
        checked.map_err(|error| BuildError::PushRefused {
            registry: repository.registry().to_owned(),
            reason: error.to_string(),
        })?;
        let lock = self.tag_lock(repository.as_str());
        let _guard = lock.lock().await;
        let login = logins
            .iter()
            .find(|login| login.registry == repository.registry());
        let mut digest = None;
        let mut remaining = tags;
        while let Some((tag, rest)) = remaining.split_first() {
            let pushed = self
                .push_local_tag(id, repository, tag, login, progress)
                .await?;
            digest = pushed.or(digest);
            let added = match &digest {
                Some(digest) => {
                    self.add_tags_in_registry(repository, digest, rest, login, progress)
                        .await
                }
                None => 0,
            };
            // Tags that could not be added directly are pushed by the engine, one by one.
            remaining = &rest[added..];
        }
        Ok(digest)
    }

    /// Adds tags to an image in the registry, without the engine; returns how many were added.
    ///
    /// A registry where this failed once is left to the engine from then on: it may be reachable
    /// only from there.
    async fn add_tags_in_registry(
        &self,
        repository: &Repository,
        digest: &str,
        tags: &[String],
        login: Option<&Login>,
        progress: &dyn Progress,
    ) -> usize {
        let registry = repository.registry();
        if tags.is_empty() || self.engine_only_registries.lock().contains(registry) {
            return 0;
        }
        // The lock is not held during the requests: other builds push to other repositories.
        let login = login.map(|login| (login.username.as_str(), login.password.as_str()));
        let added = match Registry::new(self.outbound(), repository, login) {
            Ok(registry) => registry.add_tags(digest, tags).await,
            Err(_) => 0,
        };
        for tag in &tags[..added] {
            write_line(progress, &format!("{} is {digest}", repository.tagged(tag)));
        }
        if added < tags.len() {
            let mut engine_only = self.engine_only_registries.lock();
            engine_only.insert(registry.to_owned());
        }
        added
    }

    /// Pushes the image with this `id` through the engine under one tag, which it has locally only
    /// during the push; returns the digest of its manifest.
    async fn push_local_tag(
        &self,
        id: &str,
        repository: &Repository,
        tag: &str,
        login: Option<&Login>,
        progress: &dyn Progress,
    ) -> Result<Option<String>, BuildError> {
        let options = TagImageOptions {
            repo: Some(repository.as_str().to_owned()),
            tag: Some(tag.to_owned()),
        };
        let tagged = self.engine().tag_image(id, Some(options)).await;
        tagged.map_err(engine_error)?;
        let pushed = self
            .push_with_retries(repository, tag, login, progress)
            .await;
        // Parents without a tag are build cache of the classic builder and stay.
        let options = RemoveImageOptions {
            noprune: true,
            ..RemoveImageOptions::default()
        };
        let name = repository.tagged(tag);
        let untagged = self.engine().remove_image(&name, Some(options), None);
        // A leftover tag must not fail an image that the registry has.
        if let Err(error) = untagged.await {
            tracing::warn!(%error, "Could not delete the local tag {name}");
        }
        pushed
    }

    async fn push_with_retries(
        &self,
        repository: &Repository,
        tag: &str,
        login: Option<&Login>,
        progress: &dyn Progress,
    ) -> Result<Option<String>, BuildError> {
        let name = repository.tagged(tag);
        write_line(progress, &format!("Pushing {name}"));
        let mut retry = RegistryRetry::new(self.outbound(), repository.as_str(), tag, login);
        loop {
            let error = match self.push_once(repository, tag, login, progress).await {
                Ok(digest) => return Ok(digest),
                Err(error) => error,
            };
            // Only the registry's answers are classified: other errors are the engine's.
            let text = match error {
                Error::DockerStreamError { error } => error,
                Error::DockerResponseServerError { message, .. } => message,
                other => return Err(engine_error(other)),
            };
            let report = |line: String| write_line(progress, &line);
            if !retry.wait_after(&text, report).await {
                return Err(BuildError::PushRefused {
                    registry: repository.registry().to_owned(),
                    reason: shorten(&text),
                });
            }
        }
    }

    /// The engine answers every push with 200; only the end of the answer shows whether it failed.
    async fn push_once(
        &self,
        repository: &Repository,
        tag: &str,
        login: Option<&Login>,
        progress: &dyn Progress,
    ) -> Result<Option<String>, Error> {
        let options = PushImageOptions {
            tag: Some(tag.to_owned()),
            ..PushImageOptions::default()
        };
        let credentials = login.map(credentials_of);
        let mut answer = std::pin::pin!(self.engine().push_image(
            repository.as_str(),
            Some(options),
            credentials
        ));
        let mut digest = None;
        while let Some(message) = answer.next().await {
            // Progress of single layers is left out of the trace.
            let Some(status) = message?.status else {
                continue;
            };
            if let Some(found) = digest_in(&status, tag) {
                digest = Some(found.to_owned());
                write_line(progress, &status);
            }
        }
        Ok(digest)
    }
}

fn write_line(progress: &dyn Progress, line: &str) {
    progress.output(format!("{line}\n").as_bytes());
}

/// The digest in `TAG: digest: sha256:… size: N`, the engine's last message about a push.
fn digest_in<'a>(status: &'a str, tag: &str) -> Option<&'a str> {
    let rest = status.strip_prefix(tag)?.strip_prefix(": digest: ")?;
    rest.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_read_from_the_last_message_of_its_tag() {
        let status = "v1: digest: sha256:abc size: 527";
        assert_eq!(digest_in(status, "v1"), Some("sha256:abc"));
        assert_eq!(digest_in(status, "v2"), None);
    }
}
