//! From a commit on a git server to an image in a registry, with a real engine: coordinator and
//! runner as processes.

mod attested;
mod directories;
mod limits;
mod packages;
mod pipelines;
mod platforms;
mod remotes;
mod scripts;
mod stock;
mod stock_v4;

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use slipway_test_engine::SHELL;
use slipway_testkit::git::Repo;
use slipway_testkit::processes::{CoordinatorProcess, Process};
use slipway_testkit::{Backend, GitServer, wait_for, wait_until};

use crate::farm::{LIMIT, Place, finished, show, trace_of};

fn var(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: `cargo xtask test` sets it"))
}

/// A job of a pipeline, with the usual members.
fn one_job(name: &str, spec: Value) -> Value {
    json!({ "name": name, "spec": spec })
}

/// What a job made, without the documents about it.
async fn artifacts(farm: &CoordinatorProcess, job: i64) -> Vec<Value> {
    let (_, made) = all_of(farm, job).await;
    made
}

/// The documents about what a job made.
async fn files(farm: &CoordinatorProcess, job: i64) -> Vec<Value> {
    let (files, _) = all_of(farm, job).await;
    files
}

async fn all_of(farm: &CoordinatorProcess, job: i64) -> (Vec<Value>, Vec<Value>) {
    let path = format!("/v1/jobs/{job}/artifacts");
    let made = farm.api(Method::GET, &path, None).await;
    let items = made["items"].as_array().unwrap().iter().cloned();
    items.partition(|item| item["kind"] == "file")
}

/// A farm, and a project whose images need a login to push.
struct Yard {
    farm: CoordinatorProcess,
    repo: Repo,
    repository: String,
    _runner: Option<Process>,
    _git: GitServer,
    place: Place,
}

impl Yard {
    /// With one runner of ours, which has the engine.
    async fn new() -> Self {
        let mut yard = Self::bare().await;
        yard._runner = Some(yard.farm.runner_with("runner", &[]));
        yard
    }

    /// Without a runner.
    async fn bare() -> Self {
        Self::bare_with(&[]).await
    }

    /// Without a runner; the coordinator has these arguments.
    async fn bare_with(arguments: &[&str]) -> Self {
        let place = Place::new(Backend::Sqlite).await;
        let farm = place.coordinator("only", arguments).await;
        let git = GitServer::start();
        let repo = git.repo("acme/api");
        std::fs::copy("/bin/busybox", repo.work_tree().join("busybox")).unwrap();
        farm.api(
            Method::POST,
            "/v1/namespaces",
            Some(json!({ "name": "acme" })),
        )
        .await;
        let registry = var("SLIPWAY_TEST_AUTH_REGISTRY");
        let repository = format!("{registry}/acme/api-{}", std::process::id());
        let project = json!({
            "namespace": "acme", "name": "api", "repo_url": repo.url(), "image_repository": repository,
        });
        farm.api(Method::POST, "/v1/projects", Some(project)).await;
        let yard = Self {
            _runner: None,
            farm,
            repo,
            repository,
            _git: git,
            place,
        };
        yard.log_in(&var("SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD"))
            .await;
        yard
    }

    async fn log_in(&self, password: &str) {
        let credentials = json!({
            "registry": var("SLIPWAY_TEST_AUTH_REGISTRY"),
            "username": var("SLIPWAY_TEST_AUTH_REGISTRY_USER"),
            "password": password,
        });
        self.farm
            .api(
                Method::PUT,
                "/v1/namespaces/acme/registry-credentials",
                Some(credentials),
            )
            .await;
    }

    /// Says what the project's builds run from now on.
    async fn pipeline(&self, jobs: Value) {
        let path = "/v1/projects/acme/api/pipelines/default";
        let body = json!({ "definition": { "jobs": jobs } });
        self.farm.api(Method::PUT, path, Some(body)).await;
    }

    /// Has the project's builds run what the repository says.
    async fn read_repository(&self) {
        let path = "/v1/projects/acme/api/pipelines/default";
        let body = json!({ "from_repository": true });
        self.farm.api(Method::PUT, path, Some(body)).await;
    }

    async fn build(&self, what: Value) -> String {
        let build = self
            .farm
            .api(Method::POST, "/v1/projects/acme/api/builds", Some(what))
            .await;
        build["id"].as_str().unwrap().to_owned()
    }

