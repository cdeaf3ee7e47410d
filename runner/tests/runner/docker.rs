//! Jobs with a real git server, a real Docker Engine and a real registry. `SLIPWAY_TEST_REGISTRY`
//! is the `HOST:PORT` of the registry.

mod images_from_scripts;
mod linked_directories;
mod neighbours;
mod packages;
mod scripts;
mod secrets;
mod sources;

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slipway_git::{Git, Limits};
use slipway_image_builder::Builder;
use slipway_outbound::{NetworkPolicy, Outbound};
use slipway_packages::{FetchLimits, Packages, UnpackLimits};
use slipway_process_group::ProcessGroup;
use slipway_runner::docker::{CacheLimits, DockerExecutor};
use slipway_runner::executor::Executor;

use crate::fake_coordinator::{FakeCoordinator, until_empty};
use crate::job_lifecycle::Runner;

/// A repository with one commit, served by `git daemon`.
struct Repository {
    /// `git daemon` and the server that it starts as a child.
    group: ProcessGroup,
    daemon: Child,
    port: u16,
    sha: String,
    dir: tempfile::TempDir,
}

impl Drop for Repository {
    fn drop(&mut self) {
        self.group.kill();
        self.daemon.wait().unwrap();
    }
}

impl Repository {
    fn with(dockerfile: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let repository = dir.path().join("api");
        git(dir.path(), &["init", "-q", "-b", "main", "api"]);
        std::fs::write(repository.join("Dockerfile"), dockerfile).unwrap();
        std::fs::copy("/bin/busybox", repository.join("busybox")).unwrap();
        git(&repository, &["add", "."]);
        git(&repository, &["commit", "-q", "-m", "one"]);
        let sha = git(&repository, &["rev-parse", "HEAD"]);
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let daemon = Command::new("git")
            .args([
                "daemon",
                "--export-all",
                "--reuseaddr",
                "--listen=127.0.0.1",
            ])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", dir.path().display()))
            // The command starts the server as a child process.
            .process_group(0)
            .spawn()
            .unwrap();
        let group = ProcessGroup::led_by(Some(daemon.id()));
        let since = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                since.elapsed() < Duration::from_secs(10),
                "git daemon did not start"
            );
            std::thread::yield_now();
        }
        Self {
            group,
            daemon,
            port,
            sha,
            dir,
        }
    }

    /// The time of the commit.
    fn commit_time(&self) -> String {
        git(&self.dir.path().join("api"), &["log", "-1", "--format=%ct"])
    }

    /// The payload members of a job that builds this commit.
    fn job(&self, spec: &Value) -> Value {
        json!({
            "repo_url": format!("git://127.0.0.1:{}/api", self.port),
            "sha": self.sha,
            "own": {"spec": spec, "build": "b", "number": 1, "attempt": 1, "lease_s": 15},
        })
    }
}

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn runner(fake: &FakeCoordinator) -> Runner {
    runner_with_name(fake, &format!("test-{}", rand::random::<u64>())).await
}

/// A runner with this name on the engine.
async fn runner_with_name(fake: &FakeCoordinator, name: &str) -> Runner {
    // Images that tests build in the engine and push to no registry.
    let local = ["slipway-test/*".parse().unwrap()].into_iter().collect();
    let outbound = Outbound::start(loopback()).unwrap();
    let builder = Builder::connect(name, outbound).await.unwrap();
    runner_of(fake, builder.with_local_images(local)).await
}

/// Only servers on this host may be connected to.
fn loopback() -> NetworkPolicy {
    NetworkPolicy::new(vec!["127.0.0.0/8".parse().unwrap()], Vec::new())
}

/// A runner with this builder.
async fn runner_of(fake: &FakeCoordinator, builder: Builder) -> Runner {
    let policy = loopback();
    let git = Git::new(Limits::default(), Outbound::start(policy.clone()).unwrap()).unwrap();
    let allowed = policy.public_only([]);
    let limits = (FetchLimits::default(), UnpackLimits::default());
    let packages = Packages::new(limits.0, limits.1, allowed).unwrap();
    let cache = CacheLimits {
        bytes: 1 << 40,
        age: None,
    };
    let executor: Arc<dyn Executor> = Arc::new(DockerExecutor::new(builder, git, packages, cache));
    Runner::with(fake, 1 << 26, |_| executor)
}

