//! Builds with a real engine, registry and git server: coordinator and runner as processes.

mod attestations;
mod limits;
mod local_directory;
mod packages;
mod pipelines;
mod platforms;
mod private_sources;
mod scripts;
mod stock_v1;
mod stock_v4;

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use slipway_test_engine::SHELL;
use slipway_testkit::git::Repo;
use slipway_testkit::processes::{CoordinatorProcess, Process};
use slipway_testkit::{Backend, GitServer, wait_for, wait_until};

use crate::farm::{FarmDir, LIMIT, show, trace_of, wait_until_finished};

fn var(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: `cargo xtask test` sets it"))
}

/// A job of a pipeline with default settings.
fn one_job(name: &str, spec: Value) -> Value {
    json!({ "name": name, "spec": spec })
}

/// The artifacts of a job that are images.
async fn artifacts(farm: &CoordinatorProcess, job: i64) -> Vec<Value> {
    let (_, images) = files_and_images(farm, job).await;
    images
}

/// The artifacts of a job that are files, such as attestations.
async fn files(farm: &CoordinatorProcess, job: i64) -> Vec<Value> {
    let (files, _) = files_and_images(farm, job).await;
    files
}

async fn files_and_images(farm: &CoordinatorProcess, job: i64) -> (Vec<Value>, Vec<Value>) {
    let path = format!("/v1/jobs/{job}/artifacts");
    let made = farm.api(Method::GET, &path, None).await;
    let items = made["items"].as_array().unwrap().iter().cloned();
    items.partition(|item| item["kind"] == "file")
}

/// A farm with the project `acme/api`, whose registry requires a login.
struct Fixture {
    farm: CoordinatorProcess,
    repo: Repo,
    repository: String,
    _runner: Option<Process>,
    _git: GitServer,
    farm_dir: FarmDir,
}

impl Fixture {
    /// A farm with one runner of ours.
    async fn new() -> Self {
        let mut fixture = Self::bare().await;
        fixture._runner = Some(fixture.farm.runner_with("runner", &[]));
        fixture
    }

    /// A farm without a runner.
    async fn bare() -> Self {
        Self::bare_with(&[]).await
    }

