//! Deleting projects, and what becomes of their jobs and runners.
//!
//! See `docs/protocols/gitlab-builds-v3.md#projects`.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use slipway_coordinator::Config;
use slipway_domain::{JobState, Phase};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends, wait_until};

use crate::api_client::send;
use crate::client::RunnerApi;
use crate::fixture::Fixture;

on_both_back_ends!(
    deleted_project_leaves_no_blobs_and_no_jobs,
    deleting_a_project_ends_held_polls_and_revokes_its_tokens,
    deleting_a_project_ends_a_held_heartbeat,
    only_owners_delete_a_project,
);

async fn deleted_project_leaves_no_blobs_and_no_jobs(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let kept = fixture.farm.project("grp/kept").await;
    fixture.farm.build(&kept).await;
    let api = RunnerApi::new(&fixture.farm);
    let runner = api.register_runner(&fixture.farm).await;
    let kept_claim = runner.claim().await;
    kept_claim.patch("0-2", "abc").await.is(202);
    let remaining = fixture.farm.stored_blobs();

    // A finished job with a trace and an archive, a running one, a waiting one, and many more.
    fixture.farm.build(&fixture.project).await;
    let finished = runner.claim().await;
    finished.patch("0-2", "abc").await.is(202);
    finished.patch("3-5", "def").await.is(202);
    finished.upload("", "a.zip", b"PK").await.is(201);
    finished.succeed().await;
    fixture
        .farm
        .build_of(&fixture.project, &[("one", &[]), ("two", &["one"])])
        .await;
    let running = runner.claim().await;
    running.patch("0-2", "abc").await.is(202);
    for _ in 0..25 {
        fixture.farm.build(&fixture.project).await;
    }
    assert!(fixture.farm.stored_blobs() >= remaining + 4);

    let owner = fixture.admin.request(Method::DELETE, "/projects/1");
    send(owner).await.has_json(200, &json!(true));
    assert_eq!(fixture.farm.stored_blobs(), remaining);
    fixture.admin.get("/projects/1").await.is(404);
    running.patch("3-5", "def").await.is(404);
    running.put(json!({"state": "success"})).await.is(404);
    finished.download().await.is(404);
    runner.expect_no_job().await;
    kept_claim.patch("3-5", "def").await.is(202);
    kept_claim.succeed().await;
    let again = fixture.admin.request(Method::DELETE, "/projects/1");
    send(again).await.is(404);
}

async fn deleting_a_project_ends_held_polls_and_revokes_its_tokens(backend: Backend) {
    let hold_polls = |config: &mut Config| config.limits.poll_wait_s = Duration::from_secs(60);
    let fixture = Fixture::with_farm(TestFarm::start_with(backend, hold_polls).await).await;
    let token = fixture
        .farm
        .project_registration_token(&fixture.project)
        .await;
    let project = fixture.master.get("/projects/1").await.is(200).json();
    let runners_token = project["runners_token"].as_str().unwrap().to_owned();
    let api = RunnerApi::new(&fixture.farm);
    let bound = api.register(&token, json!({})).await;
    let queue_key = bound.expect_no_job().await;
    // The poll is held while the project is deleted, and must end before its time limit.
    let waiting = tokio::spawn({
        let bound = bound.clone();
        async move { bound.poll_with_queue_key(&queue_key).await }
    });
    let parked = || async { fixture.farm.farm().parked_polls() == 1 };
    wait_until(Duration::from_secs(10), "the poll is held", parked).await;
    let delete = fixture.admin.request(Method::DELETE, "/projects/1");
    send(delete).await.is(200);
    let response = tokio::time::timeout(Duration::from_secs(5), waiting).await;
    response.expect("the poll ends at once").unwrap().no_job();
    for revoked in [&token, &runners_token] {
        let body = json!({"token": revoked});
        let response = api
            .json(Method::POST, "/runners/register.json", &body)
            .await;
        response.is(403);
    }
    let details = fixture.admin.get(&format!("/runners/{}", bound.id)).await;
    assert_eq!(details.is(200).json()["projects"], json!([]));
}

async fn deleting_a_project_ends_a_held_heartbeat(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    fixture.farm.build(&fixture.project).await;
    let claim = RunnerApi::new(&fixture.farm)
        .register_runner(&fixture.farm)
        .await
        .claim()
        .await;
    let held = tokio::spawn({
        let claim = claim.clone();
        async move {
            let body = json!({
                "token": claim.runner.token, "state": "running", "phase": "pushing",
            });
            let path = format!("/builds/{}.json", claim.id);
            let heartbeat = claim.runner.api.request(Method::PUT, &path).json(&body);
            let heartbeat = heartbeat.header("Prefer", "wait=30");
            claim.runner.api.send(heartbeat).await
        }
    });
    let pushing = || async {
        let state = fixture.farm.job(claim.id).await.state;
        matches!(state, JobState::Running(_, Phase::Pushing))
    };
    wait_until(Duration::from_secs(10), "the phase is stored", pushing).await;
    let delete = fixture.admin.request(Method::DELETE, "/projects/1");
    send(delete).await.is(200);
    let response = tokio::time::timeout(Duration::from_secs(5), held).await;
    response
        .expect("the heartbeat ends at once")
        .unwrap()
        .is(404);
}

async fn only_owners_delete_a_project(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for (client, status) in [
        (&fixture.guest, 403),
        (&fixture.developer, 403),
        (&fixture.master, 403),
        (&fixture.outsider, 404),
    ] {
        let delete = client.request(Method::DELETE, "/projects/1");
        send(delete).await.is(status);
    }
    fixture.master.get("/projects/1").await.is(200);
}
