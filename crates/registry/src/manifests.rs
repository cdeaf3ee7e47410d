//! Reading and writing manifests, with another try where the registry may yet do it.

use std::time::Duration;

use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{RequestBuilder, StatusCode};

use crate::Registry;
use crate::digest_of;

/// How often something is asked of a registry before it is given up.
const ATTEMPTS: u32 = 5;
/// The longest that a registry is obeyed which says when to come again.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// How long all further tags of an image may take.
const TAGGING_LIMIT: Duration = Duration::from_secs(5);
/// The most bytes that are read of what a registry says of an error.
const MAX_DETAIL: usize = 300;

pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A manifest as the registry has it, byte for byte.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
}

/// What came of asking once.
enum Failed {
    /// It may go well later, perhaps only after so long.
    Passing(String, Option<Duration>),
    /// It will not.
    Last(String),
}

/// What is asked of a registry.
#[derive(Clone, Copy)]
enum Call<'a> {
    /// The manifest of this name.
    Get(&'a str),
    /// To have this manifest under that name.
    Put(&'a str, &'a Manifest),
}

impl Registry {
    /// Reads the manifest with this digest, and makes sure that it is that one. `tell` hears of
    /// whatever is tried again.
    pub(crate) async fn manifest(
        &self,
        digest: &str,
        tell: &(dyn Fn(&str) + Sync),
    ) -> Result<Manifest, String> {
        let manifest = self.patiently(Call::Get(digest), tell).await?;
        match digest_of(&manifest.bytes) == digest {
            true => Ok(manifest),
            false => Err("what it gives has another digest".to_owned()),
        }
    }

    /// Writes a manifest under a tag.
    pub(crate) async fn put_manifest(
        &self,
        tag: &str,
        manifest: &Manifest,
        tell: &(dyn Fn(&str) + Sync),
    ) -> Result<(), String> {
        self.patiently(Call::Put(tag, manifest), tell).await?;
        Ok(())
    }

    /// Gives the image with this `digest` more tags, in their order; returns how many of them it has
    /// then. Each is asked for once and for a short time: this is for those who have another way.
    pub async fn add_tags(&self, digest: &str, tags: &[String]) -> usize {
        let mut given = 0;
        let giving = async {
            let Ok(manifest) = self.ask(Call::Get(digest)).await else {
                return;
            };
            if digest_of(&manifest.bytes) != digest {
                return;
            }
            for tag in tags {
                if self.ask(Call::Put(tag, &manifest)).await.is_err() {
                    return;
                }
                given += 1;
            }
        };
        // What was given by then counts.
        let _ = tokio::time::timeout(TAGGING_LIMIT, giving).await;
        given
    }

    /// How long the registry asks to be left alone when it is asked for what is under `reference`,
    /// if it asks for that.
    pub async fn asks_to_wait(&self, reference: &str) -> Option<Duration> {
        match self.ask(Call::Get(reference)).await {
            Err(Failed::Passing(_, asked)) => asked,
            Ok(_) | Err(Failed::Last(_)) => None,
        }
    }

    async fn patiently(
        &self,
        call: Call<'_>,
        tell: &(dyn Fn(&str) + Sync),
    ) -> Result<Manifest, String> {
        let mut wait = self.first_wait;
        for _ in 1..ATTEMPTS {
            let (why, asked) = match self.ask(call).await {
                Ok(answer) => return Ok(answer),
                Err(Failed::Last(why)) => return Err(why),
                Err(Failed::Passing(why, asked)) => (why, asked),
            };
            let this = wait.max(asked.unwrap_or_default());
            let seconds = this.as_secs();
            if this > LONGEST_WAIT {
                return Err(format!("{why}, and asks to come again in {seconds} s"));
            }
            tell(&format!(
                "The registry failed ({why}); again in {seconds} s"
            ));
            tokio::time::sleep(this).await;
            wait *= 2;
        }
        self.ask(call).await.map_err(|failed| match failed {
            Failed::Passing(why, _) | Failed::Last(why) => why,
        })
    }

    /// Asks once; returns what the answer has in it.
    async fn ask(&self, call: Call<'_>) -> Result<Manifest, Failed> {
        let (request, operation) = match call {
            Call::Get(name) => {
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
        let request = self.with_login(request, operation).await?;
        let answer = request.timeout(ANSWER_LIMIT).send().await.map_err(unsent)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let header = |name| headers.get(name)?.to_str().ok();
        let bytes = answer.bytes().await.map_err(unsent)?.to_vec();
        if status.is_success() {
            let media_type = header(CONTENT_TYPE).unwrap_or(OCI_MANIFEST).to_owned();
            return Ok(Manifest { media_type, bytes });
        }
        let asked = header(RETRY_AFTER).and_then(|text| text.trim().parse().ok());
        let why = format!("{status} {}", shortened(&String::from_utf8_lossy(&bytes)));
        let why = why.trim_end().to_owned();
        match status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            true => Err(Failed::Passing(why, asked.map(Duration::from_secs))),
            false => Err(Failed::Last(why)),
        }
    }

    async fn with_login(
        &self,
        request: RequestBuilder,
        operation: RegistryOperation,
    ) -> Result<RequestBuilder, Failed> {
        let registry = self.repository.registry().to_owned();
        let path = self.path().to_owned();
        // For a token it is the repository alone that counts.
        let place = Reference::with_tag(registry, path, "latest".to_owned());
        let token = self.client.auth(&place, &self.auth, operation).await;
        Ok(match (token.map_err(no_token)?, &self.auth) {
            (Some(token), _) => request.bearer_auth(token),
            (None, RegistryAuth::Basic(user, password)) => request.basic_auth(user, Some(password)),
            (None, _) => request,
        })
    }

    fn manifest_url(&self, reference: &str) -> String {
        let registry = self.repository.registry();
        let path = self.path();
        // The engine's name for the hub is not where the hub's API is.
        let host = match registry {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            other => other,
        };
        format!("{}://{host}/v2/{path}/manifests/{reference}", self.scheme)
    }
}

fn unsent(error: reqwest::Error) -> Failed {
    let kind = if error.is_timeout() {
        "it took too long to answer"
    } else if error.is_connect() {
        "it could not be reached"
    } else {
        "the connection broke"
    };
    Failed::Passing(kind.to_owned(), None)
}

fn no_token(error: OciDistributionError) -> Failed {
    match error {
        OciDistributionError::RequestError(error) => unsent(error),
        OciDistributionError::AuthenticationFailure(text) => {
            let why = format!("it does not take the login: {}", shortened(&text));
            Failed::Last(why)
        }
        other => Failed::Last(shortened(&other.to_string())),
    }
}

/// The beginning of what a registry said, in one line.
fn shortened(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_DETAIL)
        .collect()
}
