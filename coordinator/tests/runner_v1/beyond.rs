//! Beyond the checks: lost runners, ends that come too early or too late, what an end leaves.

use std::time::{Duration, Instant};

use serde_json::json;
use slipway_domain::{BuildState, FailureReason, JobState, Outcome, Phase};
use slipway_farm::Content;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends, wait_until};
use tokio::time::timeout;

use crate::client::{ApiResponse, Claim, RunnerApi};

on_both_back_ends!(
    a_runner_that_comes_back_late_cannot_touch_the_next_attempt,
    the_generation_that_is_silent_in_silent_jobs_keeps_them,
    a_held_beat_hears_of_a_cancel_at_once,
    a_held_beat_is_answered_when_its_wait_is_over,
    an_end_waits_for_the_whole_trace,
    a_trace_that_differs_from_its_runners_is_sent_again,
    an_image_becomes_an_artifact_of_its_job,
    a_job_that_is_canceled_in_the_queue_goes_to_nobody,
    a_job_that_needs_a_failed_one_is_skipped,
    two_first_pieces_at_once_are_one_beginning,
    two_uploads_at_once_are_one_archive,
    a_runners_fault_is_tried_again_and_a_jobs_own_is_not,
);

const LOST: JobState = JobState::Done(Outcome::Failed(FailureReason::RunnerLost));
/// A little more than a lease of a stock runner, in seconds.
const A_LEASE: i64 = 91;
/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(4);

async fn a_runner_that_comes_back_late_cannot_touch_the_next_attempt(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let build = farm.build(&project).await;
    let api = RunnerApi::new(&farm);
    let (slow, fresh) = (
        api.register_runner(&farm).await,
        api.register_runner(&farm).await,
    );
    let first = slow.claim().await;
    first.patch("0-5", "hello").await.is(202);
    farm.advance(A_LEASE);
    farm.expire_leases().await;
    assert_eq!(farm.job(first.id).await.state, LOST);
    // It is passed over for a while; another takes the second attempt.
    slow.expect_no_job().await;
    let second = fresh.claim().await;
    assert_ne!((second.id, &second.token), (first.id, &first.token));
    // Whatever the slow one still says, of its own job or of the other, changes nothing.
    let end = json!({"state": "success", "trace": "forged"});
    first.put(end.clone()).await.is_error(404, "404 Not found");
    slow.put(second.id, end)
        .await
        .is_error(404, "404 Not found");
    let answer = first.patch("5-6", "!").await.is(202);
    assert_eq!(answer.header("Build-Status"), Some("failed"));
    let mut forged = second.clone();
    forged.token.clone_from(&first.token);
    forged.patch("0-1", "x").await.is(403);
    forged.upload("", "a.zip", b"zip").await.is(403);
    let answer = first.upload("", "a.zip", b"zip").await;
    answer.is_error(403, "403 Forbidden  - Build is not running!");
    assert_eq!(farm.job(first.id).await.state, LOST);
    assert_eq!(farm.job(second.id).await.state.name(), "running");
    assert_eq!(farm.trace(second.id).await, b"");
    assert!(farm.artifacts(second.id).await.is_empty());
    // The third attempt is the last one.
    farm.advance(A_LEASE);
    farm.expire_leases().await;
    let third = slow.claim().await;
    assert_eq!(farm.job(third.id).await.attempt, 3);
    farm.advance(A_LEASE);
    farm.expire_leases().await;
    let states: Vec<JobState> = farm
        .jobs(&build)
        .await
        .iter()
        .map(|job| job.state)
        .collect();
    assert_eq!(states, [LOST, LOST, LOST]);
    assert_eq!(farm.build_now(&build).await.state, BuildState::Failed);
    fresh.expect_no_job().await;
}

async fn the_generation_that_is_silent_in_silent_jobs_keeps_them(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    farm.build(&project).await;
    let api = RunnerApi::new(&farm).with_user_agent(Some("Go 1.1 package http"));
    let info = json!({"name": "gitlab-ci-multi-runner", "version": "0.5.5"});
    let body = json!({"token": farm.registration_token, "info": info});
    let path = "/runners/register.json";
    let answer = api.json(reqwest::Method::POST, path, &body).await.is(201);
    let body = json!({"token": answer.json()["token"], "info": info});
    let path = "/builds/register.json";
    api.json(reqwest::Method::POST, path, &body).await.is(201);
    farm.advance(A_LEASE);
    assert_eq!(farm.expire_leases().await, 0);
    farm.advance(3600);
    assert_eq!(farm.expire_leases().await, 1);
}

