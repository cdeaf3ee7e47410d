//! What keeps a coordinator from starting is said, before it listens.

use std::process::Command;

fn refused(arguments: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_slipway-coordinator"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "it started: {said}");
    assert!(!said.contains("serves on"), "it listened: {said}");
    said
}

#[test]
fn a_database_that_cannot_be_opened_is_named() {
    let said = refused(&["--database-url", "sqlite:///proc/none/slipway.db"]);
    assert!(said.contains("could not open the database"), "{said}");
    let said = refused(&["--database-url", "postgres://nobody@127.0.0.1:1/none"]);
    assert!(said.contains("could not open the database"), "{said}");
}

#[test]
fn a_database_of_another_kind_is_refused_with_what_was_expected() {
    let said = refused(&["--database-url", "mysql://localhost/slipway"]);
    assert!(
        said.contains("expected sqlite:///path/to/file.db or postgres://"),
        "{said}"
    );
    let said = refused(&["--poll-wait-s", "soon"]);
    assert!(
        said.contains("expected a whole number of seconds above 0"),
        "{said}"
    );
}
