//! The life of jobs on a runner in this process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fake_coordinator::{Fake, RUNNER_TOKEN, SECRET, until_empty};
use serde_json::json;
use slipway_domain::RunnerToken;
use slipway_runner::client::Coordinator;
use slipway_runner::executor::Executor;
use slipway_runner::jobs::Jobs;
use slipway_runner::manager::{Ending, run};
use slipway_runner::scripted::Scripted;
use slipway_runner::work_dir::WorkDir;
use tokio::task::JoinHandle;

/// A runner in this process, with the scripted executor.
pub(crate) struct Runner {
    dir: tempfile::TempDir,
    ending: Ending,
    ended: JoinHandle<()>,
}

impl Runner {
    pub(crate) fn start(fake: &Fake) -> Self {
        Self::with_trace_limit(fake, 1 << 26)
    }

    fn with_trace_limit(fake: &Fake, trace_limit: u64) -> Self {
        Self::with(fake, trace_limit, |_| Arc::new(Scripted))
    }

    /// A runner with the executor that `make` makes for its name on the engine.
    pub(crate) fn with(
        fake: &Fake,
        trace_limit: u64,
        make: impl FnOnce(&str) -> Arc<dyn Executor>,
    ) -> Self {
        // Another test of this process may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let ending = Ending::default();
        let work = WorkDir::take(dir.path()).unwrap();
        let jobs = Jobs {
            coordinator: Coordinator::at(&fake.url()).unwrap(),
            token: RunnerToken::presented(RUNNER_TOKEN),
            executor: make(work.instance()),
            work,
            trace_limit,
            emulates: Vec::new(),
            told_to_stop: ending.stop.clone(),
        };
        let told = ending.clone();
        let ended = tokio::spawn(async move { run(Arc::new(jobs), 2, 1, &told).await });
        Self { dir, ending, ended }
    }

    /// Where the places of running jobs are.
    pub(crate) fn jobs(&self) -> PathBuf {
        self.dir.path().join("jobs")
    }

    /// A file that jobs can wait for.
    fn signal(&self) -> PathBuf {
        self.dir.path().join("signal")
    }

    pub(crate) async fn drain(self, fake: &Fake) {
        self.ending.drain.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), self.ended);
        ended.await.unwrap().unwrap();
        fake.assert_nothing_wrong();
    }
}

fn lines(count: usize) -> String {
    (1..=count).map(|n| format!("line {n:06}\n")).collect()
}

