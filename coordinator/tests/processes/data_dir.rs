//! A data directory belongs to one coordinator, unless the database is on PostgreSQL.

use std::path::Path;
use std::process::{Command, Output};

use slipway_testkit::{Backend, on_both_back_ends};

use crate::farm::{FarmDir, build, project, show};

/// Runs a coordinator that must fail.
fn fails(command: &str, data_dir: &Path, arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = Command::new(env!("CARGO_BIN_EXE_slipway-coordinator"))
        .args([command, "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data_dir)
        .args(arguments)
        .output()
        .unwrap();
    let log = String::from_utf8(stderr).unwrap();
    assert!(!status.success(), "it started: {log}");
    log
}

#[tokio::test]
async fn second_coordinator_on_the_same_sqlite_directory_is_refused() {
    let farm_dir = FarmDir::new(Backend::Sqlite).await;
    let mut farm = farm_dir.coordinator("only", &[]).await;
    project(&farm, &[]).await;
    let id = build(&farm).await;
    let process = format!("another coordinator (process {})", farm.id());
    let elsewhere = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}/slipway.db", farm_dir.dir.path().display());
    let other_database = format!("sqlite://{}/other.db", elsewhere.path().display());
    for (command, data_dir, arguments) in [
        ("serve", farm_dir.dir.path(), &[][..]),
        ("migrate", farm_dir.dir.path(), &[]),
        ("serve", elsewhere.path(), &["--database-url", &database]),
        (
            "serve",
            farm_dir.dir.path(),
            &["--database-url", &other_database],
        ),
        (
            "serve",
            farm_dir.dir.path(),
            &["--database-url", "postgres://nobody@127.0.0.1:1/none"],
        ),
    ] {
        let log = fails(command, data_dir, arguments);
        assert!(log.contains(&process), "{command} {arguments:?}: {log}");
        assert!(!log.contains("Listening on"), "{log}");
    }
    assert_eq!(show(&farm, &id).await["state"], "pending");
    // The lock of a killed process does not stay.
    farm.kill();
    farm.start_again().await;
    assert_eq!(show(&farm, &id).await["state"], "pending");
}

/// Starts a farm, changes its key, and returns why the next start fails.
async fn start_with_changed_key(backend: Backend, change: impl FnOnce(&Path)) -> String {
    let farm_dir = FarmDir::new(backend).await;
    let mut farm = farm_dir.coordinator("only", &[]).await;
    farm.kill();
    let path = farm_dir.dir.path().join("seal-key");
    change(&path);
    let before = std::fs::read_to_string(&path).ok();
    let database = farm_dir.database_url();
    let arguments: Vec<&str> = database
        .iter()
        .flat_map(|url| ["--database-url", url])
        .collect();
    let log = fails("serve", farm_dir.dir.path(), &arguments);
    assert!(log.contains(path.to_str().unwrap()), "{log}");
    assert_eq!(std::fs::read_to_string(&path).ok(), before);
    log
}

on_both_back_ends!(
    no_new_seal_key_is_created_beside_a_database,
    seal_key_of_another_database_is_refused,
);

async fn no_new_seal_key_is_created_beside_a_database(backend: Backend) {
    let log = start_with_changed_key(backend, |path| std::fs::remove_file(path).unwrap()).await;
    assert!(log.contains("is missing"), "{log}");
}

async fn seal_key_of_another_database_is_refused(backend: Backend) {
    let other = "0a".repeat(32);
    let log = start_with_changed_key(backend, |path| std::fs::write(path, &other).unwrap()).await;
    assert!(log.contains("is not the one"), "{log}");
}

mod postgres_shared {
    use super::*;

    #[tokio::test]
    async fn coordinators_on_postgresql_share_a_directory() {
        let farm_dir = FarmDir::new(Backend::Postgres).await;
        let first = farm_dir.coordinator("first", &[]).await;
        let second = farm_dir.coordinator("second", &[]).await;
        project(&first, &[]).await;
        let id = build(&second).await;
        assert_eq!(show(&first, &id).await["state"], "pending");
        let database = format!("sqlite://{}/own.db", farm_dir.dir.path().display());
        let arguments = ["--database-url", &database];
        let log = fails("serve", farm_dir.dir.path(), &arguments);
        assert!(log.contains("another coordinator uses"), "{log}");
    }
}
