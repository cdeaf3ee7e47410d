//! Complete builds with Docker: a git server, a coordinator and a runner as programs, and a registry.
//!
//! See `docs/protocols/conveyor.md#client-sequence` and `docs/protocols/conveyor.md#images`.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_test_engine::{SHELL, docker, remove_image};
use slipway_testkit::git::Repo;
use slipway_testkit::processes::{CoordinatorProcess, Process};
use slipway_testkit::{GitServer, wait_for};
use tempfile::TempDir;

use crate::webhooks::{SECRET, push, signed};

/// How long a build may take.
const LIMIT: Duration = Duration::from_secs(120);

fn registry() -> String {
    let name = "SLIPWAY_TEST_REGISTRY";
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: `cargo xtask test` sets it"))
}

/// A farm with a runner, which creates projects for the repositories of a git server.
struct Fixture {
    farm: CoordinatorProcess,
    repo: Repo,
    /// The path of the repository, which is unique to the test.
    path: String,
    _runner: Process,
    _git: GitServer,
    _dir: TempDir,
}

impl Fixture {
    async fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let git = GitServer::start();
        let path = format!("acme/{name}-{}", std::process::id());
        let repo = git.repo(&path);
        std::fs::copy("/bin/busybox", repo.work_tree().join("busybox")).unwrap();
        let secret = dir.path().join("hook-secret");
        std::fs::write(&secret, SECRET).unwrap();
        let (registry, source) = (registry(), format!("{}/{{repository}}.git", git.url()));
        let arguments = [
            "--registry",
            &registry,
            "--auto-create",
            "acme/*",
            "--auto-create-url",
            &source,
            "--github-webhook-secret-file",
            secret.to_str().unwrap(),
        ];
        let farm = CoordinatorProcess::start(dir.path(), "only", &arguments).await;
        Self {
            _runner: farm.runner_with("runner", &[]),
            farm,
            repo,
            path,
            _git: git,
            _dir: dir,
        }
    }

    fn client(&self) -> Client {
        Client {
            http: slipway_testkit::http().build().unwrap(),
            base: self.farm.url(""),
            token: self.farm.secret("admin-token"),
        }
    }

    /// Delivers a push to `main` through the webhook for GitHub, and returns the id of the build.
    async fn push(&self, sha: &str, message: &str) -> String {
        let mut event = push("refs/heads/main", sha, message);
        event["repository"]["full_name"] = json!(self.path);
        let body = event.to_string();
        let signature = format!("sha256={}", signed(SECRET, body.as_bytes()));
        let request = reqwest::Client::new()
            .post(self.farm.url("/"))
            .header("X-GitHub-Event", "push")
            .header("X-Hub-Signature-256", signature)
            .body(body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.text().await.unwrap()
    }
}

/// A client that sends the same requests as the generated one.
struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> reqwest::Response {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = request.basic_auth("", Some(&self.token));
        let request = match body {
            Some(body) => request.body(body.to_string()),
            None => request,
        };
        request.send().await.unwrap()
    }

    /// The object at a path; `None` only for the exact "not found" error.
    async fn get(&self, path: &str) -> Option<Value> {
        let response = self.send(Method::GET, path, None).await;
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        if status.is_success() {
            return Some(body);
        }
        let missing = json!({"id": "not_found", "message": "resource was not found"});
        assert_eq!((status, body), (StatusCode::NOT_FOUND, missing), "{path}");
        None
    }

    /// The complete log of a build.
    async fn logs(&self, build: &str) -> String {
        let mut response = self
            .send(Method::GET, &format!("/logs/{build}"), None)
            .await;
        assert_eq!(response.status(), 200);
        let mut text = Vec::new();
        while let Some(piece) = response.chunk().await.unwrap() {
            text.extend_from_slice(&piece);
        }
        String::from_utf8_lossy(&text).replace('\0', "")
    }

    /// Waits until a build is finished, and returns it.
    async fn completed(&self, build: &str) -> Value {
        let path = format!("/builds/{build}");
        wait_for(LIMIT, "the build is finished", || async {
            let build = self.get(&path).await.expect("the build exists");
            let is_finished = !build["completed_at"].is_null() || build["state"] == "failed";
            is_finished.then_some(build)
        })
        .await
    }

    /// The image of a commit, which is built if it does not exist. Also returns the log of the build
    /// if one was created.
    async fn image_of(&self, repository: &str, branch: &str, sha: &str) -> (Value, String) {
        let name = format!("{repository}@{sha}");
        if let Some(artifact) = self.get(&format!("/artifacts/{name}")).await {
            return (artifact, String::new());
        }
        let build = match self.get(&format!("/builds/{name}")).await {
            Some(build) => build,
            None => {
                let body = json!({"repository": repository, "branch": branch, "sha": sha});
                let response = self.send(Method::POST, "/builds", Some(body)).await;
                assert!(response.status().is_success(), "{response:?}");
                response.json().await.unwrap()
            }
        };
        let id = build["id"].as_str().unwrap();
        let text = self.logs(id).await;
        let build = self.completed(id).await;
        assert_eq!(build["state"], "succeeded", "{build:#}\n{text}");
        let artifact = self.get(&format!("/artifacts/{name}")).await;
        (
            artifact.expect("the artifact exists once the build has succeeded"),
            text,
        )
    }
}

