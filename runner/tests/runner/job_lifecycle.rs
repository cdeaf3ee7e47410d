//! Jobs from claim to final report, on a runner in this process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fake_coordinator::{FakeCoordinator, RUNNER_TOKEN, SECRET, until_empty};
use serde_json::json;
use slipway_domain::RunnerToken;
use slipway_runner::client::CoordinatorClient;
use slipway_runner::executor::Executor;
use slipway_runner::jobs::JobRunner;
use slipway_runner::leftovers::Leftovers;
use slipway_runner::manager::{Shutdown, run};
use slipway_runner::scripted::ScriptedExecutor;
use slipway_runner::work_dir::WorkDir;
use tokio::task::JoinHandle;

/// A runner in this process, with the scripted executor.
pub(crate) struct Runner {
    dir: tempfile::TempDir,
    shutdown: Shutdown,
    ended: JoinHandle<()>,
}

impl Runner {
    pub(crate) fn start(fake: &FakeCoordinator) -> Self {
        Self::with_trace_limit(fake, 1 << 26)
    }

    fn with_trace_limit(fake: &FakeCoordinator, trace_limit: u64) -> Self {
        Self::with(fake, trace_limit, |_| Arc::new(ScriptedExecutor))
    }

    /// Starts a runner with the executor that `create` returns for the runner's name on the engine.
    pub(crate) fn with(
        fake: &FakeCoordinator,
        trace_limit: u64,
        create: impl FnOnce(&str) -> Arc<dyn Executor>,
    ) -> Self {
        // It fails if another test of this process has installed a provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let shutdown = Shutdown::default();
        let work_dir = WorkDir::lock(dir.path()).unwrap();
        let jobs = JobRunner {
            trust: Vec::new(),
            coordinator: CoordinatorClient::new(&fake.url()).unwrap(),
            token: RunnerToken::presented(RUNNER_TOKEN),
            executor: create(work_dir.instance()),
            work_dir,
            trace_limit,
            emulates: Vec::new(),
            leftovers: Leftovers::default(),
            stop_all: shutdown.stop.clone(),
        };
        let requested = shutdown.clone();
        let run = async move { run(Arc::new(jobs), 2, 1, &requested).await };
        let ended = slipway_tasks::spawn("runner", run);
        Self {
            dir,
            shutdown,
            ended,
        }
    }

    /// The directory with the work directories of running jobs.
    pub(crate) fn jobs_dir(&self) -> PathBuf {
        self.dir.path().join("jobs")
    }

    /// A file that jobs wait for.
    fn continue_file(&self) -> PathBuf {
        self.dir.path().join("signal")
    }

    pub(crate) async fn drain(self, fake: &FakeCoordinator) {
        self.shutdown.drain.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), self.ended);
        ended.await.unwrap().unwrap();
        fake.assert_no_violations();
    }
}

fn lines(count: usize) -> String {
    (1..=count).map(|n| format!("line {n:06}\n")).collect()
}

