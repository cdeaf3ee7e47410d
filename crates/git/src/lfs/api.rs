//! The requests to an LFS server.
//!
//! Reasons of failures never contain what the server sent, except for numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use slipway_outbound::Session;
use tokio::process::Command;
use url::Url;

use crate::command::{Git, run};
use crate::error::{GitError, GitFailure};
use crate::lfs::pointer::Pointer;
use crate::remote::RemoteUrl;

/// The media type of the batch API.
const JSON: &str = "application/vnd.git-lfs+json";
/// How long connecting may take, with the checks of the address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(45);
/// How long a server may send nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The maximum size of an answer to a batch request, in bytes.
const MAX_ANSWER: usize = 4 << 20;

/// The LFS API of one repository.
pub(super) struct Api {
    client: Client,
    base: Url,
    /// The headers of requests to this server.
    headers: HeaderMap,
}

/// Where a file can be downloaded.
pub(super) struct Download {
    pub(super) pointer: Pointer,
    href: Url,
    headers: HeaderMap,
}

/// What `git-lfs-authenticate` prints.
#[derive(Deserialize)]
pub(super) struct Ticket {
    href: String,
    #[serde(default)]
    header: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Answer {
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    #[serde(default)]
    actions: Option<Actions>,
    #[serde(default)]
    error: Option<ObjectError>,
}

#[derive(Deserialize)]
struct Actions {
    download: Option<Action>,
}

#[derive(Deserialize)]
struct Action {
    href: String,
    #[serde(default)]
    header: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct ObjectError {
    code: u16,
}

impl Api {
    /// The API of the repository at `url`; `ticket` is that of an ssh server.
    pub(super) fn new(
        session: &Session,
        url: &RemoteUrl,
        ticket: Option<Ticket>,
    ) -> Result<Self, String> {
        // This fails if the process has installed a provider already, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = session.http().and_then(|builder| {
            builder
                .user_agent(concat!(
                    "git-lfs/3 (slipway ",
                    env!("CARGO_PKG_VERSION"),
                    ")"
                ))
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(IDLE_TIMEOUT)
                .referer(false)
                .build()
        });
        let client = client.map_err(|_| "could not create the HTTP client".to_owned())?;
        let (base, headers) = match ticket {
            Some(ticket) => (ticket.href, headers_of(&ticket.header)?),
            None => (
                format!("{}/info/lfs", with_suffix(url.as_str())),
                login(url),
            ),
        };
        Ok(Self {
            client,
            base: http_url(base.trim_end_matches('/'))?,
            headers,
        })
    }

    /// Asks where these files can be downloaded.
    pub(super) async fn batch(&self, pointers: &[&Pointer]) -> Result<Vec<Download>, String> {
        let objects: Vec<_> = pointers
            .iter()
            .map(|pointer| json!({"oid": pointer.oid, "size": pointer.size}))
            .collect();
        let body = json!({
            "operation": "download",
            "transfers": ["basic"],
            "objects": objects,
            "hash_algo": "sha256",
        });
        let request = self
            .client
            .post(format!("{}/objects/batch", self.base))
            .headers(self.headers.clone())
            .header(ACCEPT, JSON)
            .header(CONTENT_TYPE, JSON)
            .body(body.to_string());
        let mut response = send(request).await?;
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| INVALID.to_owned())? {
            if answer.len() + chunk.len() > MAX_ANSWER {
                return Err(INVALID.to_owned());
            }
            answer.extend_from_slice(&chunk);
        }
        let answer: Answer = serde_json::from_slice(&answer).map_err(|_| INVALID.to_owned())?;
        pointers
            .iter()
            .map(|pointer| self.download(pointer, &answer))
            .collect()
    }

    /// The download of one file in the answer.
    fn download(&self, pointer: &Pointer, answer: &Answer) -> Result<Download, String> {
        let mut objects = answer.objects.iter();
        let object = objects.find(|object| object.oid == pointer.oid);
        let object = object.ok_or_else(|| INVALID.to_owned())?;
        if let Some(error) = &object.error {
            return Err(format!(
                "the server does not have the file {} (code {})",
                pointer.oid, error.code
            ));
        }
        let action = object
            .actions
            .as_ref()
            .and_then(|actions| actions.download.as_ref());
        let action = action.ok_or_else(|| INVALID.to_owned())?;
        let href = http_url(&action.href)?;
        let mut headers = match &action.header {
            Some(headers) => headers_of(headers)?,
            None => HeaderMap::new(),
        };
        // Credentials of the server are for the server only.
        if href.origin() == self.base.origin()
            && !headers.contains_key(AUTHORIZATION)
            && let Some(own) = self.headers.get(AUTHORIZATION)
        {
            headers.insert(AUTHORIZATION, own.clone());
        }
        Ok(Download {
            pointer: pointer.clone(),
            href,
            headers,
        })
    }

    /// Starts a download.
    pub(super) async fn get(&self, download: &Download) -> Result<Response, String> {
        let request = self.client.get(download.href.clone());
        send(request.headers(download.headers.clone())).await
    }
}

const INVALID: &str = "the server does not answer like an LFS server";

