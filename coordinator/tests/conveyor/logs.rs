//! `GET /logs/…`: the log of a build, as it is written.
//!
//! See `docs/protocols/conveyor.md#follow-a-log`.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};
use tokio::time::timeout;

use crate::fixture::{Fixture, LIMIT, REPOSITORY, SHA};
use crate::read::unknown_identities;
use crate::scripted_runner::ScriptedRunner;

on_both_back_ends!(
    log_of_a_finished_build_is_complete_and_ends,
    slow_reader_delays_neither_other_readers_nor_the_build,
    log_contains_the_jobs_of_a_build_in_turn,
    log_of_a_canceled_build_ends,
    log_of_an_unknown_build_returns_404,
);

/// A log that is being read.
struct LogReader {
    response: reqwest::Response,
    text: Vec<u8>,
}

impl LogReader {
    async fn open(fixture: &Fixture, build: &Value) -> Self {
        let path = format!("/logs/{}", build["id"].as_str().unwrap());
        let response = fixture
            .request_as_admin(Method::GET, &path)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert!(header("content-type").starts_with("text/plain"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        Self {
            response,
            text: Vec::new(),
        }
    }

    /// Reads until the text ends with `end`.
    async fn read_until(&mut self, end: &str, limit: Duration) {
        let reading = async {
            while !self.text.ends_with(end.as_bytes()) {
                let piece = self.response.chunk().await.unwrap();
                self.text
                    .extend_from_slice(&piece.expect("the log ended early"));
            }
        };
        let read = timeout(limit, reading).await;
        let text = String::from_utf8_lossy(&self.text);
        assert!(read.is_ok(), "{end:?} did not arrive: {text:?}");
    }

    /// Reads to the end and returns the whole text.
    async fn read_to_end(mut self, limit: Duration) -> String {
        let reading = async {
            while let Some(piece) = self.response.chunk().await.unwrap() {
                self.text.extend_from_slice(&piece);
            }
        };
        timeout(limit, reading)
            .await
            .expect("the log did not end in time");
        String::from_utf8(self.text).unwrap()
    }
}

async fn log_of_a_finished_build_is_complete_and_ends(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let build = fixture.create_build().await;
    let mut claim = runner.claim().await;
    // More than the coordinator reads at a time, in pieces that do not divide it evenly.
    let line = "0123456789 abcdefghijklmnopqrstuvwxyz\n";
    let long = line.repeat(40_000);
    for piece in long.as_bytes().chunks(700_001) {
        claim.append_trace(piece.to_vec()).await;
    }
    claim.succeed().await;
    let text = LogReader::open(&fixture, &build)
        .await
        .read_to_end(LIMIT)
        .await;
    assert_eq!(text.len(), long.len());
    assert!(text == long);
    let by_commit = fixture
        .get(&format!("/logs/{REPOSITORY}@{SHA}"))
        .await
        .is(200);
    assert!(by_commit.text() == long);
}

async fn slow_reader_delays_neither_other_readers_nor_the_build(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let build = fixture.create_build().await;
    let mut claim = runner.claim().await;
    // More than the network buffers between coordinator and client hold.
    let line = "x".repeat(1023) + "\n";
    let many = line.repeat(16 * 1024);
    let slow = LogReader::open(&fixture, &build).await;
    for piece in many.as_bytes().chunks(4 << 20) {
        claim.append_trace(piece.to_vec()).await;
    }
    let mut quick = LogReader::open(&fixture, &build).await;
    claim.append_trace("last\n").await;
    quick.read_until("last\n", LIMIT).await;
    claim.succeed().await;
    let whole = many + "last\n";
    assert!(quick.read_to_end(LIMIT).await == whole);
    assert_eq!(fixture.read_build(&build).await["state"], "succeeded");
    assert!(slow.read_to_end(LIMIT).await == whole);
}

async fn log_contains_the_jobs_of_a_build_in_turn(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let runner = ScriptedRunner::register(&fixture.farm).await;
    let jobs = [("base", vec![]), ("app", vec!["base"])].map(
        |(name, needs)| json!({"name": name, "needs": needs, "spec": {"kind": "image_build"}}),
    );
    let path = format!("/v1/projects/{REPOSITORY}/pipelines/default");
    let body = json!({"definition": {"jobs": jobs}});
    fixture.native_api(Method::PUT, &path, body).await;
    let build = fixture.create_build().await;
    let mut reader = LogReader::open(&fixture, &build).await;
    for name in ["base\n", "app\n"] {
        let mut claim = runner.claim().await;
        claim.append_trace(name).await;
        reader.read_until(name, LIMIT).await;
        claim.succeed().await;
    }
    assert_eq!(reader.read_to_end(LIMIT).await, "base\napp\n");
    // The build has two images; the first one is its artifact.
    let image = fixture
        .get(&format!("/artifacts/{REPOSITORY}@{SHA}"))
        .await
        .is(200);
    let image = image.json()["image"].as_str().unwrap().to_owned();
    assert!(image.contains("/base:"), "{image}");
}

async fn log_of_a_canceled_build_ends(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let build = fixture.create_build().await;
    let reader = LogReader::open(&fixture, &build).await;
    let cancel = format!("/v1/builds/{}/cancel", build["id"].as_str().unwrap());
    fixture.native_api(Method::POST, &cancel, Value::Null).await;
    assert_eq!(reader.read_to_end(LIMIT).await, "");
}

async fn log_of_an_unknown_build_returns_404(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture.create_build().await;
    for name in unknown_identities() {
        fixture
            .get(&format!("/logs/{name}"))
            .await
            .fails_with_not_found();
    }
}

/// Tests that measure delays. They run alone: see `.config/nextest.toml`.
mod timing {
    use super::*;

    on_both_back_ends!(
        lines_arrive_within_a_second_and_the_log_ends_with_the_build,
        log_of_a_pending_build_waits_for_its_first_line,
    );

    /// How long a line, and the end of the log, may take.
    const SECOND: Duration = Duration::from_secs(1);

    async fn lines_arrive_within_a_second_and_the_log_ends_with_the_build(backend: Backend) {
        let fixture = Fixture::new(backend).await;
        let runner = ScriptedRunner::register(&fixture.farm).await;
        let build = fixture.create_build().await;
        let mut claim = runner.claim().await;
        let mut reader = LogReader::open(&fixture, &build).await;
        for line in ["one\n", "two\n", "three\n"] {
            claim.append_trace(line).await;
            reader.read_until(line, SECOND).await;
        }
        claim.succeed().await;
        assert_eq!(reader.read_to_end(SECOND).await, "one\ntwo\nthree\n");
    }

    async fn log_of_a_pending_build_waits_for_its_first_line(backend: Backend) {
        let fixture = Fixture::new(backend).await;
        let build = fixture.create_build().await;
        let mut reader = LogReader::open(&fixture, &build).await;
        let runner = ScriptedRunner::register(&fixture.farm).await;
        let mut claim = runner.claim().await;
        claim.append_trace("hello\n").await;
        reader.read_until("hello\n", SECOND).await;
        claim.fail().await;
        assert_eq!(reader.read_to_end(SECOND).await, "hello\n");
    }
}