#[tokio::test]
async fn a_job_is_run_and_reported_with_its_whole_trace() {
    let fake = FakeCoordinator::start();
    let runner = Runner::start(&fake);
    let spec = json!({"kind": "image_build", "repository": "r.example/acme/api", "tags": ["v1"]});
    let own = json!({"spec": spec, "build": "b", "number": 1, "attempt": 1, "lease_s": 15});
    fake.enqueue(7, &[("SCRIPT_LINES", "200000")], json!({ "own": own }));
    let held = fake.until_reported(7).await;
    assert_eq!(held.status, "success");
    assert!(held.trace == lines(200_000).as_bytes());
    let image = held.report.unwrap().image.unwrap();
    assert_eq!(image.reference.as_deref(), Some("r.example/acme/api:v1"));
    assert!(image.digest.starts_with("sha256:"));
    assert!(
        held.phases.contains(&"building".to_owned()),
        "{:?}",
        held.phases
    );
    until_empty(&runner.jobs_dir()).await;
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_job_whose_answer_is_lost_arrives_with_the_next_poll() {
    let fake = FakeCoordinator::start();
    fake.change(|state| state.failing_claim_answers = 2);
    let runner = Runner::start(&fake);
    for id in [7, 8, 9] {
        fake.enqueue(id, &[("SCRIPT_LINES", "1")], json!({}));
    }
    for id in [7, 8, 9] {
        assert_eq!(fake.until_reported(id).await.status, "success");
    }
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_failure_is_reported_with_its_reason_and_without_secrets() {
    let fake = FakeCoordinator::start();
    let runner = Runner::start(&fake);
    fake.enqueue(1, &[("SCRIPT_RESULT", "fail:push_refused")], json!({}));
    let report = fake.until_reported(1).await.report.unwrap();
    assert_eq!(report.state.as_deref(), Some("failed"));
    assert_eq!(report.failure_reason.as_deref(), Some("push_refused"));
    let wrong = format!("fail:{SECRET}");
    fake.enqueue(
        2,
        &[("SCRIPT_LINES", "x"), ("SCRIPT_RESULT", &wrong)],
        json!({}),
    );
    let report = fake.until_reported(2).await.report.unwrap();
    assert_eq!(report.failure_reason.as_deref(), Some("job_failed"));
    assert!(!report.failure_message.unwrap().contains(SECRET));
    runner.drain(&fake).await;
}

#[tokio::test]
async fn the_trace_continues_from_the_coordinators_length_after_a_lost_answer() {
    let fake = FakeCoordinator::start();
    fake.change(|state| state.failing_trace_answers = 2);
    let runner = Runner::start(&fake);
    fake.enqueue(1, &[("SCRIPT_LINES", "5000")], json!({}));
    let held = fake.until_reported(1).await;
    assert!(held.trace == lines(5000).as_bytes());
    runner.drain(&fake).await;
}

#[tokio::test]
async fn trace_bytes_that_the_coordinator_lost_are_sent_again_before_the_final_report() {
    let fake = FakeCoordinator::start();
    fake.change(|state| state.lost_trace_bytes = 1000);
    let runner = Runner::start(&fake);
    fake.enqueue(1, &[("SCRIPT_LINES", "5000")], json!({}));
    let held = fake.until_reported(1).await;
    assert_eq!(held.status, "success");
    assert!(held.trace == lines(5000).as_bytes());
    runner.drain(&fake).await;
}

/// Runs alone because it asserts a bound of two seconds; see `.config/nextest.toml`.
mod timing {
    #[tokio::test]
    async fn cancel_stops_a_silent_job_within_two_seconds() {
        super::cancel_stops_a_silent_job().await;
    }
}

async fn cancel_stops_a_silent_job() {
    let fake = FakeCoordinator::start();
    let runner = Runner::start(&fake);
    fake.enqueue(1, &[("SCRIPT_WAIT_FILE", "/nonexistent")], json!({}));
    let building = "building".to_owned();
    fake.until(1, |held| held.phases.contains(&building)).await;
    let since = Instant::now();
    fake.change(|state| {
        if let Some(job) = state.jobs.get_mut(&1) {
            job.status = "canceled".to_owned();
        }
    });
    until_empty(&runner.jobs_dir()).await;
    assert!(
        since.elapsed() < Duration::from_secs(2),
        "{:?}",
        since.elapsed()
    );
    let held = fake
        .until(1, |held| !held.reports_after_cancel.is_empty())
        .await;
    assert_eq!(
        (held.status.as_str(), held.report.is_none()),
        ("canceled", true)
    );
    // One report says that the work has stopped; its answer is not retried.
    let [stop] = held.reports_after_cancel.as_slice() else {
        panic!("{} reports", held.reports_after_cancel.len());
    };
    assert_eq!(stop.state.as_deref(), Some("failed"));
    fake.enqueue(2, &[], json!({}));
    assert_eq!(fake.until_reported(2).await.status, "success");
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_job_continues_while_the_coordinator_is_down() {
    let fake = FakeCoordinator::start();
    let runner = Runner::start(&fake);
    let continue_file = runner.continue_file();
    let variables = [
        ("SCRIPT_LINES", "100"),
        ("SCRIPT_WAIT_FILE", continue_file.to_str().unwrap()),
        ("SCRIPT_LINES_AFTER", "100"),
    ];
    fake.enqueue(1, &variables, json!({}));
    fake.until(1, |held| held.trace.len() == lines(100).len())
        .await;
    fake.stop().await;
    std::fs::write(&continue_file, "").unwrap();
    let trace = std::fs::read_dir(runner.jobs_dir())
        .unwrap()
        .next()
        .unwrap();
    let trace = trace.unwrap().path().join("trace");
    let whole = lines(200).len() as u64;
    while trace.metadata().unwrap().len() < whole {
        tokio::task::yield_now().await;
    }
    fake.restart();
    let held = fake.until_reported(1).await;
    assert_eq!(held.status, "success");
    assert!(held.trace == lines(200).as_bytes());
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_job_that_exceeds_its_time_limit_fails_with_timed_out() {
    let fake = FakeCoordinator::start();
    let runner = Runner::start(&fake);
    let never = [("SCRIPT_WAIT_FILE", "/nonexistent")];
    fake.enqueue(1, &never, json!({"timeout": 1}));
    let report = fake.until_reported(1).await.report.unwrap();
    assert_eq!(report.failure_reason.as_deref(), Some("timed_out"));
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_draining_runner_finishes_its_job_and_claims_no_other() {
    let fake = FakeCoordinator::start();
    let runner = Runner::start(&fake);
    let continue_file = runner.continue_file();
    let variables = [("SCRIPT_WAIT_FILE", continue_file.to_str().unwrap())];
    fake.enqueue(1, &variables, json!({}));
    let building = "building".to_owned();
    fake.until(1, |held| held.phases.contains(&building)).await;
    fake.until_polled().await;
    runner.shutdown.drain.cancel();
    fake.until_no_poll().await;
    fake.enqueue(2, &[], json!({}));
    std::fs::write(&continue_file, "").unwrap();
    let held = fake.until_reported(1).await;
    assert_eq!(held.status, "success");
    let ended = tokio::time::timeout(Duration::from_secs(20), runner.ended);
    ended.await.unwrap().unwrap();
    fake.change(|state| assert!(!state.jobs.contains_key(&2)));
}

#[tokio::test]
async fn stopping_the_runner_fails_its_jobs_with_runner_fault() {
    let fake = FakeCoordinator::start();
    let runner = Runner::start(&fake);
    fake.enqueue(1, &[("SCRIPT_WAIT_FILE", "/nonexistent")], json!({}));
    let building = "building".to_owned();
    fake.until(1, |held| held.phases.contains(&building)).await;
    runner.shutdown.drain.cancel();
    runner.shutdown.stop.cancel();
    let report = fake.until_reported(1).await.report.unwrap();
    assert_eq!(report.failure_reason.as_deref(), Some("runner_fault"));
    let message = report.failure_message.unwrap();
    assert!(message.contains("the runner was stopped"), "{message}");
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_job_of_a_newer_coordinator_is_reported_as_unsupported() {
    let fake = FakeCoordinator::start();
    let runner = Runner::start(&fake);
    let own = json!({"spec": {"kind": "teleport"}, "build": "b", "number": 1, "attempt": 1,
        "lease_s": 15});
    fake.enqueue(1, &[], json!({ "own": own }));
    fake.enqueue(2, &[], json!({"own": null}));
    for id in [1, 2] {
        let report = fake.until_reported(id).await.report.unwrap();
        assert_eq!(report.failure_reason.as_deref(), Some("unsupported"));
    }
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_trace_beyond_its_limit_keeps_its_beginning_and_its_end() {
    let fake = FakeCoordinator::start();
    let runner = Runner::with_trace_limit(&fake, 100);
    fake.enqueue(1, &[("SCRIPT_LINES", "1000")], json!({}));
    let held = fake.until_reported(1).await;
    assert_eq!(held.status, "success");
    let trace = String::from_utf8(held.trace).unwrap();
    assert!(trace.starts_with("line 000001\nline 000002\n"), "{trace}");
    assert!(
        trace.ends_with(" bytes of output are missing here]\nline 000999\nline 001000\n"),
        "{trace}"
    );
    assert!(trace.len() < 400, "{trace}");
    runner.drain(&fake).await;
}
