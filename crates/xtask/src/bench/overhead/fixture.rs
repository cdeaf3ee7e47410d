//! A farm of release programs with one runner, a repository and a registry, and the `docker` command
//! of the same engine.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::process::{ChildProcess, Lifetime, find_program, free_port, output_of, service};
use crate::services::Registry;
use crate::setup::{self, Docker};
use crate::{probe, scratch};

/// Timeout of one build.
const TIMEOUT: Duration = Duration::from_secs(600);

/// The shortest and the longest pause between two requests for a build's state. In between, the pause
/// is a hundredth of the build's time so far, so that polling does not slow the build down.
const POLL_INTERVAL: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(200)];

/// Everything that runs, in the order in which it is stopped.
pub(super) struct Fixture {
    docker: std::path::PathBuf,
    port: u16,
    token: String,
    image: String,
    _runner: ChildProcess,
    _coordinator: ChildProcess,
    _git: ChildProcess,
    _registry: Registry,
    _engine: Docker,
    dir: TempDir,
}

impl Fixture {
    pub(super) async fn start() -> Result<Self> {
        for (program, package) in [("busybox", "busybox-static"), ("git", "git")] {
            setup::program(program, package).await?;
        }
        let engine = setup::docker(Lifetime::Bound).await?;
        let docker = docker_with_buildkit().await?;
        let registry = Registry::open().await?;
        let dir = tempfile::Builder::new()
            .prefix("slipway-bench-")
            .tempdir()?;
        let work = dir.path().join("api");
        std::fs::create_dir(&work)?;
        let busybox = find_program("busybox").context("busybox is not installed")?;
        std::fs::copy(busybox, work.join("busybox"))?;
        git(&work, &["init", "--quiet", "--initial-branch=main"]).await?;
        let git_port = free_port()?;
        let git = serve_git(dir.path(), git_port)?;

        let port = free_port()?;
        let data = dir.path().join("data");
        let mut coordinator = program("slipway-coordinator")?;
        coordinator
            .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
            .args(["--allow-net", "127.0.0.0/8"])
            .args(["--registry", &registry.address(), "--data-dir"])
            .arg(&data);
        let mut coordinator = ChildProcess::start(coordinator, Signal::SIGTERM, GRACE)?;
        let ready = || async {
            let status = probe::http(port, "GET", "/readyz").await?;
            ensure!(
                status == 200,
                "the coordinator answered with status {status}"
            );
            Ok(())
        };
        let log = scratch()?.join("bench-slipway-coordinator.log");
        probe::until_ready(&mut coordinator, &log, Duration::from_secs(30), ready).await?;
        let config = dir.path().join("runner.toml");
        let mut register = program("slipway-runner")?;
        register
            .args(["register", "--url", &format!("http://127.0.0.1:{port}")])
            .arg("--registration-token-file")
            .arg(data.join("registration-token"))
            .arg("--config")
            .arg(&config);
        let mut register = ChildProcess::start(register, Signal::SIGTERM, GRACE)?;
        let registered = register.child().wait().await?;
        ensure!(registered.success(), "could not register the runner");
        let mut runner = program("slipway-runner")?;
        runner.args(["run", "--allow-net", "127.0.0.0/8", "--config"]);
        runner.arg(&config);
        let fixture = Self {
            docker,
            port,
            token: std::fs::read_to_string(data.join("admin-token"))?
                .trim()
                .to_owned(),
            image: format!("{}/bench/hand:main", registry.address()),
            _runner: ChildProcess::start(runner, Signal::SIGTERM, GRACE)?,
            _coordinator: coordinator,
            _git: git,
            _registry: registry,
            _engine: engine,
            dir,
        };
        fixture
            .request("POST", "/v1/namespaces", &json!({"name": "bench"}))
            .await?;
        let url = format!("git://127.0.0.1:{git_port}/api");
        let project = json!({"namespace": "bench", "name": "farm", "repo_url": url});
        fixture.request("POST", "/v1/projects", &project).await?;
        Ok(fixture)
    }

    fn work(&self) -> std::path::PathBuf {
        self.dir.path().join("api")
    }

    /// Commits the files of a new build; returns the commit's id.
    pub(super) async fn commit(&self, dockerfile: &str, round: &str) -> Result<String> {
        let work = self.work();
        std::fs::write(work.join("Dockerfile"), dockerfile)?;
        std::fs::write(work.join("round"), round)?;
        std::fs::write(work.join(".dockerignore"), ".git\n")?;
        git(&work, &["add", "--all"]).await?;
        git(&work, &["commit", "--quiet", "--message", round]).await?;
        // Git servers keep pushed objects in packs.
        git(&work, &["repack", "-a", "-d", "--quiet"]).await?;
        let sha = git(&work, &["rev-parse", "HEAD"]).await?;
        Ok(sha.trim().to_owned())
    }