#[tokio::test]
async fn a_commit_is_built_and_pushed() {
    let registry =
        std::env::var("SLIPWAY_TEST_REGISTRY").expect("SLIPWAY_TEST_REGISTRY is not set");
    let repository = Repository::with("FROM scratch\nCOPY busybox /bin/sh\nRUN echo built here\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let image = format!("{registry}/story/a{}", rand::random::<u64>());
    let spec = json!({"kind": "image_build", "repository": image, "tags": ["v1", "main"]});
    fake.enqueue(41, &[], repository.job(&spec));
    let held = fake.until_reported(41).await;
    let trace = String::from_utf8_lossy(&held.trace).into_owned();
    assert_eq!(held.status, "success", "{trace}");
    assert!(
        trace.contains("built here") || trace.contains("CACHED"),
        "{trace}"
    );
    let made = held.report.unwrap().image.unwrap();
    assert_eq!(made.reference, Some(format!("{image}:v1")));
    assert_eq!(made.tags, ["v1", "main"]);
    assert!(made.digest.starts_with("sha256:"));
    for phase in ["fetching", "building", "pushing"] {
        assert!(
            held.phases.iter().any(|reported| reported == phase),
            "{:?}",
            held.phases
        );
    }
    until_empty(&runner.jobs_dir()).await;
    runner.drain(&fake).await;
}

#[tokio::test]
async fn failures_are_reported_with_their_reason() {
    let repository = Repository::with("FROM scratch\nCOPY busybox /bin/sh\nRUN exit 9\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let mut elsewhere = repository.job(&json!({"kind": "image_build"}));
    elsewhere["sha"] = json!("1".repeat(40));
    fake.enqueue(51, &[], elsewhere);
    fake.enqueue(52, &[], repository.job(&json!({"kind": "image_build"})));
    let spec = json!({"kind": "image_build", "dockerfile": "none/Dockerfile"});
    fake.enqueue(53, &[], repository.job(&spec));
    for (id, reason) in [
        (51, "source_unavailable"),
        (52, "build_failed"),
        (53, "dockerfile_missing"),
    ] {
        let held = fake.until_reported(id).await;
        let report = held.report.unwrap();
        let trace = String::from_utf8_lossy(&held.trace).into_owned();
        assert_eq!(report.failure_reason.as_deref(), Some(reason), "{trace}");
        assert!(trace.contains("Failed: "), "{trace}");
    }
    runner.drain(&fake).await;
}

/// Runs alone because it asserts a bound of two seconds; see `.config/nextest.toml`.
mod timing {
    #[tokio::test]
    async fn cancel_kills_the_running_command_within_two_seconds() {
        super::cancel_kills_the_running_command().await;
    }
}

async fn cancel_kills_the_running_command() {
    let seconds = format!("7{:07}", rand::random::<u32>() % 10_000_000);
    let dockerfile = format!("FROM scratch\nCOPY busybox /bin/sh\nRUN exec sleep {seconds}\n");
    let repository = Repository::with(&dockerfile);
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    fake.enqueue(61, &[], repository.job(&json!({"kind": "image_build"})));
    until(Duration::from_secs(60), || is_sleeping(&seconds)).await;
    fake.change(|state| {
        if let Some(job) = state.jobs.get_mut(&61) {
            job.status = "canceled".to_owned();
        }
    });
    until(Duration::from_secs(2), || !is_sleeping(&seconds)).await;
    until_empty(&runner.jobs_dir()).await;
    runner.drain(&fake).await;
}

async fn until(limit: Duration, condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(
            since.elapsed() < limit,
            "the condition is not met after {limit:?}"
        );
        tokio::task::yield_now().await;
    }
}

/// Whether a process on this host runs `sleep` with this argument.
fn is_sleeping(seconds: &str) -> bool {
    let wanted = format!("sleep\0{seconds}\0");
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .any(|line| line == wanted.as_bytes())
}
