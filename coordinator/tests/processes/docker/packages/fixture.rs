//! A server of packages, and a proxy that refuses some requests to the registry.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]

use std::collections::HashMap;
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::{Value, json};
use slipway_test_engine::{docker, remove_image, shell_image};
use slipway_testkit::wait_for;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::super::{Fixture, var};
use crate::farm::{LIMIT, show, trace_of};

/// The API path of the project's builds.
pub(super) const BUILDS: &str = "/api/v1/repository/acme/api/build/";

/// A served package: a status, a content type, and bytes.
type Served = (u16, Option<&'static str>, Vec<u8>);

/// A server of packages.
pub(super) struct Packages {
    address: String,
    served: Arc<Mutex<HashMap<String, Served>>>,
}

impl Packages {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let served: Arc<Mutex<HashMap<String, Served>>> = Arc::default();
        let shared = Arc::clone(&served);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let head = read_head(&mut socket).await;
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let found = shared.lock().unwrap().get(&path).cloned();
                let (status, kind, body) = found.unwrap_or((404, Some("text/html"), Vec::new()));
                let kind = kind.map(|kind| format!("Content-Type: {kind}\r\n"));
                let (kind, length) = (kind.unwrap_or_default(), body.len());
                let head = format!(
                    "HTTP/1.1 {status} X\r\n{kind}Content-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                // The client may close the connection early.
                let _ = socket.write_all(&[head.as_bytes(), &body].concat()).await;
            }
        });
        Self { address, served }
    }

    /// Serves bytes with this content type; returns their URL.
    pub(super) fn serve(&self, kind: &'static str, body: impl Into<Vec<u8>>) -> String {
        self.answer(200, kind, body)
    }

    /// Like `serve`, with any status.
    pub(super) fn answer(
        &self,
        status: u16,
        kind: &'static str,
        body: impl Into<Vec<u8>>,
    ) -> String {
        let mut served = self.served.lock().unwrap();
        let path = format!("/package-{}", served.len());
        served.insert(path.clone(), (status, Some(kind), body.into()));
        format!("http://{}{path}", self.address)
    }
}

/// The head of a request; empty if the client tries TLS first, as engines do.
async fn read_head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) if byte.is_ascii() && (byte >= b' ' || byte.is_ascii_whitespace()) => {
                head.push(byte);
            }
            _ => return String::new(),
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Starts a proxy for the registry without authentication that refuses some methods for one manifest.
pub(super) async fn refusing_registry(
    methods: &'static [&'static str],
    tag: &'static str,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let refused = format!("/manifests/{tag}");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(pass(socket, methods, refused.clone()));
        }
    });
    address
}

async fn pass(mut socket: TcpStream, methods: &[&str], refused: String) {
    let head = read_head(&mut socket).await;
    let Some((line, rest)) = head.split_once("\r\n") else {
        return;
    };
    let mut words = line.split(' ');
    let (method, path) = (words.next(), words.next().unwrap_or_default());
    if method.is_some_and(|method| methods.contains(&method)) && path.ends_with(&refused) {
        let body = r#"{"errors":[{"code":"DENIED","message":"not this tag"}]}"#;
        let answer = format!(
            "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Docker-Distribution-Api-Version: registry/2.0\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let _ = socket.write_all(answer.as_bytes()).await;
        let _ = socket.shutdown().await;
        return;
    }
    // One request for each connection, so that the proxy sees each request.
    let head = format!("{line}\r\nConnection: close\r\n{rest}");
    let Ok(mut registry) = TcpStream::connect(var("SLIPWAY_TEST_REGISTRY")).await else {
        return;
    };
    if registry.write_all(head.as_bytes()).await.is_ok() {
        let _ = copy_bidirectional(&mut socket, &mut registry).await;
    }
}

/// Pushes an image with a shell to the open registry, and deletes it from the engine.
pub(super) fn shell_in_registry() -> String {
    let registry = var("SLIPWAY_TEST_REGISTRY");
    let name = format!("{registry}/test/shell-{}:1", std::process::id());
    docker(&["tag", shell_image(), &name]);
    docker(&["push", "-q", &name]);
    remove_image(&name);
    name
}

/// A zip archive with one file.
pub(super) fn zip(path: &str, text: &str) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive
        .start_file(path, SimpleFileOptions::default())
        .unwrap();
    archive.write_all(text.as_bytes()).unwrap();
    archive.finish().unwrap().into_inner()
}

/// A tar archive of one file, created with these flags.
pub(super) fn tar(flags: &str, path: &str, text: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
    tar_of(flags, dir.path())
}

