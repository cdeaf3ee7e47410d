//! Whether a job may pull an image, which its registry decides even if the engine has the image.

use bollard::errors::Error;
use slipway_domain::image::Repository;
use slipway_registry::Registry;

use crate::builder::Builder;
use crate::engine::credentials::credentials_of;
use crate::images::pull::{reference_in, repository_of};
use crate::request::Login;
use crate::sharing::with_tag;

/// The registry that serves the images of Docker Hub.
const HUB_REGISTRY: &str = "registry-1.docker.io/";

impl Builder {
    /// Asks the registry of `image` for its manifest with this login. A copy that the engine has
    /// does not count. Transient errors are retried and passed to `report`.
    ///
    /// # Errors
    /// What the registry or the engine answered, or status 403 if the runner may not connect to the
    /// registry.
    pub async fn check_pull_right(
        &self,
        image: &str,
        login: Option<&Login>,
        report: impl Fn(String),
    ) -> Result<(), Error> {
        let name = with_tag(image);
        let (repository, reference) = (repository_of(&name), reference_in(&name));
        let mut retry = self.registry_retry(&name, login).await?;
        loop {
            match self.find_in_registry(repository, reference, login).await {
                Err(error) if retry.wait_after(&error.to_string(), &report).await => {}
                done => return done,
            }
        }
    }

    async fn find_in_registry(
        &self,
        repository: &str,
        reference: &str,
        login: Option<&Login>,
    ) -> Result<(), Error> {
        let separator = if reference.contains(':') { '@' } else { ':' };
        // The engine asks: a registry may be reachable only from there.
        if !self.is_podman() {
            let name = format!("{repository}{separator}{reference}");
            let credentials = login.map(credentials_of);
            let found = self.engine().inspect_registry_image(&name, credentials);
            return found.await.map(drop);
        }
        // Podman does not offer that.
        let repository = match repository.strip_prefix("docker.io/") {
            Some(path) => format!("{HUB_REGISTRY}{path}"),
            None => repository.to_owned(),
        };
        let failed = |error: String| Error::DockerStreamError { error };
        let repository: Repository = repository
            .parse()
            .map_err(|error| failed(format!("{error}")))?;
        let login = login.map(|login| (login.username.as_str(), login.password.as_str()));
        let registry = Registry::new(self.outbound(), &repository, login)
            .map_err(|error| failed(error.to_string()))?;
        registry.find(reference).await.map_err(failed)
    }
}
