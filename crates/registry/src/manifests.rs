//! Reading and writing manifests, with retries of transient errors.

use std::time::Duration;

use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{RequestBuilder, StatusCode};
use sha2::{Digest as _, Sha256};

use slipway_domain::backoff::Backoff;

use crate::error::{connection_failure, explain, failure};
use crate::repository::Registry;

/// How often a request is attempted.
const MAX_ATTEMPTS: u32 = 5;
/// The longest wait that a registry may ask for.
const MAX_REQUESTED_WAIT: Duration = Duration::from_secs(300);
/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long adding all further tags of an image may take.
const TAGGING_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum size of an answer, in bytes. Registries themselves limit manifests to 4 MiB.
const MAX_ANSWER: usize = 8 << 20;

pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A manifest exactly as the registry stores it: its digest depends on every byte.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
}

/// Why one attempt failed.
enum AttemptError {
    /// The next attempt may succeed, perhaps only after the wait that the registry asks for.
    Transient(String, Option<Duration>),
    Permanent(String),
}

/// A request to the registry.
#[derive(Clone, Copy)]
enum Call<'a> {
    /// Reads the manifest with this digest or tag.
    Get(&'a str),
    /// Writes a manifest under this tag.
    Put(&'a str, &'a Manifest),
}

impl Registry {
    /// Reads the manifest with this digest, and checks the digest. `report` receives each retry.
    pub(crate) async fn manifest(
        &self,
        digest: &str,
        report: &(dyn Fn(&str) + Sync),
    ) -> Result<Manifest, String> {
        let manifest = self.with_retries(Call::Get(digest), report).await?;
        if digest_of(&manifest.bytes) != digest {
            return Err("the manifest has another digest".to_owned());
        }
        Ok(manifest)
    }

    /// Writes a manifest under a tag. `report` receives each retry.
    pub(crate) async fn put_manifest(
        &self,
        tag: &str,
        manifest: &Manifest,
        report: &(dyn Fn(&str) + Sync),
    ) -> Result<(), String> {
        self.with_retries(Call::Put(tag, manifest), report).await?;
        Ok(())
    }

    /// Adds tags in order to the image with this `digest`; returns how many were added.
    ///
    /// There are no retries, and a short timeout for all tags together: the caller can push the
    /// remaining tags in another way.
    pub async fn add_tags(&self, digest: &str, tags: &[String]) -> usize {
        let mut added = 0;
        let adding = async {
            let Ok(manifest) = self.attempt(Call::Get(digest)).await else {
                return;
            };
            if digest_of(&manifest.bytes) != digest {
                return;
            }
            for tag in tags {
                if self.attempt(Call::Put(tag, &manifest)).await.is_err() {
                    return;
                }
                added += 1;
            }
        };
        // Tags that were added before the timeout count.
        let _ = tokio::time::timeout(TAGGING_TIMEOUT, adding).await;
        added
    }

    /// Checks that this login may read the manifest with this digest or tag.
    ///
    /// # Errors
    /// What the registry answered.
    pub async fn find(&self, reference: &str) -> Result<(), String> {
        match self.attempt(Call::Get(reference)).await {
            Ok(_) => Ok(()),
            Err(AttemptError::Transient(why, _) | AttemptError::Permanent(why)) => Err(why),
        }
    }

    /// How long the registry asks to wait before the manifest with this digest or tag is requested
    /// again; `None` if it does not.
    pub async fn requested_wait(&self, reference: &str) -> Option<Duration> {
        match self.attempt(Call::Get(reference)).await {
            Err(AttemptError::Transient(_, wait)) => wait,
            Ok(_) | Err(AttemptError::Permanent(_)) => None,
        }
    }