/// A tar archive of a directory.
pub(super) fn tar_of(flags: &str, dir: &Path) -> Vec<u8> {
    let output = Command::new("tar")
        .args([flags, "-", "-C"])
        .arg(dir)
        .arg(".")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// The result of a build.
pub(super) struct Ended {
    /// The build in Quay's API.
    pub(super) phase: String,
    /// The failure reason in the native API, if it failed.
    pub(super) reason: Value,
    /// Number of the last attempt.
    pub(super) attempt: i64,
    pub(super) trace: String,
    /// The entries of its log.
    pub(super) log: Vec<Value>,
}

impl Fixture {
    /// A fixture whose runner may download packages from this machine.
    pub(super) async fn with_packages(arguments: &[&str]) -> Self {
        let mut fixture = Self::bare_with(arguments).await;
        let allowed = ["--allow-package-net", "127.0.0.0/8"];
        fixture._runner = Some(fixture.farm.runner_with("runner", &allowed));
        fixture
    }

    /// Sends a body to Quay's API as the administrator; returns the response.
    pub(super) async fn ask(&self, path: &str, body: Value) -> Value {
        let request = reqwest::Client::new().post(self.farm.url(path));
        let request = request.bearer_auth(self.farm.secret("admin-token"));
        let answer = request.json(&body).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Creates a build, and waits until it has ended.
    pub(super) async fn built(&self, body: Value) -> Ended {
        let asked = self.ask(BUILDS, body).await;
        let id = asked["id"].as_str().unwrap();
        let url = self.farm.url(&format!("{BUILDS}{id}"));
        let over = ["complete", "error", "expired", "cancelled"];
        let phase = wait_for(LIMIT, "the build has ended", || async {
            let request = reqwest::Client::new().get(&url);
            let request = request.bearer_auth(self.farm.secret("admin-token"));
            let build: Value = request.send().await.ok()?.json().await.ok()?;
            let phase = build["phase"].as_str()?.to_owned();
            over.contains(&phase.as_str()).then_some(phase)
        })
        .await;
        let logs = reqwest::Client::new().get(format!("{url}/logs"));
        let logs = logs.bearer_auth(self.farm.secret("admin-token"));
        let log: Value = logs.send().await.unwrap().json().await.unwrap();
        let build = show(&self.farm, id).await;
        let job = build["jobs"].as_array().unwrap().last().unwrap();
        Ended {
            phase,
            reason: job["failure_reason"].clone(),
            attempt: job["attempt"].as_i64().unwrap(),
            trace: trace_of(&self.farm, job).await,
            log: log["logs"].as_array().unwrap().clone(),
        }
    }

    /// Builds the package at a URL.
    pub(super) async fn built_of(&self, url: &str) -> Ended {
        self.built(json!({ "archive_url": url })).await
    }

    /// Sets the registry of the project's images.
    pub(super) async fn push_to(&mut self, registry: &str) {
        self.repository = format!("{registry}/acme/api-{}", std::process::id());
        let change = json!({ "image_repository": self.repository });
        let path = "/v1/projects/acme/api";
        self.farm.api(Method::PATCH, path, Some(change)).await;
    }
}

impl Ended {
    #[track_caller]
    pub(super) fn is_complete(&self) {
        assert_eq!(self.phase, "complete", "{} {}", self.reason, self.trace);
    }

    /// Asserts that the first attempt failed for this reason and was not retried, and that the log ends with
    /// the phase and the error of this code.
    #[track_caller]
    pub(super) fn fails_with(&self, reason: &str, code: &str) {
        assert_eq!(self.phase, "error", "{}", self.trace);
        assert_eq!(self.reason, reason, "{}", self.trace);
        assert_eq!(self.attempt, 1, "{}", self.trace);
        let [.., phase, error] = self.log.as_slice() else {
            panic!("the log has no end: {:?}", self.log);
        };
        assert_eq!(phase["type"], "phase", "{phase}");
        assert_eq!(phase["message"], "error", "{phase}");
        assert_eq!(error["type"], "error", "{error}");
        let code = format!("io.quay.builder.{code}");
        assert_eq!(error["data"]["error_code"], code, "{error}");
    }

    /// The data of the log entry of the phase `pulling`.
    #[track_caller]
    pub(super) fn pulling(&self) -> &Value {
        let is_pulling = |entry: &&Value| entry["type"] == "phase" && entry["message"] == "pulling";
        let mut found = self.log.iter().filter(is_pulling);
        let entry = found.next().expect("an entry of the phase pulling");
        assert_eq!(found.next(), None);
        &entry["data"]
    }
}
