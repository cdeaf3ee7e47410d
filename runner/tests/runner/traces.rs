//! When pieces of a trace are sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::json;
use slipway_protocol::ImageResult;
use slipway_runner::executor::{Artifact, Executor, Failure, Job};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::fake_coordinator::FakeCoordinator;
use crate::job_lifecycle::Runner;

/// Writes a line for each message, until there are no more.
struct WritesLines(Mutex<UnboundedReceiver<String>>);

#[async_trait]
impl Executor for WritesLines {
    fn name(&self) -> &'static str {
        "writes lines"
    }

    async fn remove_leftovers(&self) -> Result<(), String> {
        Ok(())
    }

    async fn prepare(&self, _job: &Job) -> Result<(), Failure> {
        Ok(())
    }

    async fn run(&self, job: &Job) -> Result<Option<ImageResult>, Failure> {
        while let Some(line) = self.0.lock().await.recv().await {
            job.output.line(&line);
        }
        Ok(None)
    }

    async fn collect(
        &self,
        _job: &Job,
        _outcome: &Result<Option<ImageResult>, Failure>,
    ) -> Result<Option<Artifact>, Failure> {
        Ok(None)
    }

    async fn clean(&self, _job: &Job) -> Result<(), String> {
        Ok(())
    }
}

/// Runs alone because it asserts a bound of a few seconds; see `.config/nextest.toml`.
mod timing {
    #[tokio::test]
    async fn lines_of_a_followed_trace_are_sent_at_once() {
        super::lines_of_a_followed_trace().await;
    }
}

async fn lines_of_a_followed_trace() {
    let fake = FakeCoordinator::start();
    fake.change(|state| state.is_followed = true);
    let (lines, written) = unbounded_channel();
    let executor = Arc::new(WritesLines(Mutex::new(written)));
    let runner = Runner::with(&fake, 1 << 20, move |_| executor);
    fake.enqueue(1, &[], json!({}));
    // The answer to the first piece says that somebody follows.
    lines.send("line 0".to_owned()).unwrap();
    fake.until(1, |held| !held.trace.is_empty()).await;
    let since = Instant::now();
    for number in 1..=20 {
        let line = format!("line {number}\n");
        lines.send(line.trim_end().to_owned()).unwrap();
        fake.until(1, |held| held.trace.ends_with(line.as_bytes()))
            .await;
    }
    // Otherwise each line would wait for a second.
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
    drop(lines);
    assert_eq!(fake.until_reported(1).await.status, "success");
    runner.drain(&fake).await;
}
