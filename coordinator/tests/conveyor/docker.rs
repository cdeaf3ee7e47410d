//! Checks 28, 46 and 49 from end to end: a git server, a coordinator and a runner as processes, an
//! engine that builds and a registry that is pushed to.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_test_engine::{SHELL, docker, remove_image};
use slipway_testkit::git::Repo;
use slipway_testkit::processes::{CoordinatorProcess, Process};
use slipway_testkit::{GitServer, wait_for};
use tempfile::TempDir;

use crate::github::{SECRET, push, signed};

/// A base that needs no registry: a shell is all that a step needs.
/// How long a build may take.
const LIMIT: Duration = Duration::from_secs(120);

fn registry() -> String {
    let name = "SLIPWAY_TEST_REGISTRY";
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: `cargo xtask test` sets it"))
}

/// A farm with a runner, which makes projects of the git server's repositories.
struct Yard {
    farm: CoordinatorProcess,
    repo: Repo,
    /// The path of the repository, which no other test has.
    path: String,
    _runner: Process,
    _git: GitServer,
    _dir: TempDir,
}

impl Yard {
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

    /// Pushes to `main` by GitHub's hook, and gives the build.
    async fn push(&self, sha: &str, message: &str) -> String {
        let mut event = push("refs/heads/main", sha, message);
        event["repository"]["full_name"] = json!(self.path);
        let body = event.to_string();
        let mark = format!("sha256={}", signed(SECRET, body.as_bytes()));
        let request = reqwest::Client::new()
            .post(self.farm.url("/"))
            .header("X-GitHub-Event", "push")
            .header("X-Hub-Signature-256", mark)
            .body(body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap()
    }
}

/// A client of our own that does what the generated one does, step by step.
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

    /// What is at a path; `None` only for the very error that says that it does not exist.
    async fn get(&self, path: &str) -> Option<Value> {
        let answer = self.send(Method::GET, path, None).await;
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        if status.is_success() {
            return Some(body);
        }
        let missing = json!({"id": "not_found", "message": "resource was not found"});
        assert_eq!((status, body), (StatusCode::NOT_FOUND, missing), "{path}");
        None
    }

    /// The text of a build, to its end.
    async fn logs(&self, build: &str) -> String {
        let mut answer = self
            .send(Method::GET, &format!("/logs/{build}"), None)
            .await;
        assert_eq!(answer.status(), 200);
        let mut text = Vec::new();
        while let Some(piece) = answer.chunk().await.unwrap() {
            text.extend_from_slice(&piece);
        }
        String::from_utf8_lossy(&text).replace('\0', "")
    }

    /// The build once it is complete.
    async fn completed(&self, build: &str) -> Value {
        let path = format!("/builds/{build}");
        wait_for(LIMIT, "the build is complete", || async {
            let build = self.get(&path).await.expect("the build");
            let over = !build["completed_at"].is_null() || build["state"] == "failed";
            over.then_some(build)
        })
        .await
    }

    /// Section 4 of the contract: the image of a commit, built when there is none. Also the text
    /// of the build, where one was made.
    async fn image_of(&self, repository: &str, branch: &str, sha: &str) -> (Value, String) {
        let name = format!("{repository}@{sha}");
        if let Some(artifact) = self.get(&format!("/artifacts/{name}")).await {
            return (artifact, String::new());
        }
        let build = match self.get(&format!("/builds/{name}")).await {
            Some(build) => build,
            None => {
                let body = json!({"repository": repository, "branch": branch, "sha": sha});
                let answer = self.send(Method::POST, "/builds", Some(body)).await;
                assert!(answer.status().is_success(), "{answer:?}");
                answer.json().await.unwrap()
            }
        };
        let id = build["id"].as_str().unwrap();
        let text = self.logs(id).await;
        let build = self.completed(id).await;
        assert_eq!(build["state"], "succeeded", "{build:#}\n{text}");
        let artifact = self.get(&format!("/artifacts/{name}")).await;
        (artifact.expect("the image is there with the success"), text)
    }
}

