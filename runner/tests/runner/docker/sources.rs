//! Sources that were handed in, in the place of a commit.

use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use slipway_test_engine::shell_image;

use super::runner;
use super::scripts::{needing, script, trace, zipped};
use crate::fake_coordinator::{Fake, source_token, until_empty};

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

/// A job that works on the sources `of` a job, which the farm has when there is a token.
fn job(fake: &Fake, of: i64, token: Option<String>, sha256: &str) -> Value {
    let source = json!({
        "url": format!("{}/sources/{of}.tar.gz", fake.url()), "token": token, "sha256": sha256,
    });
    let spec = script(shell_image(), &["ls", "cat *"], Value::Null);
    // Nothing is looked for in git.
    json!({
        "repo_url": "", "sha": "0".repeat(40),
        "own": {"spec": spec, "build": "b", "number": 1, "attempt": 1, "lease_s": 15,
                "source": source},
    })
}

#[tokio::test]
async fn sources_that_were_handed_in_are_worked_on_in_the_place_of_a_commit() {
    let fake = Fake::start();
    let runner = runner(&fake).await;
    let bytes = tar("here", "handed in\n");
    let sum = hex::encode_upper(Sha256::digest(&bytes));
    fake.change(|state| {
        state.sources.insert(1, bytes);
        state.source_answers.extend([502, 503]);
        state.archives.insert(7, zipped(&[("later", "needed\n")]));
    });
    let of_farm = job(&fake, 1, Some(source_token(1)), &sum);
    fake.enqueue(1, &[], needing(of_farm, 7));
    let held = fake.until_reported(1).await;
    assert_eq!(held.status, "success", "{}", trace(&held));
    let said = "$ ls\nhere\nlater\n$ cat *\nhanded in\nneeded\n";
    assert!(trace(&held).contains(said), "{}", trace(&held));
    // At an address that somebody named they are fetched as a package is, without a token.
    fake.change(|state| state.source_answers.push_back(502));
    fake.enqueue(2, &[], job(&fake, 1, None, ""));
    let held = fake.until_reported(2).await;
    assert_eq!(held.status, "success", "{}", trace(&held));
    assert!(trace(&held).contains("Once more: "), "{}", trace(&held));
    assert!(trace(&held).contains("handed in\n"), "{}", trace(&held));
    until_empty(&runner.jobs()).await;
    fake.assert_nothing_wrong();
    runner.drain(&fake).await;
}

#[tokio::test]
async fn sources_that_are_not_what_was_meant_are_told_so() {
    let fake = Fake::start();
    let runner = runner(&fake).await;
    let other = "0a".repeat(32);
    fake.change(|state| {
        state.sources.insert(1, tar("here", "x"));
        state.sources.insert(2, b"no archive".to_vec());
    });
    for (id, of, sum, words) in [
        (1, 1, other.as_str(), other.as_str()),
        (2, 2, "", "cannot be used"),
        (3, 3, "", "not there any more"),
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
