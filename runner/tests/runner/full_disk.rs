//! A disk without room.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde_json::json;
use slipway_protocol::ImageResult;
use slipway_runner::executor::{Archive, Executor, Failure, Job};
use slipway_runner::scripted::Scripted;

use crate::fake_coordinator::Fake;
use crate::job_lifecycle::Runner;

/// Keeps what outlives a job where nothing is ever free, until it is told to make room.
#[derive(Default)]
struct Crammed {
    has_room: Arc<AtomicBool>,
}

#[async_trait]
impl Executor for Crammed {
    fn name(&self) -> &'static str {
        Scripted.name()
    }

    async fn sweep(&self) {}

    async fn prepare(&self, job: &Job) -> Result<(), Failure> {
        assert!(
            self.has_room.load(Ordering::SeqCst),
            "a job was claimed without room"
        );
        Scripted.prepare(job).await
    }

    async fn run(&self, job: &Job) -> Result<Option<ImageResult>, Failure> {
        Scripted.run(job).await
    }

    async fn collect(
        &self,
        job: &Job,
        outcome: &Result<Option<ImageResult>, Failure>,
    ) -> Result<Option<Archive>, Failure> {
        Scripted.collect(job, outcome).await
    }

    async fn clean(&self, job: &Job) {
        Scripted.clean(job).await;
    }

    fn store(&self) -> Option<&Path> {
        let is_full = !self.has_room.load(Ordering::SeqCst);
        is_full.then_some(Path::new("/proc"))
    }

    async fn make_room(&self, is_enough: &(dyn Fn() -> bool + Send + Sync)) {
        assert!(!is_enough());
        self.has_room.store(true, Ordering::SeqCst);
        assert!(is_enough());
    }
}

#[tokio::test]
async fn room_is_made_before_a_job_is_claimed() {
    let fake = Fake::start();
    let executor = Crammed::default();
    let has_room = Arc::clone(&executor.has_room);
    fake.enqueue(1, &[], json!({}));
    let runner = Runner::with(&fake, 1 << 26, |_| Arc::new(executor));
    assert_eq!(fake.until_reported(1).await.status, "success");
    assert!(has_room.load(Ordering::SeqCst));
    runner.drain(&fake).await;
}
