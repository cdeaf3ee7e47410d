//! Submitted sources instead of a commit.

use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use slipway_test_engine::shell_image;

use super::runner;
use super::scripts::{needing, script, trace, zipped};
use crate::fake_coordinator::{FakeCoordinator, source_token, until_empty};

/// A gzipped tar with one file.
fn tar(name: &str, content: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(name), content).unwrap();
    let output = Command::new("tar")
        .args(["-czf", "-", name])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}

/// A job with the submitted sources `of` a job. With a token, the farm stores them.
fn job(fake: &FakeCoordinator, of: i64, token: Option<String>, sha256: &str) -> Value {
    let source = json!({
        "url": format!("{}/sources/{of}.tar.gz", fake.url()), "token": token, "sha256": sha256,
    });
    let spec = script(shell_image(), &["ls", "cat *"], Value::Null);
    // Without a repository, an attempt to check out fails.
    json!({
        "repo_url": "", "sha": "0".repeat(40),
        "own": {"spec": spec, "build": "b", "number": 1, "attempt": 1, "lease_s": 15,
                "source": source},
    })
}

#[tokio::test]
async fn submitted_sources_are_unpacked_instead_of_a_commit() {
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let bytes = tar("here", "handed in\n");
    let sum = hex::encode_upper(Sha256::digest(&bytes));
    fake.change(|state| {
        state.sources.insert(1, bytes);
        state.source_answers.extend([502, 503]);
        state.artifacts.insert(7, zipped(&[("later", "needed\n")]));
    });
    let stored = job(&fake, 1, Some(source_token(1)), &sum);
    fake.enqueue(1, &[], needing(stored, 7));
    let held = fake.until_reported(1).await;
    assert_eq!(held.status, "success", "{}", trace(&held));
    let expected = "$ ls\nhere\nlater\n$ cat *\nhanded in\nneeded\n";
    assert!(trace(&held).contains(expected), "{}", trace(&held));
    // Sources at an external URL are fetched like packages, without a token.
    fake.change(|state| state.source_answers.push_back(502));
    fake.enqueue(2, &[], job(&fake, 1, None, ""));
    let held = fake.until_reported(2).await;
    assert_eq!(held.status, "success", "{}", trace(&held));
    assert!(trace(&held).contains("Retrying: "), "{}", trace(&held));
    assert!(trace(&held).contains("handed in\n"), "{}", trace(&held));
    until_empty(&runner.jobs_dir()).await;
    fake.assert_no_violations();
    runner.drain(&fake).await;
}

#[tokio::test]
async fn invalid_sources_fail_with_source_unavailable() {
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let other = "0a".repeat(32);
    fake.change(|state| {
        state.sources.insert(1, tar("here", "x"));
        state.sources.insert(2, b"no archive".to_vec());
    });
    for (id, of, sum, words) in [
        (1, 1, other.as_str(), other.as_str()),
        (2, 2, "", "cannot be used"),
        (3, 3, "", "no longer exist"),
    ] {
        fake.enqueue(id, &[], job(&fake, of, Some(source_token(of)), sum));
        let report = fake.until_reported(id).await.report.unwrap();
        let reason = report.failure_reason.as_deref();
        assert_eq!(reason, Some("source_unavailable"), "{id}");
        let message = report.failure_message.unwrap();
        assert!(message.contains(words), "{message}");
    }
    runner.drain(&fake).await;
}
