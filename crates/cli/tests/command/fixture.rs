//! A farm for one test, and a directory in which the program runs.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use slipway_coordinator::Config;
use slipway_domain::{JobId, RegistrationToken, ReportedResult};
use slipway_farm::{About, ClaimedJob, Ended, Poll, PollAnswer, Report, Runner, RunnerRequest};
use slipway_testkit::{Backend, TestFarm, wait_for};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// The commit that tests build. A full SHA needs no request to a repository.
pub(crate) const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

pub(crate) struct Fixture {
    pub(crate) farm: TestFarm,
    pub(crate) folder: TempDir,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// Starts a farm with another configuration.
    async fn with(adjust: impl FnOnce(&mut Config)) -> Self {
        Self {
            farm: TestFarm::start_with(Backend::Sqlite, adjust).await,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Starts a farm and logs in as `root`.
    pub(crate) async fn logged_in() -> Self {
        Self::logged_in_with(|_| {}).await
    }

    /// Starts a farm with another configuration and logs in as `root`.
    pub(crate) async fn logged_in_with(adjust: impl FnOnce(&mut Config)) -> Self {
        let fixture = Self::with(adjust).await;
        let token = fixture.folder.path().join("token");
        std::fs::write(&token, &fixture.farm.admin_token).unwrap();
        let (url, token) = (fixture.farm.url(""), token.display().to_string());
        let output = fixture
            .run(&["login", "--url", &url, "--token-file", &token])
            .await;
        assert!(
            text(&output.stdout).contains("Logged in as root"),
            "{output:?}"
        );
        fixture
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("config/slipway.toml")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command
            .args(arguments)
            .env_clear()
            .env("SLIPWAY_CLI_CONFIG", self.config())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs the program until it exits, with empty standard input.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).output().await.unwrap()
    }

    /// Runs the program with `--json`, and returns its output.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[&["--json"], arguments].concat()).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) async fn runner(&self) -> Runner {
        let token = RegistrationToken::presented(&self.farm.registration_token);
        let request = RunnerRequest {
            description: "test-runner".to_owned(),
            run_untagged: true,
            heartbeat: true,
            about: About {
                architecture: Some("amd64".to_owned()),
                image_archives: true,
                ..About::default()
            },
            ..RunnerRequest::default()
        };
        let farm = self.farm.farm();
        farm.register_runner(&token, request).await.unwrap().0
    }

    pub(crate) async fn claim(&self, runner: &Runner) -> ClaimedJob {
        let farm = self.farm.farm();
        wait_for(
            Duration::from_secs(30),
            "a job is pending",
            async || match farm.poll(runner, Poll::default()).await.unwrap() {
                PollAnswer::Job(job) => Some(*job),
                PollAnswer::Nothing { .. } => None,
                PollAnswer::Paused => panic!("the runner is paused"),
            },
        )
        .await
    }

    pub(crate) async fn append(&self, job: &ClaimedJob, start: u64, text: &'static str) {
        let bytes = Bytes::from_static(text.as_bytes());
        let farm = self.farm.farm();
        let access = farm.job_access(job.job.id, &job.token).await.unwrap();
        farm.append_trace(&access, start, bytes).await.unwrap();
    }

    pub(crate) async fn end(&self, runner: &Runner, job: JobId, result: ReportedResult) {
        let ended = Ended {
            result,
            message: None,
            trace: None,
            image: None,
            exit_code: None,
            build_steps: Vec::new(),
        };
        let report = Report {
            ended: Some(ended),
            ..Report::default()
        };
        self.farm.farm().report(runner, job, report).await.unwrap();
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) async fn ended(child: Child) -> Output {
    let wait = tokio::time::timeout(Duration::from_secs(30), child.wait_with_output());
    wait.await.unwrap().unwrap()
}
