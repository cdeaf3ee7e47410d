//! The runner's binary: registration and shutdown on signals.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tokio::process::{Child, Command};

use crate::fake_coordinator::FakeCoordinator;

fn program(config: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway-runner"));
    command
        .args(args)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn succeeds(config: &Path, args: &[&str]) -> bool {
    program(config, args).status().await.unwrap().success()
}

async fn register(fake: &FakeCoordinator, config: &Path, token: &str) -> bool {
    let mut command = program(config, &["register", "--url", &fake.url(), "--tags", "a,b"]);
    command.env("SLIPWAY_REGISTRATION_TOKEN", token);
    command.status().await.unwrap().success()
}

fn signal(child: &Child) {
    let id = i32::try_from(child.id().unwrap()).unwrap();
    kill(Pid::from_raw(id), Signal::SIGTERM).unwrap();
}

async fn assert_exits_successfully(child: &mut Child) {
    let ended = tokio::time::timeout(Duration::from_secs(30), child.wait());
    assert!(ended.await.unwrap().unwrap().success());
}

#[tokio::test]
async fn register_verify_and_unregister() {
    let fake = FakeCoordinator::start();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("runner.toml");
    assert!(!register(&fake, &config, "slreg-wrong").await);
    assert!(!config.exists());
    assert!(register(&fake, &config, "slreg-right").await);
    let mode = config.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(succeeds(&config, &["verify"]).await);
    assert!(succeeds(&config, &["unregister"]).await);
    assert!(!config.exists());
    assert!(!succeeds(&config, &["verify"]).await);
}

#[tokio::test]
async fn the_first_sigterm_drains_and_the_second_stops_running_jobs() {
    let fake = FakeCoordinator::start();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("runner.toml");
    assert!(register(&fake, &config, "slreg-right").await);
    let continue_file = dir.path().join("continue");
    let run = ["run", "--executor", "scripted", "--min-free-disk-mb", "0"];
    let building = "building".to_owned();
    for (id, file) in [(1, continue_file.to_str().unwrap()), (2, "/nonexistent")] {
        let mut child = program(&config, &run).spawn().unwrap();
        fake.enqueue(id, &[("SCRIPT_WAIT_FILE", file)], json!({}));
        fake.until(id, |held| held.phases.contains(&building)).await;
        signal(&child);
        if id == 1 {
            std::fs::write(&continue_file, "").unwrap();
            let held = fake.until_reported(id).await;
            assert_eq!(held.status, "success");
        } else {
            // Pending signals of one kind are merged, so the second is repeated.
            let stopped = async {
                while child.try_wait().unwrap().is_none() {
                    signal(&child);
                    tokio::task::yield_now().await;
                }
            };
            let limit = Duration::from_secs(30);
            tokio::time::timeout(limit, stopped).await.unwrap();
            let report = fake.until_reported(id).await.report.unwrap();
            assert_eq!(report.failure_reason.as_deref(), Some("runner_fault"));
        }
        assert_exits_successfully(&mut child).await;
        fake.until_no_poll().await;
    }
    fake.assert_no_violations();
}

#[tokio::test]
async fn register_never_overwrites_another_programs_file() {
    let fake = FakeCoordinator::start();
    let dir = tempfile::tempdir().unwrap();
    let login = dir.path().join("config.toml");
    let content = "url = \"http://a\"\ntoken = \"slpat-1\"\n";
    std::fs::write(&login, content).unwrap();
    assert!(!register(&fake, &login, "slreg-right").await);
    assert_eq!(std::fs::read_to_string(&login).unwrap(), content);
    let own = dir.path().join("runner.toml");
    // The variable of the runner goes before the one that it shares with the command line.
    for (variables, is_registered) in [
        (&[("SLIPWAY_CONFIG", &login)][..], false),
        (
            &[("SLIPWAY_CONFIG", &login), ("SLIPWAY_RUNNER_CONFIG", &own)],
            true,
        ),
        (&[("SLIPWAY_CONFIG", &own)], true),
        (&[], false),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway-runner"));
        command
            .args(["register", "--url", &fake.url()])
            .env_remove("SLIPWAY_CONFIG")
            .env("SLIPWAY_REGISTRATION_TOKEN", "slreg-right")
            .envs(variables.iter().copied())
            .stdin(Stdio::null());
        let output = command.output().await.unwrap();
        assert_eq!(output.status.success(), is_registered, "{output:?}");
        if !is_registered {
            let log = String::from_utf8(output.stderr).unwrap();
            assert!(log.contains("SLIPWAY_RUNNER_CONFIG"), "{log}");
        }
    }
    assert_eq!(std::fs::read_to_string(&login).unwrap(), content);
    assert!(succeeds(&own, &["verify"]).await);
}

#[tokio::test]
async fn hangup_does_not_end_a_runner_without_a_terminal() {
    let fake = FakeCoordinator::start();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("runner.toml");
    assert!(register(&fake, &config, "slreg-right").await);
    let continue_file = dir.path().join("continue");
    let run = ["run", "--executor", "scripted", "--min-free-disk-mb", "0"];
    // `setsid` leaves the terminal in which the tests run, if there is one.
    let mut command = Command::new("setsid");
    let mut child = command
        .arg(env!("CARGO_BIN_EXE_slipway-runner"))
        .args(run)
        .arg("--config")
        .arg(&config)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let file = [("SCRIPT_WAIT_FILE", continue_file.to_str().unwrap())];
    fake.enqueue(1, &file, json!({}));
    let building = "building".to_owned();
    fake.until(1, |held| held.phases.contains(&building)).await;
    // `setsid` becomes the program: it does not lead a process group, so it need not fork.
    let runner = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    kill(runner, Signal::SIGHUP).unwrap();
    std::fs::write(&continue_file, "").unwrap();
    assert_eq!(fake.until_reported(1).await.status, "success");
    // It still claims jobs.
    fake.enqueue(2, &file, json!({}));
    assert_eq!(fake.until_reported(2).await.status, "success");
    kill(runner, Signal::SIGQUIT).unwrap();
    assert_exits_successfully(&mut child).await;
}
