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
