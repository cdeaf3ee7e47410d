//! A runner whose disk is full.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde_json::json;
use slipway_protocol::ImageResult;
use slipway_runner::executor::{Artifact, Executor, Failure, Job};
use slipway_runner::scripted::ScriptedExecutor;

use crate::fake_coordinator::FakeCoordinator;
use crate::job_lifecycle::Runner;

/// An executor whose disk is full until `free_space` is called.
#[derive(Default)]
struct FullDiskExecutor {
    has_space: Arc<AtomicBool>,
}

#[async_trait]
impl Executor for FullDiskExecutor {
    fn name(&self) -> &'static str {
        ScriptedExecutor.name()
    }

    async fn remove_leftovers(&self) {}

    async fn prepare(&self, job: &Job) -> Result<(), Failure> {
        assert!(
            self.has_space.load(Ordering::SeqCst),
            "a job was claimed while the disk was full"
        );
        ScriptedExecutor.prepare(job).await
    }

    async fn run(&self, job: &Job) -> Result<Option<ImageResult>, Failure> {
        ScriptedExecutor.run(job).await
    }

    async fn collect(
        &self,
        job: &Job,
        outcome: &Result<Option<ImageResult>, Failure>,
    ) -> Result<Option<Artifact>, Failure> {
        ScriptedExecutor.collect(job, outcome).await
    }

    async fn clean(&self, job: &Job) {
        ScriptedExecutor.clean(job).await;
    }

    fn storage_dir(&self) -> Option<&Path> {
        let is_full = !self.has_space.load(Ordering::SeqCst);
        // No bytes are ever free in this file system.
        is_full.then_some(Path::new("/proc"))
    }

    async fn free_space(&self, is_enough: &(dyn Fn() -> bool + Send + Sync)) {
        assert!(!is_enough());
        self.has_space.store(true, Ordering::SeqCst);
        assert!(is_enough());
    }
}

#[tokio::test]
async fn space_is_freed_before_a_job_is_claimed() {
    let fake = FakeCoordinator::start();
    let executor = FullDiskExecutor::default();
    let has_space = Arc::clone(&executor.has_space);
    fake.enqueue(1, &[], json!({}));
    let runner = Runner::with(&fake, 1 << 26, |_| Arc::new(executor));
    assert_eq!(fake.until_reported(1).await.status, "success");
    assert!(has_space.load(Ordering::SeqCst));
    runner.drain(&fake).await;
}
