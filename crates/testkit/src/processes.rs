//! The real programs as processes, for tests that kill them.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::wait::wait_until;

/// Time for a program to become ready.
const READY: Duration = Duration::from_secs(30);

/// A process that is killed when this value is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program of this workspace that appends its output to the file `log`. It must be built.
    pub fn start(program: &str, arguments: &[&str], log: &Path) -> Self {
        let append = || {
            File::options()
                .create(true)
                .append(true)
                .open(log)
                .expect("a log file")
        };
        let child = Command::new(self::program(program))
            .args(arguments)
            .env("SLIPWAY_LOG", "info,actix_server=warn")
            // Most tests use repository URLs that no server answers; an argument overrides this.
            .env("SLIPWAY_PIPELINES_FROM_REPOSITORY", "false")
            // The servers of tests are on loopback.
            .env("SLIPWAY_ALLOW_NET", crate::outbound::LOOPBACK)
            .stdin(Stdio::null())
            .stdout(append())
            .stderr(append())
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {program}: {error}"));
        Self {
            child,
            log: log.to_owned(),
        }
    }

    /// Kills the process with `SIGKILL`, as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().expect("a process to kill");
        self.child.wait().expect("a process to wait for");
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its output so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("a log")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail if the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program of this workspace and waits for it.
pub fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(self::program(program))
        .args(arguments)
        .output()
        .expect("a program");
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The path of a program of this workspace. It must be built.
pub fn program(program: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("a target directory");
    let path = folder.join(program);
    assert!(
        path.exists(),
        "{} does not exist: run `cargo build --workspace` first",
        path.display()
    );
    path
}

/// A coordinator as a process. It keeps its port and its files when it restarts.
#[derive(Debug)]
pub struct CoordinatorProcess {
    dir: PathBuf,
    port: u16,
    arguments: Vec<String>,
    process: Option<Process>,
    http: reqwest::Client,
}

impl CoordinatorProcess {
    /// Starts a coordinator with its data in `dir`, and waits until it is ready.
    pub async fn start(dir: &Path, name: &str, arguments: &[&str]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = port.expect("a free port").port();
        let mut all = vec![
            "serve".to_owned(),
            "--listen".to_owned(),
            format!("127.0.0.1:{port}"),
        ];
        all.extend(["--data-dir".to_owned(), dir.display().to_string()]);
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let mut coordinator = Self {
            dir: dir.join(name),
            port,
            arguments: all,
            process: None,
            http: crate::http().build().expect("a client"),
        };
        coordinator.start_again().await;
        coordinator
    }

    /// Starts it again after [`CoordinatorProcess::kill`], and waits until it is ready.
    pub async fn start_again(&mut self) {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let log = self.dir.with_extension("log");
        self.process = Some(Process::start("slipway-coordinator", &arguments, &log));
        let url = self.url("/readyz");
        wait_until(READY, "the coordinator is ready", || async {
            self.http
                .get(&url)
                .send()
                .await
                .is_ok_and(|response| response.status() == 200)
        })
        .await;
    }

    /// The id of the process, which runs.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("a running process").id()
    }

    /// Kills the process with `SIGKILL`.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The content of a token file that the first start wrote.
    pub fn secret(&self, name: &str) -> String {
        let folder = self.dir.parent().expect("a data directory");
        std::fs::read_to_string(folder.join(name))
            .expect("a secret")
            .trim()
            .to_owned()
    }

    /// Sends a request to the native API as the administrator, and returns the JSON of a success.
    pub async fn api(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self
            .http
            .request(method, self.url(path))
            .header("PRIVATE-TOKEN", self.secret("admin-token"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("a response");
        let (status, text) = (response.status(), response.text().await.expect("a body"));
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Downloads a path of the native API as the administrator.
    pub async fn bytes(&self, path: &str) -> Vec<u8> {
        let request = self
            .http
            .get(self.url(path))
            .header("PRIVATE-TOKEN", self.secret("admin-token"));
        let response = request.send().await.expect("a response");
        assert!(
            response.status().is_success(),
            "{path}: {}",
            response.status()
        );
        response.bytes().await.expect("bytes").to_vec()
    }

    /// Registers a runner and starts it with the scripted executor.
    pub fn runner(&self, name: &str, concurrency: u32) -> Process {
        self.runner_with(
            name,
            &[
                "--executor",
                "scripted",
                "--concurrency",
                &concurrency.to_string(),
            ],
        )
    }

    /// Registers a runner and starts it with these arguments.
    pub fn runner_with(&self, name: &str, arguments: &[&str]) -> Process {
        self.runner_registered(name, &[], arguments)
    }

    /// Registers a runner with additional arguments, and starts it with others.
    pub fn runner_registered(
        &self,
        name: &str,
        registering: &[&str],
        arguments: &[&str],
    ) -> Process {
        let folder = self.dir.parent().expect("a data directory").to_owned();
        let config = folder.join(format!("{name}.toml"));
        let config = config.to_str().expect("a path in UTF-8");
        let (url, token) = (self.url(""), self.secret("registration-token"));
        let mut all = vec!["register", "--url", &url, "--registration-token", &token];
        all.extend(["--config", config, "--description", name]);
        all.extend(registering);
        run("slipway-runner", &all);
        let work = folder.join(format!("{name}.work"));
        let work = work.to_str().expect("a path in UTF-8");
        let mut all = vec!["run", "--config", config, "--work-dir", work];
        // Images that tests build in the engine and push to no registry.
        all.extend(["--local-images", "slipway-test/*"]);
        all.extend(arguments);
        Process::start("slipway-runner", &all, &folder.join(format!("{name}.log")))
    }
}