async fn send(request: RequestBuilder) -> Result<Response, String> {
    let response = request.send().await;
    let response = response.map_err(|_| "the LFS server cannot be reached".to_owned())?;
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(
            "the LFS server wants a login; set or correct the project's deploy token".to_owned(),
        ),
        status => Err(format!(
            "the LFS server answered with status {}",
            status.as_u16()
        )),
    }
}

/// The header with the login of an HTTP remote.
fn login(url: &RemoteUrl) -> HeaderMap {
    let value = url
        .authorization()
        .and_then(|login| HeaderValue::from_str(login).ok());
    let header = value.map(|mut value| {
        value.set_sensitive(true);
        (AUTHORIZATION, value)
    });
    header.into_iter().collect()
}

/// The headers that a server wants for a request.
fn headers_of(headers: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let parsed = (name.parse::<HeaderName>(), HeaderValue::from_str(value));
        let (Ok(name), Ok(mut value)) = parsed else {
            return Err(INVALID.to_owned());
        };
        // The client sets these itself.
        if ["host", "content-length", "transfer-encoding", "connection"].contains(&name.as_str()) {
            continue;
        }
        value.set_sensitive(true);
        map.insert(name, value);
    }
    Ok(map)
}

fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| INVALID.to_owned())
}

/// The URL with the suffix `.git`, which LFS servers expect.
fn with_suffix(url: &str) -> String {
    let url = url.trim_end_matches('/');
    if url.ends_with(".git") {
        url.to_owned()
    } else {
        format!("{url}.git")
    }
}

impl Git {
    /// Asks an ssh server for the HTTP URL of its LFS API. The inner error is the reason why it
    /// did not send one.
    pub(super) async fn ssh_ticket(
        &self,
        url: &RemoteUrl,
    ) -> Result<Result<Option<Ticket>, String>, GitError> {
        if !url.is_ssh() {
            return Ok(if url.is_http() {
                Ok(None)
            } else {
                Err("git:// servers have no Git LFS".to_owned())
            });
        }
        let limit = self.limits.resolve;
        let ssh = match self.ssh(url, limit).await? {
            Ok(ssh) => ssh,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let (user, path) = url.ssh_login();
        let (host, port) = url.endpoint();
        let server = user.map_or_else(|| host.to_owned(), |user| format!("{user}@{host}"));
        let mut command = Command::new("sh");
        command.env_clear().env("HOME", self.home());
        for name in ["PATH", "SSH_AUTH_SOCK"] {
            let is_wanted = name == "PATH" || url.uses_host_keys();
            if let Some(value) = std::env::var_os(name).filter(|_| is_wanted) {
                command.env(name, value);
            }
        }
        // The options are quoted for a shell, as git wants them. Everything else is an argument.
        command
            .args(["-c", &format!("exec {} \"$@\"", ssh.command()), "ssh"])
            .args(["-p", &port.to_string(), "--", &server])
            .arg(format!("git-lfs-authenticate {} download", quoted(path)));
        Ok(match run(command, limit).await? {
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|_| INVALID.to_owned()),
            Err(stderr) => Err(GitFailure::from_stderr(&stderr).into_reason()),
        })
    }
}

/// Quotes a path for the shell of the server, only if that is necessary: some servers do not undo it.
fn quoted(path: &str) -> String {
    let is_plain = path
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"/._-~+".contains(&b));
    if is_plain {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_gets_the_credentials_of_its_own_server_only() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let login = HeaderValue::from_static("Basic x");
        let api = Api {
            client: Client::new(),
            base: http_url("https://git.example/a.git/info/lfs").unwrap(),
            headers: HeaderMap::from_iter([(AUTHORIZATION, login)]),
        };
        let pointer = Pointer {
            oid: "a".repeat(64),
            size: 1,
        };
        let download = |href: &str, header: serde_json::Value| {
            let action = json!({"download": {"href": href, "header": header}});
            let answer = json!({"objects": [{"oid": pointer.oid, "size": 1, "actions": action}]});
            let answer: Answer = serde_json::from_value(answer).unwrap();
            api.download(&pointer, &answer).map(|download| {
                let value = download.headers.get(AUTHORIZATION);
                value.map(|value| value.to_str().unwrap().to_owned())
            })
        };
        let own = "https://git.example/x";
        let basic = Some("Basic x".to_owned());
        assert_eq!(download(own, json!(null)), Ok(basic));
        assert_eq!(
            download(own, json!({"Authorization": "y"})),
            Ok(Some("y".to_owned()))
        );
        for other in [
            "https://git.example:444/x",
            "http://git.example/x",
            "https://cdn.example/",
        ] {
            assert_eq!(download(other, json!({})), Ok(None), "{other}");
        }
        for bad in ["file:///etc/passwd", "x", "ftp://git.example/"] {
            assert!(download(bad, json!(null)).is_err(), "{bad}");
        }
        assert!(download(own, json!({"a\nb": "c"})).is_err());
    }

    #[test]
    fn a_path_is_quoted_for_the_shell_of_the_server_if_necessary() {
        assert_eq!(quoted("/acme/app.git"), "/acme/app.git");
        assert_eq!(quoted("a b'$(id)"), "'a b'\\''$(id)'");
    }
}
