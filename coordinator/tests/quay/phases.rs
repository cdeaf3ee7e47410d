//! Phases of builds, and the order in which builds run.
//!
//! See `docs/protocols/quay.md#phases` and `#running-builds`.

use reqwest::Method;
use serde_json::json;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::{BUILDS, PUBLIC_BUILDS, SOURCE_URL};
use crate::client::Claim;
use crate::fixture::{Fixture, report_phase};

on_both_back_ends!(
    lost_build_is_retried_until_it_expires,
    silent_build_is_an_internalerror_as_soon_as_its_lease_expires,
    complete_build_stays_complete,
    phase_does_not_depend_on_the_blob_store,
    builds_of_one_repository_run_one_at_a_time,
    third_loss_expires_a_build,
    only_documented_phases_occur,
    manually_retried_build_is_waiting,
);

/// Lets the lease of the running build expire.
async fn lose(fixture: &Fixture) {
    fixture.farm.advance(60);
    assert_eq!(fixture.farm.expire_leases().await, 1);
}

async fn lost_build_is_retried_until_it_expires(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, _claim) = fixture.build_in_phase("building").await;
    lose(&fixture).await;
    assert_eq!(fixture.phase(&id).await, "internalerror");
    for left in [1, 0] {
        fixture.register_runner().await.claim().await;
        assert_eq!(fixture.phase(&id).await, "build-scheduled");
        lose(&fixture).await;
        let expected = if left > 0 { "internalerror" } else { "expired" };
        assert_eq!(fixture.phase(&id).await, expected);
    }
    fixture.register_runner().await.poll().await.is(404);
    // A lost build does not count as finished, so that its log stays at `/logs` for 15 days.
    fixture.farm.advance(86400);
    let log = fixture
        .reader
        .get(&format!("{BUILDS}{id}/logs"))
        .await
        .is(200)
        .json();
    assert!(log["logs"].is_array(), "{log}");
    fixture.farm.advance(15 * 86400);
    let log = fixture
        .reader
        .get(&format!("{BUILDS}{id}/logs"))
        .await
        .is(200)
        .json();
    assert!(log["logs_url"].is_string(), "{log}");
}

/// Quay derives this phase from a heartbeat in `status`; the farm derives it from the lease.
async fn silent_build_is_an_internalerror_as_soon_as_its_lease_expires(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, claim) = fixture.build_in_phase("building").await;
    fixture.farm.advance(10);
    assert_eq!(fixture.phase(&id).await, "building");
    claim.put(json!({"state": "running"})).await.is(200);
    fixture.farm.advance(10);
    let build = fixture
        .reader
        .get(&format!("{BUILDS}{id}"))
        .await
        .is(200)
        .json();
    assert_eq!(build["phase"], "building");
    assert_eq!(build["status"], json!({}));
    fixture.farm.advance(60);
    assert_eq!(fixture.phase(&id).await, "internalerror");
    let listed = fixture.reader.get(BUILDS).await.is(200).json();
    assert_eq!(listed["builds"][0]["phase"], "internalerror");
    // An update that arrives before the periodic lease check still renews the lease.
    claim.put(json!({"state": "running"})).await.is(200);
    assert_eq!(fixture.phase(&id).await, "building");
}

async fn complete_build_stays_complete(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, _) = fixture.finished_build("success").await;
    fixture.farm.advance(86400);
    fixture.farm.expire_leases().await;
    let build = fixture
        .reader
        .get(&format!("{BUILDS}{id}"))
        .await
        .is(200)
        .json();
    assert_eq!(build["phase"], "complete");
    assert_eq!(build["status"], json!({}));
}

async fn phase_does_not_depend_on_the_blob_store(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, _claim) = fixture.build_in_phase("building").await;
    fixture.farm.lose_blobs();
    let build = fixture
        .reader
        .get(&format!("{BUILDS}{id}"))
        .await
        .is(200)
        .json();
    assert_eq!(build["phase"], "building");
    assert_eq!(build["error"], json!(null));
}

