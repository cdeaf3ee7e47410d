//! Checks 25 to 28 and 59: what a claimed job looks like, who gets it, and what happens to one
//! that its runner never speaks of.

use serde_json::{Value, json};
use slipway_domain::{FailureReason, JobState, Outcome};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::RunnerApi;

on_both_back_ends!(
    check_25_a_claimed_job_has_the_types_that_clients_read,
    check_26_a_tagged_job_goes_to_a_runner_with_the_tag,
    check_27_an_untagged_job_does_not_go_to_a_runner_that_insists_on_tags,
    check_28_of_two_polls_at_once_one_gets_the_job,
    check_59_a_claim_that_is_followed_by_silence_is_taken_back,
);

/// A lease of a stock runner, in seconds.
const STOCK_LEASE_S: i64 = 90;

async fn check_25_a_claimed_job_has_the_types_that_clients_read(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let build = farm.build(&project).await;
    let answer = RunnerApi::new(&farm)
        .register_runner(&farm)
        .await
        .poll()
        .await
        .is(201);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.queue_key(), None);
    let job = answer.json();
    // 32-bit clients read ids as `int`.
    for id in ["id", "project_id", "timeout"] {
        let number = job[id].as_i64().unwrap();
        assert!(
            (1..=i64::from(i32::MAX)).contains(&number),
            "{id}: {number}"
        );
    }
    assert_eq!(job["id"], farm.jobs(&build).await[0].id.0);
    assert_eq!(job["project_id"], project.id().0);
    assert_eq!(job["timeout"], 3600);
    for text in [
        "project_name",
        "commands",
        "repo_url",
        "ref",
        "sha",
        "before_sha",
        "status",
        "token",
        "name",
        "stage",
    ] {
        assert!(job[text].is_string(), "{text}: {}", job[text]);
    }
    assert_eq!(job["sha"], slipway_testkit::farm::SHA);
    assert_eq!(job["before_sha"], "0".repeat(40));
    assert_eq!(
        (&job["ref"], &job["status"]),
        (&json!("main"), &json!("running"))
    );
    assert_eq!(
        (&job["tag"], &job["allow_git_fetch"]),
        (&json!(false), &json!(true))
    );
    assert!(job["options"].is_object());
    assert_eq!(job["depends_on_builds"], json!([]));
    assert_eq!(job["credentials"], json!([]));
    let variables = job["variables"].as_array().unwrap();
    assert!(!variables.is_empty());
    for variable in variables {
        assert!(variable["key"].is_string(), "{variable}");
        assert!(variable["value"].is_string(), "{variable}");
        assert!(variable["public"].is_boolean(), "{variable}");
    }
    let value_of = |key: &str| -> &Value {
        let found = variables.iter().find(|variable| variable["key"] == key);
        &found.unwrap_or_else(|| panic!("no {key}"))["value"]
    };
    assert_eq!(*value_of("CI_BUILD_ID"), job["id"].to_string());
    assert_eq!(*value_of("CI_BUILD_NAME"), job["name"]);
    assert_eq!(*value_of("CI_BUILD_TOKEN"), job["token"]);
    // Members of the later protocol are not there to be relied on.
    for later in [
        "steps",
        "git_info",
        "job_info",
        "image",
        "services",
        "artifacts_file",
    ] {
        assert!(job.get(later).is_none(), "{later}");
    }
}

async fn check_26_a_tagged_job_goes_to_a_runner_with_the_tag(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm);
    let plain = api.register_runner(&farm).await;
    let other = api.register_tagged_runner(&farm, "arm").await;
    let able = api.register_tagged_runner(&farm, "arm,gpu").await;
    let build = farm.build_with_tags(&project, "gpu").await;
    plain.expect_no_job().await;
    other.expect_no_job().await;
    assert_eq!(able.claim().await.id, farm.jobs(&build).await[0].id);
}

async fn check_27_an_untagged_job_does_not_go_to_a_runner_that_insists_on_tags(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let api = RunnerApi::new(&farm);
    let body = json!({"tag_list": "gpu", "run_untagged": false});
    let picky = api.register(&farm.registration_token, body).await;
    let build = farm.build(&project).await;
    picky.expect_no_job().await;
    let easy = api.register_tagged_runner(&farm, "gpu").await;
    assert_eq!(easy.claim().await.id, farm.jobs(&build).await[0].id);
}

async fn check_28_of_two_polls_at_once_one_gets_the_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    // Each has connections of its own, and so a worker of the server of its own.
    let (one, two) = (
        RunnerApi::new(&farm).register_runner(&farm).await,
        RunnerApi::new(&farm).register_runner(&farm).await,
    );
    for round in 0..10 {
        let build = farm.build(&project).await;
        let (first, second) = tokio::join!(one.poll(), two.poll());
        let (winner, other) = match first.status {
            201 => (first, second),
            _ => (second, first),
        };
        assert_eq!(winner.status, 201, "round {round}: {winner:?}");
        assert!(
            [204, 404, 409].contains(&other.status),
            "round {round}: {other:?}"
        );
        let jobs = farm.jobs(&build).await;
        assert_eq!(jobs.len(), 1);
        assert_eq!(winner.json()["id"], jobs[0].id.0);
    }
}

async fn check_59_a_claim_that_is_followed_by_silence_is_taken_back(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let build = farm.build(&project).await;
    let api = RunnerApi::new(&farm);
    let silent = api.register_runner(&farm).await.claim().await;
    farm.advance(STOCK_LEASE_S - 30);
    farm.expire_leases().await;
    assert_eq!(farm.job(silent.id).await.state.name(), "running");
    farm.advance(31);
    farm.expire_leases().await;
    let lost = JobState::Done(Outcome::Failed(FailureReason::RunnerLost));
    assert_eq!(farm.job(silent.id).await.state, lost);
    let jobs = farm.jobs(&build).await;
    assert_eq!(jobs.len(), 2);
    let next = api.register_runner(&farm).await.claim().await;
    assert_eq!(next.id, jobs[1].id);
    assert_ne!(next.token, silent.token);
}
