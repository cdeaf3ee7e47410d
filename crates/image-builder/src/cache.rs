//! An earlier image as a source of layers: fetched before a build, and removed after it.

use bollard::query_parameters::{
    CreateImageOptions, ListImagesOptions, RemoveImageOptions, TagImageOptions,
};
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use slipway_domain::Phase;

use crate::builder::Builder;
use crate::classify::{engine_error, shorten};
use crate::error::BuildError;
use crate::options::credentials_of;
use crate::request::{BuildRequest, Progress};

/// How the local tags of fetched images begin.
const TAG: &str = "slipway-cache-";

impl Builder {
    /// Fetches the image that `request` may take layers from; returns what it is called here.
    ///
    /// It has a tag of its own, because the one it has in the registry is that of the image that
    /// is about to be pushed. Whatever goes wrong is told in the trace, and costs the cache alone.
    pub(crate) async fn fetch_cache(
        &self,
        request: &BuildRequest,
        progress: &dyn Progress,
    ) -> Option<String> {
        let spec = &request.spec;
        let (repository, tag) = (spec.repository.as_ref()?, spec.cache_tag.as_ref()?);
        if spec.no_cache {
            return None;
        }
        progress.phase(Phase::Pulling);
        let name = repository.tagged(tag);
        let say = |line: String| progress.output(format!("{line}\n").as_bytes());
        say(format!("Pulling {name} to take layers from"));
        // Those who push go through the same local tag.
        let lock = self.push_lock(repository);
        let _alone = lock.lock().await;
        let own = format!("{}{}", self.tag_start(), request.job);
        match self.fetch(request, repository.as_str(), tag, &own).await {
            Ok(()) => Some(repository.tagged(&own)),
            Err(reason) => {
                say(format!("Nothing is taken from {name}: {reason}"));
                None
            }
        }
    }

    async fn fetch(
        &self,
        request: &BuildRequest,
        repository: &str,
        tag: &str,
        own: &str,
    ) -> Result<(), String> {
        let registry = repository.split('/').next().unwrap_or_default();
        let login = request
            .logins
            .iter()
            .find(|login| login.registry == registry);
        let options = CreateImageOptions {
            from_image: Some(repository.to_owned()),
            tag: Some(tag.to_owned()),
            ..CreateImageOptions::default()
        };
        let short = |error: bollard::errors::Error| shorten(&error.to_string());
        let credentials = login.map(credentials_of);
        let mut answer = self
            .engine()
            .create_image(Some(options), None, credentials)
            .boxed();
        while let Some(message) = answer.next().await {
            message.map_err(short)?;
        }
        let name = format!("{repository}:{tag}");
        let options = TagImageOptions {
            repo: Some(repository.to_owned()),
            tag: Some(own.to_owned()),
        };
        let tagged = self.engine().tag_image(&name, Some(options)).await;
        let untagged = self.untag(&name).await;
        tagged.map_err(short)?;
        untagged.map_err(|error| error.to_string())
    }

    /// Removes the image that was fetched for `job`, if there was one.
    pub(crate) async fn remove_cache_of(&self, job: &str) -> Result<(), BuildError> {
        let own = format!(":{}{job}", self.tag_start());
        self.untag_all(|name| name.ends_with(&own)).await.map(drop)
    }

    /// Removes all images that were fetched for builds; returns how many there were.
    pub(crate) async fn remove_caches(&self) -> Result<usize, BuildError> {
        let start = format!(":{}", self.tag_start());
        self.untag_all(|name| name.contains(&start)).await
    }

    async fn untag_all(&self, wanted: impl Fn(&str) -> bool) -> Result<usize, BuildError> {
        let images = self
            .engine()
            .list_images(None::<ListImagesOptions>)
            .await
            .map_err(engine_error)?;
        let names = images.into_iter().flat_map(|image| image.repo_tags);
        let mut count = 0;
        for name in names.filter(|name| wanted(name)) {
            self.untag(&name).await?;
            count += 1;
        }
        Ok(count)
    }

    async fn untag(&self, name: &str) -> Result<(), BuildError> {
        let options = RemoveImageOptions {
            noprune: false,
            ..RemoveImageOptions::default()
        };
        let removed = self.engine().remove_image(name, Some(options), None).await;
        crate::clean::gone(removed.map(drop))
    }

    /// How the tags of this owner's fetched images begin.
    fn tag_start(&self) -> String {
        let owner = Sha256::digest(self.owner());
        let owner: String = owner.iter().take(6).map(|b| format!("{b:02x}")).collect();
        format!("{TAG}{owner}-")
    }
}
