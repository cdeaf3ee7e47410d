//! A runner whose host cannot run jobs: its engine is down, or fails one job after the other.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::json;
use slipway_domain::FailureReason;
use slipway_protocol::ImageResult;
use slipway_runner::executor::{Artifact, Executor, Failure, Job};
use slipway_runner::scripted::ScriptedExecutor;

use crate::fake_coordinator::FakeCoordinator;
use crate::job_lifecycle::Runner;

/// What is wrong with the host.
#[derive(Clone, Debug, Default)]
struct Host {
    engine_down: bool,
    bridge_lost: bool,
    running: i32,
    /// The jobs that were cleaned up.
    cleaned: Vec<i64>,
    /// How many jobs ran at each deletion of all leftovers.
    sweeps: Vec<i32>,
}

/// An executor whose host is broken and repaired by the test.
#[derive(Clone, Default)]
struct BrokenHostExecutor(Arc<Mutex<Host>>);

impl BrokenHostExecutor {
    fn change(&self, change: impl FnOnce(&mut Host)) {
        change(&mut self.0.lock().unwrap());
    }

    fn host(&self) -> Host {
        self.0.lock().unwrap().clone()
    }

    /// Sends something to the engine.
    fn request(&self) -> Result<(), String> {
        if self.host().engine_down {
            Err("the engine is gone".to_owned())
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl Executor for BrokenHostExecutor {
    fn name(&self) -> &'static str {
        ScriptedExecutor.name()
    }

    async fn remove_leftovers(&self) -> Result<(), String> {
        self.request()?;
        self.change(|host| host.sweeps.push(host.running));
        Ok(())
    }

    async fn check(&self) -> Result<(), String> {
        self.request()
    }

    async fn self_test(&self) -> Result<(), String> {
        if self.host().bridge_lost {
            Err("could not find bridge docker0".to_owned())
        } else {
            Ok(())
        }
    }

    async fn prepare(&self, job: &Job) -> Result<(), Failure> {
        self.change(|host| host.running += 1);
        ScriptedExecutor.prepare(job).await
    }

    async fn run(&self, job: &Job) -> Result<Option<ImageResult>, Failure> {
        if self.host().bridge_lost {
            return Err(Failure {
                reason: FailureReason::RunnerFault,
                message: "step RUN secret-of-a-project failed".to_owned(),
            });
        }
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
        self.change(|host| host.running -= 1);
        self.clean_again(job.payload.id).await
    }

    async fn clean_again(&self, id: i64) -> Result<(), String> {
        self.request()?;
        self.change(|host| host.cleaned.push(id));
        Ok(())
    }
}

#[tokio::test]
async fn a_runner_without_its_engine_claims_nothing_until_the_engine_is_back() {
    let fake = FakeCoordinator::start();
    let executor = BrokenHostExecutor::default();
    executor.change(|host| host.engine_down = true);
    fake.enqueue(1, &[], json!({}));
    let runner = Runner::with(&fake, 1 << 26, |_| Arc::new(executor.clone()));
    assert_eq!(fake.until_unready().await, "the engine is gone");
    assert_eq!(fake.change(|state| state.polls), 0);
    executor.change(|host| host.engine_down = false);
    assert_eq!(fake.until_reported(1).await.status, "success");
    // An engine that goes away while a poll waits ends the poll.
    fake.until_polled().await;
    executor.change(|host| host.engine_down = true);
    assert_eq!(fake.until_unready().await, "the engine is gone");
    fake.until_no_poll().await;
    fake.enqueue(2, &[], json!({}));
    assert!(fake.change(|state| !state.jobs.contains_key(&2)));
    executor.change(|host| host.engine_down = false);
    assert_eq!(fake.until_reported(2).await.status, "success");
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_runner_that_fails_two_jobs_in_a_row_claims_nothing_until_a_self_test_succeeds() {
    let fake = FakeCoordinator::start();
    let executor = BrokenHostExecutor::default();
    executor.change(|host| host.bridge_lost = true);
    let runner = Runner::with(&fake, 1 << 26, |_| Arc::new(executor.clone()));
    for id in 1..=2 {
        fake.enqueue(id, &[], json!({}));
        let report = fake.until_reported(id).await.report.unwrap();
        assert_eq!(report.failure_reason.as_deref(), Some("runner_fault"));
    }
    let why = fake.until_unready().await;
    assert!(why.contains("2 jobs in a row"), "{why}");
    assert!(why.contains("could not find bridge docker0"), "{why}");
    assert!(!why.contains("secret-of-a-project"), "{why}");
    fake.until_no_poll().await;
    fake.enqueue(3, &[], json!({}));
    executor.change(|host| host.bridge_lost = false);
    assert!(fake.change(|state| !state.jobs.contains_key(&3)));
    // The pause takes 15 s.
    assert_eq!(fake.until_reported(3).await.status, "success");
    runner.drain(&fake).await;
}

#[tokio::test]
async fn failures_of_jobs_do_not_stop_the_runner() {
    let fake = FakeCoordinator::start();
    let runner = Runner::start(&fake);
    for id in 1..=6 {
        let reason = if id % 2 == 0 {
            "fail:runner_fault"
        } else {
            "fail:build_failed"
        };
        fake.enqueue(id, &[("SCRIPT_RESULT", reason)], json!({}));
        fake.until_reported(id).await;
    }
    assert!(fake.change(|state| state.unready.is_empty()));
    runner.drain(&fake).await;
}

#[tokio::test]
async fn what_jobs_left_in_a_crashed_engine_is_deleted_when_it_is_back() {
    let fake = FakeCoordinator::start();
    let executor = BrokenHostExecutor::default();
    let dir = tempfile::tempdir().unwrap();
    let wait = dir.path().join("go on");
    let runner = Runner::with(&fake, 1 << 26, |_| Arc::new(executor.clone()));
    let waiting = [("SCRIPT_WAIT_FILE", wait.to_str().unwrap())];
    // One job ends while the engine is away, and another one runs on.
    fake.enqueue(1, &[], json!({}));
    fake.until_reported(1).await;
    assert_eq!(executor.host().cleaned, [1]);
    fake.enqueue(2, &waiting, json!({}));
    let runs = || executor.host().running == 1;
    fake.until_true("the second job to run", runs).await;
    executor.change(|host| host.engine_down = true);
    fake.until_unready().await;
    std::fs::write(&wait, "").unwrap();
    fake.until_reported(2).await;
    assert_eq!(executor.host().cleaned, [1]);
    let before = executor.host().sweeps.len();
    executor.change(|host| host.engine_down = false);
    let is_clean = || executor.host().cleaned == [1, 2];
    fake.until_true("the second job to be cleaned up", is_clean)
        .await;
    let is_swept = || executor.host().sweeps.len() > before;
    fake.until_true("all leftovers to be deleted", is_swept)
        .await;
    // Never while a job runs.
    assert!(executor.host().sweeps.iter().all(|running| *running == 0));
    runner.drain(&fake).await;
}