    async fn with_retries(
        &self,
        call: Call<'_>,
        report: &(dyn Fn(&str) + Sync),
    ) -> Result<Manifest, String> {
        let mut backoff = Backoff::new(self.first_wait, MAX_REQUESTED_WAIT);
        for _ in 1..MAX_ATTEMPTS {
            let (why, requested) = match self.attempt(call).await {
                Ok(answer) => return Ok(answer),
                Err(AttemptError::Permanent(why)) => return Err(why),
                Err(AttemptError::Transient(why, requested)) => (why, requested),
            };
            // The registry's wait is a minimum; the backoff may be longer by now.
            let wait = backoff.next_delay(0.0).max(requested.unwrap_or_default());
            let seconds = wait.as_secs();
            if wait > MAX_REQUESTED_WAIT {
                return Err(format!("{why}; it asks to retry only after {seconds} s"));
            }
            report(&format!(
                "The registry failed ({why}); retrying in {seconds} s"
            ));
            tokio::time::sleep(wait).await;
        }
        self.attempt(call).await.map_err(|error| match error {
            AttemptError::Transient(why, _) | AttemptError::Permanent(why) => why,
        })
    }

    /// Sends one request; returns the body of the answer.
    async fn attempt(&self, call: Call<'_>) -> Result<Manifest, AttemptError> {
        let (request, operation) = match call {
            Call::Get(name) => {
                // Without this list a registry may convert the manifest, which changes its digest.
                let accept = [DOCKER_MANIFEST, OCI_MANIFEST, DOCKER_LIST, OCI_INDEX].join(", ");
                let request = self.http.get(self.manifest_url(name));
                (request.header(ACCEPT, accept), RegistryOperation::Pull)
            }
            Call::Put(name, manifest) => {
                let request = self.http.put(self.manifest_url(name));
                let request = request.header(CONTENT_TYPE, &manifest.media_type);
                let body = manifest.bytes.clone();
                (request.body(body), RegistryOperation::Push)
            }
        };
        let request = self.authorize(request, operation).await?;
        let answer = request.timeout(ANSWER_TIMEOUT).send().await;
        let broken = |error: reqwest::Error| self.connection_error(&error);
        let mut answer = answer.map_err(broken)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let header = |name| headers.get(name)?.to_str().ok();
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(broken)? {
            // The length that a server declares can be missing or wrong.
            if bytes.len() + chunk.len() > MAX_ANSWER {
                let why = "it answered with more than 8 MiB".to_owned();
                return Err(AttemptError::Permanent(why));
            }
            bytes.extend_from_slice(&chunk);
        }
        if status.is_success() {
            let media_type = header(CONTENT_TYPE).unwrap_or(OCI_MANIFEST).to_owned();
            return Ok(Manifest { media_type, bytes });
        }
        let why = explain(status, &bytes);
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            let wait = header(RETRY_AFTER).and_then(|text| text.trim().parse().ok());
            Err(AttemptError::Transient(why, wait.map(Duration::from_secs)))
        } else {
            Err(AttemptError::Permanent(why))
        }
    }

    async fn authorize(
        &self,
        request: RequestBuilder,
        operation: RegistryOperation,
    ) -> Result<RequestBuilder, AttemptError> {
        let registry = self.repository().registry().to_owned();
        let path = self.path().to_owned();
        // A token is for the repository; the tag does not matter.
        let reference = Reference::with_tag(registry, path, "latest".to_owned());
        let token = self.client.auth(&reference, &self.auth, operation).await;
        Ok(
            match (token.map_err(|error| self.auth_error(&error))?, &self.auth) {
                (Some(token), _) => request.bearer_auth(token),
                (None, RegistryAuth::Basic(user, password)) => {
                    request.basic_auth(user, Some(password))
                }
                (None, _) => request,
            },
        )
    }

    fn connection_error(&self, error: &reqwest::Error) -> AttemptError {
        let why = connection_failure(&self.session, error);
        // The operator has to allow the server first.
        match self.session.failure() {
            Some(refused) if refused.is_refused() => AttemptError::Permanent(why),
            _ => AttemptError::Transient(why, None),
        }
    }

    fn auth_error(&self, error: &OciDistributionError) -> AttemptError {
        match error {
            OciDistributionError::RequestError(error) => self.connection_error(error),
            other => AttemptError::Permanent(failure(&self.session, other)),
        }
    }

    fn manifest_url(&self, reference: &str) -> String {
        let registry = self.repository().registry();
        let path = self.path();
        // Docker Hub's API is not at the host that names its images.
        let host = match registry {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            other => other,
        };
        format!("{}://{host}/v2/{path}/manifests/{reference}", self.scheme)
    }
}

/// The digest of a manifest or blob.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
