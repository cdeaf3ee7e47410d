//! Artifacts that are uploaded in pieces.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use slipway_protocol::ImageResult;
use slipway_runner::executor::{Artifact, ArtifactKind, Executor, Failure, Job};

use crate::fake_coordinator::FakeCoordinator;
use crate::fake_coordinator::pieces::Fate;
use crate::job_lifecycle::Runner;

const PIECE: usize = 8 << 20;

/// Leaves a file of this many bytes.
struct LeavesFile(usize);

#[async_trait]
impl Executor for LeavesFile {
    fn name(&self) -> &'static str {
        "leaves a file"
    }

    async fn remove_leftovers(&self) -> Result<(), String> {
        Ok(())
    }

    async fn prepare(&self, _job: &Job) -> Result<(), Failure> {
        Ok(())
    }

    async fn run(&self, _job: &Job) -> Result<Option<ImageResult>, Failure> {
        Ok(None)
    }

    async fn collect(
        &self,
        job: &Job,
        _outcome: &Result<Option<ImageResult>, Failure>,
    ) -> Result<Option<Artifact>, Failure> {
        let path = job.dir.join("artifacts.zip");
        std::fs::write(&path, content(self.0)).unwrap();
        Ok(Some(Artifact {
            kind: ArtifactKind::Files,
            path,
            name: "reports.zip".to_owned(),
            expire_in: None,
            incomplete: None,
        }))
    }

    async fn clean(&self, _job: &Job) -> Result<(), String> {
        Ok(())
    }
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 31 + at / 509) as u8).collect()
}

fn start(fake: &FakeCoordinator, size: usize) -> Runner {
    Runner::with(fake, 1 << 20, |_| Arc::new(LeavesFile(size)))
}

fn in_pieces() -> Value {
    let own = json!({"spec": {"kind": "image_build"}, "build": "b", "number": 1, "attempt": 1,
        "lease_s": 15, "uploads_in_pieces": true});
    json!({ "own": own })
}

#[tokio::test]
async fn an_upload_goes_on_where_it_stopped() {
    let fake = FakeCoordinator::start();
    let size = 2 * PIECE + PIECE / 2;
    fake.change(|state| {
        state.pieces.fates = [Fate::AnswerLost, Fate::Lost].into();
        state.pieces.lost_ends = 1;
    });
    let runner = start(&fake, size);
    fake.enqueue(1, &[], in_pieces());
    let held = fake.until_reported(1).await;
    assert_eq!(held.status, "success");
    assert_eq!(held.uploads.len(), 1);
    assert_eq!(held.uploads[0].name, "reports.zip");
    assert!(held.uploads[0].bytes == content(size));
    // Only the piece that was lost is sent twice.
    fake.change(|state| assert_eq!(state.pieces.received, size + PIECE));
    runner.drain(&fake).await;
}

#[tokio::test]
async fn an_upload_goes_on_after_the_coordinator_was_away() {
    let fake = FakeCoordinator::start();
    let size = 3 * PIECE;
    // The upload stops before its last piece.
    fake.change(|state| state.pieces.fates = vec![Fate::AnswerLost, Fate::AnswerLost].into());
    let runner = start(&fake, size);
    fake.enqueue(1, &[], in_pieces());
    fake.until_pieces(|pieces| pieces.received >= PIECE).await;
    fake.stop().await;
    fake.restart();
    let held = fake.until_reported(1).await;
    assert_eq!(held.status, "success");
    assert!(held.uploads[0].bytes == content(size));
    fake.change(|state| assert!(state.pieces.received <= size + PIECE));
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_corrupted_upload_is_sent_again_and_then_fails_the_job_by_name() {
    let fake = FakeCoordinator::start();
    fake.change(|state| state.pieces.fates = [Fate::Corrupted].into());
    let runner = start(&fake, 1000);
    fake.enqueue(1, &[], in_pieces());
    let held = fake.until_reported(1).await;
    assert_eq!(held.status, "success");
    assert!(held.uploads[0].bytes == content(1000));
    fake.change(|state| state.pieces.fates = vec![Fate::Corrupted; 3].into());
    fake.enqueue(2, &[], in_pieces());
    let held = fake.until_reported(2).await;
    assert_eq!(held.status, "failed");
    assert!(held.uploads.is_empty());
    let message = held.report.unwrap().failure_message.unwrap();
    assert!(
        message.starts_with("reports.zip could not be uploaded"),
        "{message}"
    );
    runner.drain(&fake).await;
}

#[tokio::test]
async fn an_upload_that_is_refused_fails_the_job_by_name() {
    let fake = FakeCoordinator::start();
    fake.change(|state| state.pieces.fates = [Fate::TooLarge].into());
    let runner = start(&fake, 1000);
    fake.enqueue(1, &[], in_pieces());
    let held = fake.until_reported(1).await;
    let message = held.report.unwrap().failure_message.unwrap();
    assert!(
        message.starts_with("reports.zip exceeds the size limit"),
        "{message}"
    );
    runner.drain(&fake).await;
}

#[tokio::test]
async fn an_upload_that_does_not_end_in_time_fails_the_job_by_name() {
    let fake = FakeCoordinator::start();
    fake.change(|state| state.pieces.fates = vec![Fate::Lost; 10_000].into());
    let runner = start(&fake, 1000);
    let mut job = in_pieces();
    job["timeout"] = json!(1);
    fake.enqueue(1, &[], job);
    let report = fake.until_reported(1).await.report.unwrap();
    assert_eq!(report.failure_reason.as_deref(), Some("timed_out"));
    let message = report.failure_message.unwrap();
    assert!(
        message.ends_with("reports.zip is not uploaded"),
        "{message}"
    );
    runner.drain(&fake).await;
}

#[tokio::test]
async fn an_older_coordinator_gets_the_file_in_one_request() {
    let fake = FakeCoordinator::start();
    let runner = start(&fake, 1000);
    fake.enqueue(1, &[], json!({}));
    let held = fake.until_reported(1).await;
    assert!(held.uploads[0].bytes == content(1000));
    fake.change(|state| assert!(state.pieces.requests.is_empty()));
    runner.drain(&fake).await;
}
