//! Checks 29 to 33: the text of builds.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use slipway_testkit::{Backend, on_both_back_ends};
use tokio::time::timeout;

use crate::client::{LIMIT, REPOSITORY, SHA, Yard};
use crate::hands::Hands;

on_both_back_ends!(
    check_29_the_text_of_a_finished_build_is_whole_and_ends,
    check_30_lines_come_as_they_are_written_and_the_end_comes_with_the_build,
    check_31_the_text_of_a_pending_build_is_waited_for,
    check_33_a_slow_reader_holds_up_nobody,
    every_job_of_a_build_is_shown_in_turn,
    the_text_of_a_canceled_build_ends,
);

/// What the contract gives a line, and the end.
const SECOND: Duration = Duration::from_secs(1);

/// The text of a build as it comes.
struct Reader {
    answer: reqwest::Response,
    text: Vec<u8>,
}

impl Reader {
    async fn of(yard: &Yard, build: &Value) -> Self {
        let path = format!("/logs/{}", build["id"].as_str().unwrap());
        let answer = yard.curl(Method::GET, &path).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert!(header("content-type").starts_with("text/plain"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        Self {
            answer,
            text: Vec::new(),
        }
    }

    /// Reads until the text ends like this.
    async fn until(&mut self, end: &str, limit: Duration) {
        let reading = async {
            while !self.text.ends_with(end.as_bytes()) {
                let piece = self.answer.chunk().await.unwrap();
                self.text.extend_from_slice(&piece.expect("more text"));
            }
        };
        let read = timeout(limit, reading).await;
        let text = String::from_utf8_lossy(&self.text);
        assert!(read.is_ok(), "{end:?} did not come: {text:?}");
    }

    /// Reads to the end, and gives all of the text.
    async fn rest(mut self, limit: Duration) -> String {
        let reading = async {
            while let Some(piece) = self.answer.chunk().await.unwrap() {
                self.text.extend_from_slice(&piece);
            }
        };
        timeout(limit, reading).await.expect("the text ends");
        String::from_utf8(self.text).unwrap()
    }
}

async fn check_29_the_text_of_a_finished_build_is_whole_and_ends(backend: Backend) {
    let yard = Yard::new(backend).await;
    let hands = Hands::of(&yard.farm).await;
    let build = yard.build().await;
    let mut work = hands.claim().await;
    // More than is held at a time, in pieces that do not fit evenly.
    let line = "0123456789 abcdefghijklmnopqrstuvwxyz\n";
    let long = line.repeat(40_000);
    for piece in long.as_bytes().chunks(700_001) {
        work.say(piece.to_vec()).await;
    }
    work.succeed().await;
    let text = Reader::of(&yard, &build).await.rest(LIMIT).await;
    assert_eq!(text.len(), long.len());
    assert!(text == long);
    let by_commit = yard.get(&format!("/logs/{REPOSITORY}@{SHA}")).await.is(200);
    assert!(by_commit.text() == long);
}

async fn check_30_lines_come_as_they_are_written_and_the_end_comes_with_the_build(
    backend: Backend,
) {
    let yard = Yard::new(backend).await;
    let hands = Hands::of(&yard.farm).await;
    let build = yard.build().await;
    let mut work = hands.claim().await;
    let mut reader = Reader::of(&yard, &build).await;
    for line in ["one\n", "two\n", "three\n"] {
        work.say(line).await;
        reader.until(line, SECOND).await;
    }
    work.succeed().await;
    assert_eq!(reader.rest(SECOND).await, "one\ntwo\nthree\n");
}

async fn check_31_the_text_of_a_pending_build_is_waited_for(backend: Backend) {
    let yard = Yard::new(backend).await;
    let build = yard.build().await;
    let mut reader = Reader::of(&yard, &build).await;
    let hands = Hands::of(&yard.farm).await;
    let mut work = hands.claim().await;
    work.say("hello\n").await;
    reader.until("hello\n", SECOND).await;
    work.fail().await;
    assert_eq!(reader.rest(SECOND).await, "hello\n");
}

async fn check_33_a_slow_reader_holds_up_nobody(backend: Backend) {
    let yard = Yard::new(backend).await;
    let hands = Hands::of(&yard.farm).await;
    let build = yard.build().await;
    let mut work = hands.claim().await;
    // More than the buffers between the two ends take.
    let line = "x".repeat(1023) + "\n";
    let many = line.repeat(16 * 1024);
    let slow = Reader::of(&yard, &build).await;
    for piece in many.as_bytes().chunks(4 << 20) {
        work.say(piece.to_vec()).await;
    }
    let mut quick = Reader::of(&yard, &build).await;
    work.say("last\n").await;
    quick.until("last\n", LIMIT).await;
    work.succeed().await;
    let whole = many + "last\n";
    assert!(quick.rest(LIMIT).await == whole);
    assert_eq!(yard.show(&build).await["state"], "succeeded");
    assert!(slow.rest(LIMIT).await == whole);
}

async fn every_job_of_a_build_is_shown_in_turn(backend: Backend) {
    let yard = Yard::new(backend).await;
    let hands = Hands::of(&yard.farm).await;
    let jobs = [("base", vec![]), ("app", vec!["base"])].map(|(name, needs)| {
        serde_json::json!({"name": name, "needs": needs, "spec": {"kind": "image_build"}})
    });
    let path = format!("/v1/projects/{REPOSITORY}/pipelines/default");
    let body = serde_json::json!({"definition": {"jobs": jobs}});
    yard.native(Method::PUT, &path, body).await;
    let build = yard.build().await;
    let mut reader = Reader::of(&yard, &build).await;
    for name in ["base\n", "app\n"] {
        let mut work = hands.claim().await;
        work.say(name).await;
        reader.until(name, LIMIT).await;
        work.succeed().await;
    }
    assert_eq!(reader.rest(LIMIT).await, "base\napp\n");
    // Several images: the first one is the build's.
    let image = yard
        .get(&format!("/artifacts/{REPOSITORY}@{SHA}"))
        .await
        .is(200);
    let image = image.json()["image"].as_str().unwrap().to_owned();
    assert!(image.contains("/base:"), "{image}");
}

async fn the_text_of_a_canceled_build_ends(backend: Backend) {
    let yard = Yard::new(backend).await;
    let build = yard.build().await;
    let reader = Reader::of(&yard, &build).await;
    let cancel = format!("/v1/builds/{}/cancel", build["id"].as_str().unwrap());
    yard.native(Method::POST, &cancel, Value::Null).await;
    assert_eq!(reader.rest(LIMIT).await, "");
}
