//! A runner whose disk is full.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
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
struct FullDiskExecutor {
    has_space: Arc<AtomicBool>,
    /// Holds a link to a directory on the disk.
    dir: tempfile::TempDir,
}

impl FullDiskExecutor {
    fn new() -> Self {
        let executor = Self {
            has_space: Arc::default(),
            dir: tempfile::tempdir().unwrap(),
        };
        // No bytes are ever free in this file system.
        symlink("/proc", executor.link()).unwrap();
        executor
    }

    fn link(&self) -> PathBuf {
        self.dir.path().join("storage")
    }
}

#[async_trait]
impl Executor for FullDiskExecutor {
    fn name(&self) -> &'static str {
        ScriptedExecutor.name()
    }

    async fn remove_leftovers(&self) -> Result<(), String> {
        Ok(())
    }

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

    async fn clean(&self, job: &Job) -> Result<(), String> {
        ScriptedExecutor.clean(job).await
    }

    async fn storage_dirs(&self) -> Vec<PathBuf> {
        // One full disk among others is enough.
        vec![self.dir.path().to_owned(), self.link()]
    }

    async fn free_space(&self, is_enough: &(dyn Fn() -> bool + Send + Sync)) {
        assert!(!is_enough());
        std::fs::remove_file(self.link()).unwrap();
        symlink("/", self.link()).unwrap();
        self.has_space.store(true, Ordering::SeqCst);
        assert!(is_enough());
    }
}

#[tokio::test]
async fn space_is_freed_before_a_job_is_claimed() {
    let fake = FakeCoordinator::start();
    let executor = FullDiskExecutor::new();
    let has_space = Arc::clone(&executor.has_space);
    fake.enqueue(1, &[], json!({}));
    let runner = Runner::with(&fake, 1 << 26, |_| Arc::new(executor));
    assert_eq!(fake.until_reported(1).await.status, "success");
    assert!(has_space.load(Ordering::SeqCst));
    runner.drain(&fake).await;
}
