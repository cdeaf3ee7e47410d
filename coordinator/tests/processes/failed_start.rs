//! A coordinator that cannot start says why, before it listens.

use std::process::Command;

/// Starts a coordinator that must fail; returns its output.
fn failed_start(arguments: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_slipway-coordinator"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .args(arguments)
        .output()
        .unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "it started: {log}");
    assert!(!log.contains("Listening on"), "it listened: {log}");
    log
}

#[test]
fn start_fails_if_the_database_cannot_be_opened() {
    let log = failed_start(&["--database-url", "sqlite:///proc/none/slipway.db"]);
    assert!(log.contains("could not open the database"), "{log}");
    let log = failed_start(&["--database-url", "postgres://nobody@127.0.0.1:1/none"]);
    assert!(log.contains("could not open the database"), "{log}");
}

#[test]
fn start_names_the_expected_format_of_an_invalid_option() {
    let log = failed_start(&["--database-url", "mysql://localhost/slipway"]);
    assert!(
        log.contains("expected sqlite:///path/to/file.db or postgres://"),
        "{log}"
    );
    let log = failed_start(&["--poll-wait-s", "soon"]);
    assert!(
        log.contains("expected a whole number of seconds above 0"),
        "{log}"
    );
}
