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
}

#[async_trait]
impl Executor for BrokenHostExecutor {
    fn name(&self) -> &'static str {
        ScriptedExecutor.name()
    }

    async fn remove_leftovers(&self) {}

    async fn check(&self) -> Result<(), String> {
        if self.host().engine_down {
            Err("the engine is gone".to_owned())
        } else {
            Ok(())
        }
    }

    async fn self_test(&self) -> Result<(), String> {
        if self.host().bridge_lost {
            Err("could not find bridge docker0".to_owned())
        } else {
            Ok(())
        }
    }

    async fn prepare(&self, job: &Job) -> Result<(), Failure> {
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

    async fn clean(&self, job: &Job) {
        ScriptedExecutor.clean(job).await;
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