    /// Builds a commit on the farm; returns how long it took.
    pub(super) async fn build_with_farm(&self, sha: &str) -> Result<Duration> {
        let since = Instant::now();
        let request = json!({"sha": sha, "ref": "main"});
        let build = self
            .request("POST", "/v1/projects/bench/farm/builds", &request)
            .await?;
        let id = build["id"].as_str().context("the build has no id")?;
        let path = format!("/v1/builds/{id}");
        while since.elapsed() < TIMEOUT {
            let build = self.request("GET", &path, &Value::Null).await?;
            match build["state"].as_str() {
                Some("succeeded") => return Ok(since.elapsed()),
                Some("pending" | "running") => {
                    let [shortest, longest] = POLL_INTERVAL;
                    let pause = (since.elapsed() / 100).clamp(shortest, longest);
                    tokio::time::sleep(pause).await;
                }
                _ => bail!("the farm's build did not succeed: {build:#}"),
            }
        }
        bail!("the farm's build did not finish within {TIMEOUT:?}");
    }

    /// Builds and pushes the last commit with the `docker` command; returns how long it took.
    pub(super) async fn build_with_docker(&self) -> Result<Duration> {
        let since = Instant::now();
        let mut build = Command::new(&self.docker);
        build.args(["build", "--tag", &self.image]).arg(self.work());
        output_of(build.env("DOCKER_BUILDKIT", "1")).await?;
        let mut push = Command::new(&self.docker);
        output_of(push.args(["push", &self.image])).await?;
        let took = since.elapsed();
        let mut remove = Command::new(&self.docker);
        output_of(remove.args(["rmi", &self.image])).await?;
        Ok(took)
    }

    /// Sends a request to the coordinator and returns the JSON of a successful response.
    async fn request(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nPRIVATE-TOKEN: {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.token,
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        let (head, body) = response
            .split_once("\r\n\r\n")
            .context("the response is incomplete")?;
        ensure!(
            head.starts_with("HTTP/1.1 20"),
            "{method} {path}: {response}"
        );
        serde_json::from_str(body)
            .with_context(|| format!("{method} {path}: the response is not JSON: {body}"))
    }
}

/// Time for a program to end.
const GRACE: Duration = Duration::from_secs(20);

/// A release program of the farm, without the user's own `SLIPWAY_…` variables in its environment.
fn program(name: &str) -> Result<Command> {
    let scratch = scratch()?;
    let target = scratch
        .parent()
        .context("the scratch directory has no parent")?;
    let log = scratch.join(format!("bench-{name}.log"));
    let mut command = service(target.join("release").join(name), Lifetime::Bound, &log)?;
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SLIPWAY_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// Finds a `docker` command that builds with BuildKit; newer versions need a plugin for that.
async fn docker_with_buildkit() -> Result<std::path::PathBuf> {
    let dir = tempfile::tempdir()?;
    std::fs::write(
        dir.path().join("Dockerfile"),
        "FROM scratch\nCOPY Dockerfile /\n",
    )?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    for directory in std::env::split_paths(&path) {
        let docker = directory.join("docker");
        let mut build = Command::new(&docker);
        build.args(["build", "--quiet"]).arg(dir.path());
        if docker.is_file() && output_of(build.env("DOCKER_BUILDKIT", "1")).await.is_ok() {
            return Ok(docker);
        }
    }
    bail!("no `docker` command builds with BuildKit: install docker.io or docker-buildx")
}

/// Serves the repositories in `dir`, with partial clones enabled as hosted services have them.
fn serve_git(dir: &Path, port: u16) -> Result<ChildProcess> {
    let git = find_program("git").context("git is not installed")?;
    let mut daemon = service(git, Lifetime::Bound, &scratch()?.join("bench-git.log"))?;
    daemon
        .args([
            "-c",
            "uploadpack.allowFilter=true",
            "daemon",
            "--export-all",
            "--reuseaddr",
            "--listen=127.0.0.1",
        ])
        .arg(format!("--port={port}"))
        .arg(format!("--base-path={}", dir.display()));
    ChildProcess::start(daemon, Signal::SIGTERM, GRACE)
}

async fn git(dir: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command
        .args([
            "-c",
            "user.name=Bench",
            "-c",
            "user.email=bench@example.com",
        ])
        .args(arguments)
        .current_dir(dir);
    output_of(&mut command).await
}