#[tokio::test]
async fn check_28_the_image_can_be_pulled_and_has_the_digest_that_was_pushed() {
    let yard = Yard::new("pulled").await;
    let dockerfile = format!("{SHELL}RUN echo {} > /greeting\n", yard.path);
    let sha = yard.repo.commit(&[("Dockerfile", &dockerfile)], "first");
    let (artifact, _) = yard.client().image_of(&yard.path, "main", &sha).await;
    let image = artifact["image"].as_str().unwrap();
    assert_eq!(image, format!("{}/{}:{sha}", registry(), yard.path));
    // The runner keeps nothing, so this comes from the registry.
    docker(&["pull", image]);
    let format = "{{index .RepoDigests 0}}";
    let pulled = docker(&["image", "inspect", "--format", format, image]);
    remove_image(image);
    let native = yard
        .farm
        .api(Method::GET, &build_path(&artifact), None)
        .await;
    let job = format!("/v1/jobs/{}/artifacts", native["jobs"][0]["id"]);
    let made = yard.farm.api(Method::GET, &job, None).await["items"].clone();
    let is_image = |item: &&Value| item["kind"] == "image";
    let image = made.as_array().unwrap().iter().find(is_image).unwrap();
    let pushed = image["digest"].clone();
    let digest = pulled.rsplit_once('@').unwrap().1;
    assert_eq!(pushed, digest);
}

fn build_path(artifact: &Value) -> String {
    format!("/v1/builds/{}", artifact["build"]["id"].as_str().unwrap())
}

#[tokio::test]
async fn check_46_layers_are_used_again_unless_the_message_says_otherwise() {
    let yard = Yard::new("cached").await;
    let client = yard.client();
    let said = format!("said {}", yard.path);
    let dockerfile = format!("{SHELL}RUN echo {said}\n");
    let first = yard.repo.commit(&[("Dockerfile", &dockerfile)], "first");
    let build = yard.push(&first, "first").await;
    let text = client.logs(&build).await;
    assert_eq!(
        client.completed(&build).await["state"],
        "succeeded",
        "{text}"
    );
    let tag = format!("{}/{}:main", registry(), yard.path);
    assert!(
        text.contains(&format!("No layers reused from {tag}: ")),
        "{text}"
    );
    assert!(ran(&text, &said), "{text}");

    let second = yard.repo.commit(&[("more", "x")], "second");
    let build = yard.push(&second, "second").await;
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
    assert!(!ran(&text, &said), "{text}");

    let third = yard.repo.commit(&[("more", "y")], "third [docker nocache]");
    let build = yard.push(&third, "third [docker nocache]").await;
    let text = client.logs(&build).await;
    assert_eq!(
        client.completed(&build).await["state"],
        "succeeded",
        "{text}"
    );
    assert!(!text.contains("Pulling"), "{text}");
    assert!(ran(&text, &said), "{text}");
}

/// Whether a step wrote `said`; the step's own name has it behind `echo`.
fn ran(text: &str, said: &str) -> bool {
    text.lines()
        .any(|line| line.contains(said) && !line.contains("echo"))
}

#[tokio::test]
async fn check_49_the_clients_whole_sequence_ends_with_the_image() {
    let yard = Yard::new("whole").await;
    let said = format!("said {}", yard.path);
    let dockerfile = format!("{SHELL}RUN echo {said}\n");
    let sha = yard.repo.commit(&[("Dockerfile", &dockerfile)], "first");
    let client = yard.client();
    let (artifact, text) = client.image_of(&yard.path, "main", &sha).await;
    assert!(ran(&text, &said), "{text}");
    let image = artifact["image"].as_str().unwrap();
    assert_eq!(image, format!("{}/{}:{sha}", registry(), yard.path));
    // Who asks again finds it at once.
    let (again, text) = client.image_of(&yard.path, "main", &sha).await;
    assert_eq!((again, text.as_str()), (artifact, ""));
}