#[tokio::test]
async fn pushed_image_can_be_pulled_and_has_the_reported_digest() {
    let fixture = Fixture::new("pulled").await;
    let dockerfile = format!("{SHELL}RUN echo {} > /greeting\n", fixture.path);
    let sha = fixture.repo.commit(&[("Dockerfile", &dockerfile)], "first");
    let (artifact, _) = fixture.client().image_of(&fixture.path, "main", &sha).await;
    let image = artifact["image"].as_str().unwrap();
    assert_eq!(image, format!("{}/{}:{sha}", registry(), fixture.path));
    // The runner does not keep the image, so it is pulled from the registry.
    docker(&["pull", image]);
    let format = "{{index .RepoDigests 0}}";
    let pulled = docker(&["image", "inspect", "--format", format, image]);
    remove_image(image);
    let native = fixture
        .farm
        .api(Method::GET, &build_path(&artifact), None)
        .await;
    let job = format!("/v1/jobs/{}/artifacts", native["jobs"][0]["id"]);
    let artifacts = fixture.farm.api(Method::GET, &job, None).await["items"].clone();
    let is_image = |item: &&Value| item["kind"] == "image";
    let image = artifacts.as_array().unwrap().iter().find(is_image).unwrap();
    let pushed = image["digest"].clone();
    let digest = pulled.rsplit_once('@').unwrap().1;
    assert_eq!(pushed, digest);
}

fn build_path(artifact: &Value) -> String {
    format!("/v1/builds/{}", artifact["build"]["id"].as_str().unwrap())
}

#[tokio::test]
async fn layers_are_reused_unless_the_commit_message_disables_the_cache() {
    let fixture = Fixture::new("cached").await;
    let client = fixture.client();
    let marker = format!("marker {}", fixture.path);
    let dockerfile = format!("{SHELL}RUN echo {marker}\n");
    let first = fixture.repo.commit(&[("Dockerfile", &dockerfile)], "first");
    let build = fixture.push(&first, "first").await;
    let text = client.logs(&build).await;
    assert_eq!(
        client.completed(&build).await["state"],
        "succeeded",
        "{text}"
    );
    let tag = format!("{}/{}:main", registry(), fixture.path);
    assert!(
        text.contains(&format!("No layers reused from {tag}: ")),
        "{text}"
    );
    assert!(step_ran(&text, &marker), "{text}");

    let second = fixture.repo.commit(&[("more", "x")], "second");
    let build = fixture.push(&second, "second").await;
    let text = client.logs(&build).await;
    assert_eq!(
        client.completed(&build).await["state"],
        "succeeded",
        "{text}"
    );
    assert!(
        text.contains(&format!("importing cache manifest from {tag}")),
        "{text}"
    );
    assert!(!text.contains("No layers reused"), "{text}");
    assert!(!step_ran(&text, &marker), "{text}");

    let third = fixture
        .repo
        .commit(&[("more", "y")], "third [docker nocache]");
    let build = fixture.push(&third, "third [docker nocache]").await;
    let text = client.logs(&build).await;
    assert_eq!(
        client.completed(&build).await["state"],
        "succeeded",
        "{text}"
    );
    assert!(!text.contains("Pulling"), "{text}");
    assert!(step_ran(&text, &marker), "{text}");
}

/// Whether a step printed `marker`. Lines with `echo` only show the step's command.
fn step_ran(text: &str, marker: &str) -> bool {
    text.lines()
        .any(|line| line.contains(marker) && !line.contains("echo"))
}

#[tokio::test]
async fn client_sequence_ends_with_the_image() {
    let fixture = Fixture::new("whole").await;
    let marker = format!("marker {}", fixture.path);
    let dockerfile = format!("{SHELL}RUN echo {marker}\n");
    let sha = fixture.repo.commit(&[("Dockerfile", &dockerfile)], "first");
    let client = fixture.client();
    let (artifact, text) = client.image_of(&fixture.path, "main", &sha).await;
    assert!(step_ran(&text, &marker), "{text}");
    let image = artifact["image"].as_str().unwrap();
    assert_eq!(image, format!("{}/{}:{sha}", registry(), fixture.path));
    // The second request finds the image at once.
    let (again, text) = client.image_of(&fixture.path, "main", &sha).await;
    assert_eq!((again, text.as_str()), (artifact, ""));
}
