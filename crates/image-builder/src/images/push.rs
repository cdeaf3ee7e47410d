//! Pushing an image under its tags, with another try where the registry may yet take it.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use bollard::errors::Error;
use bollard::query_parameters::{PushImageOptions, RemoveImageOptions, TagImageOptions};
use futures_util::StreamExt as _;
use slipway_domain::Phase;
use slipway_domain::image::Repository;
use slipway_registry::Registry;

use crate::builder::Builder;
use crate::engine::build_options::credentials_of;
use crate::engine::failures::{engine_error, shorten};
use crate::error::BuildError;
use crate::images::registry_retry::Patience;
use crate::request::{BuiltImage, Login, Progress};

/// The registries that are not asked for tags.
#[derive(Debug, Default)]
pub(crate) struct Unasked(Mutex<HashSet<String>>);

impl Unasked {
    fn contains(&self, registry: &str) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(registry)
    }

    fn insert(&self, registry: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(registry.to_owned());
    }
}

impl Builder {
    /// Pushes the image with this `id` under every tag, of which there is one at least, unless the
    /// job was called off by then.
    ///
    /// # Errors
    /// `PushRefused` when the registry does not take it; those of the engine.
    pub async fn publish(
        &self,
        id: &str,
        repository: &Repository,
        tags: &[String],
        logins: &[Login],
        progress: &dyn Progress,
    ) -> Result<BuiltImage, BuildError> {
        let (size_bytes, details) = self.describe(id).await?;
        progress.phase(Phase::Pushing);
        // A build that was called off by then is not pushed.
        progress.heard().await;
        let pushed = self.push(id, repository, tags, logins, progress).await?;
        let digest = pushed.ok_or_else(|| BuildError::PushRefused {
            registry: repository.registry().to_owned(),
            reason: "it gave no digest for the image".to_owned(),
        })?;
        Ok(BuiltImage {
            reference: tags.first().map(|tag| repository.tagged(tag)),
            tags: tags.to_vec(),
            digest,
            size_bytes,
            details,
        })
    }

    /// Pushes the image with this `id` under every tag; returns the digest of its manifest. The
    /// first tag that is not taken ends it, and what was pushed before stays.
    ///
    /// Local tags are names that all builds of an engine share, so a repository is pushed to by
    /// one build at a time, and its local tags are removed before the next one comes.
    pub(crate) async fn push(
        &self,
        id: &str,
        repository: &Repository,
        tags: &[String],
        logins: &[Login],
        progress: &dyn Progress,
    ) -> Result<Option<String>, BuildError> {
        let lock = self.tag_lock(repository.as_str());
        let _alone = lock.lock().await;
        let login = logins
            .iter()
            .find(|login| login.registry == repository.registry());
        let mut digest = None;
        let mut left = tags;
        while let Some((tag, more)) = left.split_first() {
            let pushed = self
                .push_under(id, repository, tag, login, progress)
                .await?;
            digest = pushed.or(digest);
            let given = match &digest {
                Some(digest) => {
                    self.tag_there(repository, digest, more, login, progress)
                        .await
                }
                None => 0,
            };
            left = &more[given..];
        }
        Ok(digest)
    }

    /// Gives an image that the registry has more tags there, without the engine, which would look
    /// for every layer again; returns how many of them. A registry that did not do that once, or
    /// cannot be reached from here, is not asked again: the engine may have another way to it.
    async fn tag_there(
        &self,
        repository: &Repository,
        digest: &str,
        tags: &[String],
        login: Option<&Login>,
        progress: &dyn Progress,
    ) -> usize {
        let registry = repository.registry();
        if tags.is_empty() || self.unasked.contains(registry) {
            return 0;
        }
        let login = login.map(|login| (login.username.as_str(), login.password.as_str()));
        let given = Registry::new(repository, login).add_tags(digest, tags).await;
        for tag in &tags[..given] {
            say(progress, &format!("{} is {digest}", repository.tagged(tag)));
        }
        if given < tags.len() {
            self.unasked.insert(registry);
        }
        given
    }

    /// Pushes the image with this `id` under a tag by way of the engine, where it has that tag for as
    /// long; returns the digest of its manifest.
    async fn push_under(
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
        let pushed = self.push_tag(repository, tag, login, progress).await;
        let options = RemoveImageOptions {
            noprune: true,
            ..RemoveImageOptions::default()
        };
        let name = repository.tagged(tag);
        let untagged = self.engine().remove_image(&name, Some(options), None);
        if let Err(error) = untagged.await {
            tracing::warn!(%error, "The local tag {name} could not be removed");
        }
        pushed
    }

    async fn push_tag(
        &self,
        repository: &Repository,
        tag: &str,
        login: Option<&Login>,
        progress: &dyn Progress,
    ) -> Result<Option<String>, BuildError> {
        let name = repository.tagged(tag);
        say(progress, &format!("Pushing {name}"));
        let mut patience = Patience::new(repository.as_str(), tag, login);
        loop {
            let error = match self.push_once(repository, tag, login, progress).await {
                Ok(digest) => return Ok(digest),
                Err(error) => error,
            };
            let text = match error {
                Error::DockerStreamError { error } => error,
                Error::DockerResponseServerError { message, .. } => message,
                other => return Err(engine_error(other)),
            };
            if !patience
                .tries_again(&text, |line| say(progress, &line))
                .await
            {
                return Err(BuildError::PushRefused {
                    registry: repository.registry().to_owned(),
                    reason: shorten(&text),
                });
            }
        }
    }

    /// The answer begins with 200 whatever comes; only its end tells whether the push went well.
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
            let Some(status) = message?.status else {
                continue;
            };
            if let Some(found) = digest_in(&status, tag) {
                digest = Some(found.to_owned());
                say(progress, &status);
            }
        }
        Ok(digest)
    }
}

fn say(progress: &dyn Progress, line: &str) {
    progress.output(format!("{line}\n").as_bytes());
}

/// The digest in `TAG: digest: sha256:… size: N`, the engine's last word on a push.
fn digest_in<'a>(status: &'a str, tag: &str) -> Option<&'a str> {
    let rest = status.strip_prefix(tag)?.strip_prefix(": digest: ")?;
    rest.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_read_from_the_last_word() {
        let status = "v1: digest: sha256:abc size: 527";
        assert_eq!(digest_in(status, "v1"), Some("sha256:abc"));
        assert_eq!(digest_in(status, "v2"), None);
    }
}