    /// A farm without a runner, whose coordinator has these arguments.
    async fn bare_with(arguments: &[&str]) -> Self {
        let farm_dir = FarmDir::new(Backend::Sqlite).await;
        let farm = farm_dir.coordinator("only", arguments).await;
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
        let fixture = Self {
            _runner: None,
            farm,
            repo,
            repository,
            _git: git,
            farm_dir,
        };
        fixture
            .log_in(&var("SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD"))
            .await;
        fixture
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

    /// Sets the jobs of the project's default pipeline.
    async fn set_pipeline(&self, jobs: Value) {
        let path = "/v1/projects/acme/api/pipelines/default";
        let body = json!({ "definition": { "jobs": jobs } });
        self.farm.api(Method::PUT, path, Some(body)).await;
    }

    /// Makes the default pipeline read the repository.
    async fn read_repository(&self) {
        let path = "/v1/projects/acme/api/pipelines/default";
        let body = json!({ "from_repository": true });
        self.farm.api(Method::PUT, path, Some(body)).await;
    }

    async fn build(&self, request: Value) -> String {
        let build = self
            .farm
            .api(Method::POST, "/v1/projects/acme/api/builds", Some(request))
            .await;
        build["id"].as_str().unwrap().to_owned()
    }

    /// The digest of a tag in the registry.
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
async fn image_is_pushed_under_the_sha_and_the_sanitized_branch() {
    let fixture = Fixture::new().await;
    let dockerfile = format!("{SHELL}RUN echo hello > /greeting\n");
    fixture.repo.commit(&[("Dockerfile", &dockerfile)], "first");
    fixture.repo.branch("feature/odd+name");
    let sha = fixture.repo.commit(&[("more", "x")], "second");
    let build = fixture.build(json!({ "ref": "feature/odd+name" })).await;
    let done = wait_until_finished(&fixture.farm, &build).await;
    let trace = trace_of(&fixture.farm, &done["jobs"][0]).await;
    assert_eq!(done["state"], "succeeded", "{done:#}\n{trace}");
    assert_eq!(done["sha"], sha.as_str());
    assert!(
        !trace.contains(&var("SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD")),
        "{trace}"
    );
    let job = done["jobs"][0]["id"].as_i64().unwrap();
    let image = artifacts(&fixture.farm, job).await[0].clone();
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
        assert_eq!(image["digest"], fixture.digest_of(tag).await.as_str());
    }
}

#[tokio::test]
async fn each_failure_has_its_own_reason_and_message() {
    let fixture = Fixture::new().await;
    let refused = fixture
        .build(json!({ "sha": fixture.repo.commit(&[("readme", "x")], "no Dockerfile") }))
        .await;
    assert_failure(&fixture.farm, &refused, "dockerfile_missing", "Dockerfile").await;
    let dockerfile = format!("{SHELL}RUN exit 7\n");
    let failing = fixture
        .build(json!({ "sha": fixture.repo.commit(&[("Dockerfile", &dockerfile)], "fails") }))
        .await;
    assert_failure(&fixture.farm, &failing, "build_failed", "7").await;
    let unknown = fixture
        .build(json!({ "sha": "0123456789abcdef0123456789abcdef01234567" }))
        .await;
    assert_failure(
        &fixture.farm,
        &unknown,
        "source_unavailable",
        "0123456789abcdef",
    )
    .await;
    let good = fixture.repo.commit(&[("Dockerfile", SHELL)], "good");
    fixture.log_in("not the password").await;
    let unauthorized = fixture.build(json!({ "sha": good })).await;
    assert_failure(
        &fixture.farm,
        &unauthorized,
        "push_refused",
        &var("SLIPWAY_TEST_AUTH_REGISTRY"),
    )
    .await;
    let gone = json!({ "repo_url": fixture.repo.url().replace("acme/api", "acme/gone") });
    fixture
        .farm
        .api(Method::PATCH, "/v1/projects/acme/api", Some(gone))
        .await;
    let missing = fixture.build(json!({ "sha": good })).await;
    assert_failure(&fixture.farm, &missing, "source_unavailable", "acme/gone").await;
}

/// Asserts that a build fails for `reason`, with `word` in the message and in the trace.
async fn assert_failure(farm: &CoordinatorProcess, build: &str, reason: &str, word: &str) {
    let done = wait_until_finished(farm, build).await;
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
    let fixture = Fixture::new().await;
    // A duration that no other sleep on the machine has.
    let seconds = 100_000 + std::process::id();
    let dockerfile = format!("{SHELL}RUN exec sleep {seconds}\n");
    let sha = fixture
        .repo
        .commit(&[("Dockerfile", &dockerfile)], "sleeps");
    let build = fixture.build(json!({ "sha": sha })).await;
    wait_until(LIMIT, "the step runs", || async { sleeps(seconds) }).await;
    fixture
        .farm
        .api(Method::POST, &format!("/v1/builds/{build}/cancel"), None)
        .await;
    wait_until(Duration::from_secs(2), "the step has ended", || async {
        !sleeps(seconds)
    })
    .await;
    let state = show(&fixture.farm, &build).await["state"].clone();
    assert_eq!(state, "canceled");
    // The runner claims the next job, and the canceled one leaves nothing on the disk.
    let sha = fixture.repo.commit(&[("Dockerfile", SHELL)], "builds");
    let next = fixture.build(json!({ "sha": sha })).await;
    assert_eq!(
        wait_until_finished(&fixture.farm, &next).await["state"],
        "succeeded"
    );
    let work = fixture.farm_dir.dir.path().join("runner.work/jobs");
    wait_for(LIMIT, "no workspace is left", || async {
        workspaces(&work).is_empty().then_some(())
    })
    .await;
}

/// Whether a `sleep` process with this duration runs on this machine.
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

/// The directories of jobs in a runner's work directory.
fn workspaces(work: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(work).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}
