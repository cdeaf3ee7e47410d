//! Images that are fetched for one job and removed after it: earlier images as sources of layers,
//! and the image of another job to run in. How they are fetched is here for all of them.

use bollard::errors::Error;
use bollard::query_parameters::{
    CreateImageOptions, ListImagesOptions, RemoveImageOptions, TagImageOptions,
};
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use slipway_domain::Phase;
use slipway_domain::image::{Repository, registry_of};

use crate::builder::{Backend, Builder};
use crate::engine::build_options::credentials_of;
use crate::engine::failures::{engine_error, shorten};
use crate::error::BuildError;
use crate::images::cleanup::{OWN_REPOSITORY, gone};
use crate::images::registry_retry::Patience;
use crate::request::{BuildRequest, Login, Progress};

/// How the local tags of fetched images begin.
const TAG: &str = "slipway-cache-";

/// An image to be fetched, and what it is called here then.
pub(crate) struct Wanted<'a> {
    /// The image with its registry, without tag and digest.
    pub(crate) repository: &'a str,
    /// Its whole name.
    pub(crate) name: &'a str,
    /// Its tag here.
    pub(crate) own: &'a str,
    /// Whether its own name stays as well.
    pub(crate) keeps_name: bool,
}

impl Builder {
    /// The images that `request` may take layers from, as the engine is told of them.
    ///
    /// BuildKit looks into the registry itself, and fetches of an image the layers alone that it
    /// takes. The classic builder takes layers from what is here, so all of it is fetched; and so it
    /// is where BuildKit would come with a login that is for base images alone.
    pub(crate) async fn caches_for(
        &self,
        request: &BuildRequest,
        progress: &dyn Progress,
    ) -> Vec<String> {
        let spec = &request.spec;
        if spec.no_cache {
            return Vec::new();
        }
        let tags = spec.cache_tag.iter().chain(&spec.fallback_cache_tag);
        let repository = spec.repository.as_ref();
        let of_branches: Vec<String> = repository
            .iter()
            .flat_map(|repository| tags.clone().map(|tag| repository.tagged(tag)))
            .collect();
        let others = spec.cache_image.iter().chain(&spec.cache_images);
        match self.backend() {
            Backend::BuildKit if request.pull_login.is_none() => {
                of_branches.into_iter().chain(others.cloned()).collect()
            }
            Backend::BuildKit | Backend::Classic => {
                let others: Vec<&String> = others.collect();
                self.fetch_caches(request, &of_branches, &others, progress)
                    .await
            }
        }
    }

    /// Fetches images; returns what they are called here. Of those of branches the first that is
    /// there is enough.
    ///
    /// Each has a tag of its own, because the one it has in the registry may be that of the image
    /// that is about to be pushed. Whatever goes wrong is told in the trace, and costs the cache
    /// alone.
    async fn fetch_caches(
        &self,
        request: &BuildRequest,
        of_branches: &[String],
        others: &[&String],
        progress: &dyn Progress,
    ) -> Vec<String> {
        let mut here = Vec::new();
        for name in of_branches {
            let own = format!("{}{}", self.tag_start(), request.job);
            here.extend(self.fetch_cache(name, &own, request, progress).await);
            if !here.is_empty() {
                break;
            }
        }
        for (at, image) in others.iter().enumerate() {
            let own = self.more_tag(at, &request.job);
            here.extend(self.fetch_cache(image, &own, request, progress).await);
        }
        here
    }

    /// Pushes the image with this `id` where others look for layers. What goes wrong is told in the
    /// trace, and costs the others alone.
    pub(crate) async fn push_cache(
        &self,
        request: &BuildRequest,
        id: &str,
        progress: &dyn Progress,
    ) {
        let place = request.spec.cache_to.as_deref();
        let Some((repository, tag)) = place.and_then(Repository::split_tagged) else {
            return;
        };
        progress.phase(Phase::Pushing);
        progress.heard().await;
        let tags = [tag.to_owned()];
        let pushed = self.push(id, &repository, &tags, &request.logins, progress);
        if let Err(error) = pushed.await {
            progress.output(format!("No layers are left for other builds: {error}\n").as_bytes());
        }
    }

    /// Fetches one of them; returns what it is called here, if it is.
    async fn fetch_cache(
        &self,
        name: &str,
        own: &str,
        request: &BuildRequest,
        progress: &dyn Progress,
    ) -> Option<String> {
        progress.phase(Phase::Pulling);
        let repository = repository_of(name);
        let wanted = Wanted {
            repository,
            name,
            own,
            keeps_name: false,
        };
        let say = |line: String| progress.output(format!("{line}\n").as_bytes());
        say(format!("Pulling {name} to take layers from"));
        // Those who push go through the same local tag.
        let lock = self.tag_lock(repository);
        let _alone = lock.lock().await;
        let login = login_for(repository, &request.logins);
        match self.fetch_patiently(&wanted, login, say).await {
            Ok(()) => Some(format!("{repository}:{own}")),
            Err(error) => {
                let error = shorten(&error.to_string());
                say(format!("Nothing is taken from {name}: {error}"));
                None
            }
        }
    }