/// Sends a beat that may be held for `seconds`, and returns once it has arrived.
async fn held_beat(
    farm: &TestFarm,
    claim: &Claim,
    seconds: u32,
) -> tokio::task::JoinHandle<ApiResponse> {
    let beat = json!({"token": claim.runner.token, "state": "running", "phase": "pushing"});
    let (api, path) = (
        claim.runner.api.clone(),
        format!("/builds/{}.json", claim.id),
    );
    let beat = tokio::spawn(async move {
        let request = api.request(reqwest::Method::PUT, &path).json(&beat);
        let request = request.header("Prefer", format!("wait={seconds}"));
        api.send(request).await
    });
    wait_until(SOON, "the phase is noted", async || {
        matches!(
            farm.job(claim.id).await.state,
            JobState::Running(_, Phase::Pushing)
        )
    })
    .await;
    beat
}

async fn a_held_beat_hears_of_a_cancel_at_once(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let beat = held_beat(&farm, &claim, 5).await;
    assert!(!beat.is_finished());
    farm.cancel(claim.id).await;
    let answer = timeout(SOON, beat).await.expect("an answer at once");
    answer.unwrap().is_error(404, "404 Not found");
}

async fn a_held_beat_is_answered_when_its_wait_is_over(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let begun = Instant::now();
    let beat = held_beat(&farm, &claim, 1).await;
    // Its own trace is no reason to answer it.
    claim.patch("0-5", "hello").await.is(202);
    let answer = beat.await.unwrap().is(200);
    assert_eq!(answer.header("Build-Status"), Some("running"));
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

fn end_of(whole: &[u8]) -> serde_json::Value {
    let sum = json!({"length": whole.len(), "crc32": crc32fast::hash(whole)});
    json!({"state": "success", "trace_sum": sum})
}

async fn an_end_waits_for_the_whole_trace(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let whole = b"hello world";
    let gap = |answer: ApiResponse, range: &str| {
        let answer = answer.is_error(416, "416 Range Not Satisfiable");
        assert_eq!(answer.header("Range"), Some(range));
    };
    gap(claim.put(end_of(whole)).await, "0-0");
    claim.patch("0-5", "hello").await.is(202);
    gap(claim.put(end_of(whole)).await, "0-5");
    let job = farm.job(claim.id).await;
    assert_eq!((job.state.name(), job.finished_at), ("running", None));
    claim.patch("5-11", " world").await.is(202);
    let answer = claim.put(end_of(whole)).await.is(200);
    assert_eq!(answer.header("Build-Status"), Some("success"));
    assert_eq!(farm.job(claim.id).await.state.name(), "succeeded");
    assert_eq!(farm.trace(claim.id).await, whole);
}

async fn a_trace_that_differs_from_its_runners_is_sent_again(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for wrong in ["HELLO", "hello and more"] {
        let claim = Claim::of_new_build(&farm).await;
        claim
            .patch(&format!("0-{}", wrong.len()), wrong)
            .await
            .is(202);
        let answer = claim.put(end_of(b"hello")).await.is(416);
        assert_eq!(answer.header("Range"), Some("0-0"));
        claim.patch("0-5", "hello").await.is(202);
        claim.put(end_of(b"hello")).await.is(200);
        assert_eq!(farm.trace(claim.id).await, b"hello");
    }
}

async fn an_image_becomes_an_artifact_of_its_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.upload("", "a.zip", b"zip").await.is(201);
    let digest = format!("sha256:{}", "0f".repeat(32));
    let image = json!({
        "reference": "registry.test/acme/api:v1", "tags": ["v1", "latest"],
        "digest": digest, "size_bytes": 123_456_789_012_u64,
    });
    claim
        .put(json!({"state": "success", "image": image}))
        .await
        .is(200);
    let artifacts = farm.artifacts(claim.id).await;
    assert_eq!(
        artifacts.len(),
        2,
        "the archive is there too: {artifacts:?}"
    );
    let image = artifacts
        .iter()
        .find(|artifact| matches!(artifact.content, Content::Image { .. }))
        .unwrap();
    let content = Content::Image {
        details: Default::default(),
        reference: "registry.test/acme/api:v1".to_owned(),
        digest,
        tags: vec!["v1".to_owned(), "latest".to_owned()],
    };
    assert_eq!(
        (&image.content, image.size_bytes),
        (&content, 123_456_789_012)
    );
}