async fn builds_of_one_repository_run_one_at_a_time(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (first, second) = (fixture.create_build().await, fixture.create_build().await);
    let other = fixture.create_build_in(PUBLIC_BUILDS).await;
    let (one, two) = (
        fixture.register_runner().await,
        fixture.register_runner().await,
    );
    let claim = one.claim().await;
    assert_eq!(fixture.phase(&first).await, "build-scheduled");
    // The second build of the repository waits, and the build of the other repository overtakes it.
    two.claim().await;
    assert_eq!(fixture.phase(&second).await, "waiting");
    let build = fixture.reader.get(&format!("{PUBLIC_BUILDS}{other}")).await;
    assert_eq!(build.is(200).json()["phase"], "build-scheduled");
    let third = fixture.register_runner().await;
    third.poll().await.is(404);
    report_phase(&claim, "pushing").await.is(200);
    third.poll().await.is(404);
    claim.succeed().await;
    third.claim().await;
    assert_eq!(fixture.phase(&first).await, "complete");
    assert_eq!(fixture.phase(&second).await, "build-scheduled");
}

async fn third_loss_expires_a_build(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.create_build().await;
    for phase in ["internalerror", "internalerror", "expired"] {
        let claim: Claim = fixture.register_runner().await.claim().await;
        report_phase(&claim, "building").await.is(200);
        lose(&fixture).await;
        assert_eq!(fixture.phase(&id).await, phase);
    }
    let log = fixture.complete_log(&id).await;
    let messages = log.iter().map(|entry| entry["message"].as_str().unwrap());
    let attempt = ["build-scheduled", "building", "internalerror"];
    let expected = [attempt; 3].concat();
    let phases = log.iter().filter(|entry| entry["type"] == "phase");
    assert_eq!(phases.count(), expected.len());
    let messages: Vec<&str> = messages
        .filter(|message| expected.contains(message))
        .collect();
    assert_eq!(messages, expected);
    let error = log.last().unwrap();
    assert_eq!(error["data"]["error_code"], "io.quay.builder.internalerror");
    assert_eq!(error["data"]["internal_error"], true);
}

async fn only_documented_phases_occur(backend: Backend) {
    const DOCUMENTED: [&str; 11] = [
        "waiting",
        "build-scheduled",
        "unpacking",
        "pulling",
        "building",
        "pushing",
        "complete",
        "error",
        "cancelled",
        "internalerror",
        "expired",
    ];
    let fixture = Fixture::start(backend).await;
    let mut seen = Vec::new();
    let phases = [
        "preparing",
        "fetching",
        "pulling",
        "building",
        "pushing",
        "uploading",
    ];
    for phase in phases {
        let (id, claim) = fixture.build_in_phase(phase).await;
        seen.push(fixture.phase(&id).await);
        claim.succeed().await;
        seen.push(fixture.phase(&id).await);
    }
    for reason in slipway_domain::FailureReason::ALL {
        let (id, claim) = fixture.claimed_build().await;
        let body = json!({"state": "failed", "failure_reason": reason.as_str()});
        claim.put(body).await.is(200);
        seen.push(fixture.phase(&id).await);
        if seen.last().unwrap() == "internalerror" {
            // Finish the retry, so that the next claim gets the next build.
            let again = fixture.register_runner().await.claim().await;
            again.succeed().await;
        }
    }
    let id = fixture.create_build().await;
    seen.push(fixture.phase(&id).await);
    fixture.admin.delete(&format!("{BUILDS}{id}")).await.is(204);
    seen.push(fixture.phase(&id).await);
    // Builds of commits have the same phases.
    fixture.farm.build(&fixture.project).await;
    let listed = fixture
        .reader
        .get(&format!("{BUILDS}?limit=0"))
        .await
        .is(200)
        .json();
    for build in listed["builds"].as_array().unwrap() {
        seen.push(build["phase"].as_str().unwrap().to_owned());
    }
    for phase in &seen {
        assert!(DOCUMENTED.contains(&phase.as_str()), "{phase}");
    }
}

async fn manually_retried_build_is_waiting(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let build = fixture
        .writer
        .create(&json!({ "archive_url": SOURCE_URL }))
        .await;
    let id = build["id"].as_str().unwrap();
    let claim = fixture.register_runner().await.claim().await;
    claim.put(json!({"state": "failed"})).await.is(200);
    assert_eq!(fixture.phase(id).await, "error");
    fixture.farm.advance(1);
    let retry = format!("/v1/builds/{id}/retry");
    let response = fixture.admin.request(Method::POST, &retry).send().await;
    assert_eq!(response.unwrap().status(), 200);
    // Unlike a build that the farm retries, it can be canceled.
    assert_eq!(fixture.phase(id).await, "waiting");
    fixture.admin.delete(&format!("{BUILDS}{id}")).await.is(204);
}