    /// Has an image that another job made here for `job` alone, until [`Builder::remove_job`];
    /// returns what it is called here. `image` names it by its digest.
    ///
    /// # Errors
    /// The engine's, when it is neither here nor to be pulled.
    pub async fn have_made(
        &self,
        image: &str,
        job: &str,
        logins: &[Login],
    ) -> Result<String, Error> {
        let repository = repository_of(image);
        let own = self.made_tag(job);
        let lock = self.tag_lock(repository);
        let _alone = lock.lock().await;
        let here = format!("{repository}:{own}");
        let options = TagImageOptions {
            repo: Some(repository.to_owned()),
            tag: Some(own.clone()),
        };
        if self.engine().tag_image(image, Some(options)).await.is_ok() {
            return Ok(here);
        }
        let wanted = Wanted {
            repository,
            name: image,
            own: &own,
            keeps_name: false,
        };
        let login = login_for(repository, logins);
        let tell = |line| tracing::warn!("Job {job} waits for an image: {line}");
        self.fetch_patiently(&wanted, login, tell).await?;
        Ok(here)
    }

    /// Fetches an image, for those who have the lock of its tags, with another try where the
    /// registry may yet give it; `tell` hears of that.
    pub(crate) async fn fetch_patiently(
        &self,
        wanted: &Wanted<'_>,
        login: Option<&Login>,
        tell: impl Fn(String),
    ) -> Result<(), Error> {
        let reference = wanted
            .name
            .strip_prefix(wanted.repository)
            .unwrap_or_default();
        let reference = reference.trim_start_matches([':', '@']);
        let mut patience = Patience::new(wanted.repository, reference, login);
        loop {
            match self.fetch(wanted, login).await {
                Ok(()) => return Ok(()),
                Err(error) if patience.tries_again(&error.to_string(), &tell).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn fetch(&self, wanted: &Wanted<'_>, login: Option<&Login>) -> Result<(), Error> {
        let options = CreateImageOptions {
            from_image: Some(wanted.name.to_owned()),
            ..CreateImageOptions::default()
        };
        let credentials = login.map(credentials_of);
        let mut answer = self
            .engine()
            .create_image(Some(options), None, credentials)
            .boxed();
        while let Some(message) = answer.next().await {
            message?;
        }
        let options = TagImageOptions {
            repo: Some(wanted.repository.to_owned()),
            tag: Some(wanted.own.to_owned()),
        };
        let tagged = self.engine().tag_image(wanted.name, Some(options)).await;
        if !wanted.keeps_name
            && let Err(error) = self.untag(wanted.name).await
        {
            tracing::warn!(%error, "The local tag {} could not be removed", wanted.name);
        }
        tagged
    }

    /// Removes the images that were fetched for `job`.
    pub(crate) async fn remove_cache_of(&self, job: &str) -> Result<(), BuildError> {
        let branch = format!("{}{job}", self.tag_start());
        let own = [
            branch,
            self.base_tag(job),
            self.made_tag(job),
            self.built_tag(job),
        ];
        let own = own.map(|tag| format!(":{tag}"));
        let (more, end) = (format!(":{}more-", self.tag_start()), format!("-of-{job}"));
        let is_more = |name: &str| name.contains(&more) && name.ends_with(&end);
        self.untag_all(|name| own.iter().any(|own| name.ends_with(own)) || is_more(name))
            .await
            .map(drop)
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
        gone(removed.map(drop))
    }

    /// The tag here of the base image that was fetched for `job`.
    pub(crate) fn base_tag(&self, job: &str) -> String {
        format!("{}base-{job}", self.tag_start())
    }

    /// The tag here of the image of another job that was fetched for `job`.
    fn made_tag(&self, job: &str) -> String {
        format!("{}made-{job}", self.tag_start())
    }

    /// The tag here of one of further images that were fetched for `job`.
    fn more_tag(&self, at: usize, job: &str) -> String {
        format!("{}more-{at}-of-{job}", self.tag_start())
    }

    /// What the image that is built for `job` is called here.
    pub(crate) fn built_name(&self, job: &str) -> String {
        format!("{OWN_REPOSITORY}{}", self.built_tag(job))
    }

    /// The tag here of the image that is built for `job`.
    fn built_tag(&self, job: &str) -> String {
        format!("{}built-{job}", self.tag_start())
    }

    /// How the tags of this owner's fetched images begin.
    fn tag_start(&self) -> String {
        let owner = Sha256::digest(self.owner());
        let owner: String = owner.iter().take(6).map(|b| format!("{b:02x}")).collect();
        format!("{TAG}{owner}-")
    }
}

/// The repository of an image that is named by its digest or its tag.
fn repository_of(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => image,
    }
}

fn login_for<'a>(repository: &str, logins: &'a [Login]) -> Option<&'a Login> {
    let registry = registry_of(repository);
    logins.iter().find(|login| login.registry == registry)
}