async fn a_job_that_is_canceled_in_the_queue_goes_to_nobody(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let build = farm.build(&project).await;
    let id = farm.jobs(&build).await[0].id;
    farm.cancel(id).await;
    let job = farm.job(id).await;
    assert_eq!((job.state.name(), job.runner), ("canceled", None));
    assert!(job.finished_at.is_some());
    assert_eq!(farm.build_now(&build).await.state, BuildState::Canceled);
    RunnerApi::new(&farm)
        .register_runner(&farm)
        .await
        .expect_no_job()
        .await;
}

async fn a_job_that_needs_a_failed_one_is_skipped(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let jobs: [(&str, &[&str]); 4] = [
        ("first", &[]),
        ("second", &["first"]),
        ("third", &["second"]),
        ("apart", &[]),
    ];
    let build = farm.build_of(&project, &jobs).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let (first, apart) = (runner.claim().await, runner.claim().await);
    assert_eq!(
        (&first.payload["name"], &apart.payload["name"]),
        (&json!("first"), &json!("apart"))
    );
    first.put(json!({"state": "failed"})).await.is(200);
    let states: Vec<&str> = farm
        .jobs(&build)
        .await
        .iter()
        .map(|job| job.state.name())
        .collect();
    assert_eq!(states, ["failed", "skipped", "skipped", "running"]);
    runner.expect_no_job().await;
    apart.succeed().await;
    assert_eq!(farm.build_now(&build).await.state, BuildState::Failed);
}

async fn two_first_pieces_at_once_are_one_beginning(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for _ in 0..5 {
        let one = Claim::of_new_build(&farm).await;
        let mut two = one.clone();
        two.runner.api = RunnerApi::new(&farm);
        let answers = tokio::join!(one.patch("0-5", "hello"), two.patch("0-5", "HELLO"));
        let (kept, other, trace) = match answers.0.status {
            202 => (answers.0, answers.1, b"hello"),
            _ => (answers.1, answers.0, b"HELLO"),
        };
        assert_eq!(kept.is(202).header("Range"), Some("0-5"));
        assert_eq!(other.is(416).header("Range"), Some("0-5"));
        assert_eq!(farm.trace(one.id).await, trace);
    }
}

async fn two_uploads_at_once_are_one_archive(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for _ in 0..5 {
        let one = Claim::of_new_build(&farm).await;
        let mut two = one.clone();
        two.runner.api = RunnerApi::new(&farm);
        let (first, second) = tokio::join!(
            one.upload("", "a.zip", b"one"),
            two.upload("", "b.zip", b"two")
        );
        first.is(201);
        second.is(201);
        assert_eq!(farm.artifacts(one.id).await.len(), 1);
        let answer = one.download().await.is(200);
        let name = answer.header("content-disposition").unwrap();
        let whole = [
            ("attachment; filename=a.zip", &b"one"[..]),
            ("attachment; filename=b.zip", b"two"),
        ];
        assert!(whole.contains(&(name, &answer.body[..])), "{answer:?}");
    }
}

async fn a_runners_fault_is_tried_again_and_a_jobs_own_is_not(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    for (reason, message, attempts) in [
        ("runner_fault", Some("the engine is away"), 2),
        ("build_failed", Some("RUN make: exit status 2"), 1),
        ("no word of ours", None, 1),
    ] {
        let api = RunnerApi::new(&farm);
        let build = farm.build(&project).await;
        let claim = api.register_runner(&farm).await.claim().await;
        let end = json!({
            "state": "failed", "failure_reason": reason, "failure_message": message
        });
        claim.put(end).await.is(200);
        let jobs = farm.jobs(&build).await;
        assert_eq!(jobs.len(), attempts, "{reason}");
        let expected = reason.parse().unwrap_or(FailureReason::JobFailed);
        assert_eq!(jobs[0].state, JobState::Done(Outcome::Failed(expected)));
        assert_eq!(jobs[0].failure_message.as_deref(), message);
        if let Some(next) = jobs.get(1) {
            assert_eq!((next.state.name(), next.attempt), ("pending", 2));
            farm.cancel(next.id).await;
        }
    }
}