#[tokio::test]
async fn a_job_is_claimed_run_and_reported_with_its_whole_trace() {
    let fake = Fake::start();
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
    until_empty(&runner.jobs()).await;
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_failure_is_reported_with_its_reason_and_no_secret() {
    let fake = Fake::start();
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
async fn a_lost_answer_is_repaired_from_what_the_coordinator_holds() {
    let fake = Fake::start();
    fake.change(|state| state.lose_answers = 2);
    let runner = Runner::start(&fake);
    fake.enqueue(1, &[("SCRIPT_LINES", "5000")], json!({}));
    let held = fake.until_reported(1).await;
    assert!(held.trace == lines(5000).as_bytes());
    runner.drain(&fake).await;
}

#[tokio::test]
async fn what_the_coordinator_lost_is_sent_again_before_the_last_report_is_taken() {
    let fake = Fake::start();
    fake.change(|state| state.forget = 1000);
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
    let fake = Fake::start();
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
    until_empty(&runner.jobs()).await;
    assert!(
        since.elapsed() < Duration::from_secs(2),
        "{:?}",
        since.elapsed()
    );
    let held = fake.until(1, |held| !held.stops.is_empty()).await;
    assert_eq!(
        (held.status.as_str(), held.report.is_none()),
        ("canceled", true)
    );
    // It says that it has stopped, once, and takes the answer as it is.
    let [stop] = held.stops.as_slice() else {
        panic!("{} reports", held.stops.len());
    };
    assert_eq!(stop.state.as_deref(), Some("failed"));
    fake.enqueue(2, &[], json!({}));
    assert_eq!(fake.until_reported(2).await.status, "success");
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_job_goes_on_while_the_coordinator_is_away() {
    let fake = Fake::start();
    let runner = Runner::start(&fake);
    let signal = runner.signal();
    let variables = [
        ("SCRIPT_LINES", "100"),
        ("SCRIPT_WAIT_FILE", signal.to_str().unwrap()),
        ("SCRIPT_LINES_AFTER", "100"),
    ];
    fake.enqueue(1, &variables, json!({}));
    fake.until(1, |held| held.trace.len() == lines(100).len())
        .await;
    fake.go_away().await;
    std::fs::write(&signal, "").unwrap();
    let trace = std::fs::read_dir(runner.jobs()).unwrap().next().unwrap();
    let trace = trace.unwrap().path().join("trace");
    let whole = lines(200).len() as u64;
    while trace.metadata().unwrap().len() < whole {
        tokio::task::yield_now().await;
    }
    fake.come_back();
    let held = fake.until_reported(1).await;
    assert_eq!(held.status, "success");
    assert!(held.trace == lines(200).as_bytes());
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_stopped_and_told_so() {
    let fake = Fake::start();
    let runner = Runner::start(&fake);
    let never = [("SCRIPT_WAIT_FILE", "/nonexistent")];
    fake.enqueue(1, &never, json!({"timeout": 1}));
    let report = fake.until_reported(1).await.report.unwrap();
    assert_eq!(report.failure_reason.as_deref(), Some("timed_out"));
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_drained_runner_finishes_its_job_and_claims_no_other() {
    let fake = Fake::start();
    let runner = Runner::start(&fake);
    let signal = runner.signal();
    let variables = [("SCRIPT_WAIT_FILE", signal.to_str().unwrap())];
    fake.enqueue(1, &variables, json!({}));
    let building = "building".to_owned();
    fake.until(1, |held| held.phases.contains(&building)).await;
    fake.until_polled().await;
    runner.ending.drain.cancel();
    fake.until_no_poll().await;
    fake.enqueue(2, &[], json!({}));
    std::fs::write(&signal, "").unwrap();
    let held = fake.until_reported(1).await;
    assert_eq!(held.status, "success");
    let ended = tokio::time::timeout(Duration::from_secs(20), runner.ended);
    ended.await.unwrap().unwrap();
    fake.change(|state| assert!(!state.jobs.contains_key(&2)));
}

#[tokio::test]
async fn a_runner_that_is_stopped_says_so_of_its_jobs() {
    let fake = Fake::start();
    let runner = Runner::start(&fake);
    fake.enqueue(1, &[("SCRIPT_WAIT_FILE", "/nonexistent")], json!({}));
    let building = "building".to_owned();
    fake.until(1, |held| held.phases.contains(&building)).await;
    runner.ending.drain.cancel();
    runner.ending.stop.cancel();
    let report = fake.until_reported(1).await.report.unwrap();
    assert_eq!(report.failure_reason.as_deref(), Some("runner_fault"));
    let message = report.failure_message.unwrap();
    assert!(message.contains("told to stop"), "{message}");
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_job_of_a_newer_coordinator_is_refused_not_lost() {
    let fake = Fake::start();
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
async fn a_trace_beyond_its_limit_is_cut_and_says_so() {
    let fake = Fake::start();
    let runner = Runner::with_trace_limit(&fake, 24);
    fake.enqueue(1, &[("SCRIPT_LINES", "10")], json!({}));
    let held = fake.until_reported(1).await;
    assert_eq!(held.status, "success");
    let trace = String::from_utf8(held.trace).unwrap();
    assert!(trace.starts_with("line 000001\nline 000002\n"), "{trace}");
    assert!(
        trace.ends_with("[96 bytes of output were left out]\n"),
        "{trace}"
    );
    runner.drain(&fake).await;
}