    /// The digest that the registry has for a tag.
    async fn digest_of(&self, tag: &str) -> String {
        let answer = self.manifest(tag).await;
        assert_eq!(answer.status(), 200, "{tag}");
        answer.headers()["Docker-Content-Digest"]
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// Whether the registry has a tag.
    async fn has_tag(&self, tag: &str) -> bool {
        self.manifest(tag).await.status() == 200
    }

    async fn manifest(&self, tag: &str) -> reqwest::Response {
        let (registry, path) = self.repository.split_once('/').unwrap();
        reqwest::Client::new()
            .get(format!("http://{registry}/v2/{path}/manifests/{tag}"))
            .header(
                "Accept",
                "application/vnd.docker.distribution.manifest.v2+json",
            )
            .basic_auth(
                var("SLIPWAY_TEST_AUTH_REGISTRY_USER"),
                Some(var("SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD")),
            )
            .send()
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_commit_on_an_odd_branch_becomes_an_image_under_all_its_tags() {
    let yard = Yard::new().await;
    let dockerfile = format!("{SHELL}RUN echo hello > /greeting\n");
    yard.repo.commit(&[("Dockerfile", &dockerfile)], "first");
    yard.repo.branch("feature/odd+name");
    let sha = yard.repo.commit(&[("more", "x")], "second");
    let build = yard.build(json!({ "ref": "feature/odd+name" })).await;
    let done = finished(&yard.farm, &build).await;
    let trace = trace_of(&yard.farm, &done["jobs"][0]).await;
    assert_eq!(done["state"], "succeeded", "{done:#}\n{trace}");
    assert_eq!(done["sha"], sha.as_str());
    assert!(
        !trace.contains(&var("SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD")),
        "{trace}"
    );
    let job = done["jobs"][0]["id"].as_i64().unwrap();
    let image = artifacts(&yard.farm, job).await[0].clone();
    let tags: Vec<&str> = image["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag.as_str().unwrap())
        .collect();
    assert_eq!(tags.len(), 2, "{image:#}");
    assert_eq!(tags[0], sha);
    assert!(tags[1].starts_with("feature-odd-name-"), "{image:#}");
    for tag in tags {
        assert_eq!(image["digest"], yard.digest_of(tag).await.as_str());
    }
}

#[tokio::test]
async fn each_thing_that_goes_wrong_is_told_as_what_it_is() {
    let yard = Yard::new().await;
    let refused = yard
        .build(json!({ "sha": yard.repo.commit(&[("readme", "x")], "no Dockerfile") }))
        .await;
    expect(&yard.farm, &refused, "dockerfile_missing", "Dockerfile").await;
    let dockerfile = format!("{SHELL}RUN exit 7\n");
    let failing = yard
        .build(json!({ "sha": yard.repo.commit(&[("Dockerfile", &dockerfile)], "fails") }))
        .await;
    expect(&yard.farm, &failing, "build_failed", "7").await;
    let unknown = yard
        .build(json!({ "sha": "0123456789abcdef0123456789abcdef01234567" }))
        .await;
    expect(
        &yard.farm,
        &unknown,
        "source_unavailable",
        "0123456789abcdef",
    )
    .await;
    let good = yard.repo.commit(&[("Dockerfile", SHELL)], "good");
    yard.log_in("not the password").await;
    let unauthorized = yard.build(json!({ "sha": good })).await;
    expect(
        &yard.farm,
        &unauthorized,
        "push_refused",
        &var("SLIPWAY_TEST_AUTH_REGISTRY"),
    )
    .await;
    let gone = json!({ "repo_url": yard.repo.url().replace("acme/api", "acme/gone") });
    yard.farm
        .api(Method::PATCH, "/v1/projects/acme/api", Some(gone))
        .await;
    let missing = yard.build(json!({ "sha": good })).await;
    expect(&yard.farm, &missing, "source_unavailable", "acme/gone").await;
}

/// A build that fails for `reason`, with a message that has `word` in it, there and in the trace.
async fn expect(farm: &CoordinatorProcess, build: &str, reason: &str, word: &str) {
    let done = finished(farm, build).await;
    let job = &done["jobs"][0];
    assert_eq!(
        (&done["state"], &job["failure_reason"]),
        (&json!("failed"), &json!(reason)),
        "{done:#}"
    );
    let message = job["failure_message"].as_str().unwrap();
    assert!(message.contains(word), "{message}");
    let trace = trace_of(farm, job).await;
    assert!(trace.contains(word), "{trace}");
}

/// Runs alone because it asserts a bound of two seconds; see `.config/nextest.toml`.
mod timing {
    #[tokio::test]
    async fn cancel_ends_the_running_step_within_two_seconds() {
        super::cancel_ends_the_running_step().await;
    }
}

async fn cancel_ends_the_running_step() {
    let yard = Yard::new().await;
    // A length that no other sleep on the machine has.
    let seconds = 100_000 + std::process::id();
    let dockerfile = format!("{SHELL}RUN exec sleep {seconds}\n");
    let sha = yard.repo.commit(&[("Dockerfile", &dockerfile)], "sleeps");
    let build = yard.build(json!({ "sha": sha })).await;
    wait_until(LIMIT, "the step runs", || async { sleeps(seconds) }).await;
    yard.farm
        .api(Method::POST, &format!("/v1/builds/{build}/cancel"), None)
        .await;
    wait_until(Duration::from_secs(2), "the step is gone", || async {
        !sleeps(seconds)
    })
    .await;
    let state = show(&yard.farm, &build).await["state"].clone();
    assert_eq!(state, "canceled");
    // The runner is free again, and nothing of the job is left on its disk.
    let sha = yard.repo.commit(&[("Dockerfile", SHELL)], "builds");
    let next = yard.build(json!({ "sha": sha })).await;
    assert_eq!(finished(&yard.farm, &next).await["state"], "succeeded");
    let work = yard.place.dir.path().join("runner.work/jobs");
    wait_for(LIMIT, "no workspace is left", || async {
        workspaces(&work).is_empty().then_some(())
    })
    .await;
}

/// Whether a process on this machine sleeps for so many seconds.
fn sleeps(seconds: u32) -> bool {
    let needle = format!("sleep\0{seconds}\0");
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return false;
    };
    processes.flatten().any(|process| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).ends_with(&needle)
    })
}

/// The directories of jobs in a runner's working directory.
fn workspaces(work: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(work).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}
