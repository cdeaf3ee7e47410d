//! What keeps the jobs of different projects apart on one host.
//!
//! See `docs/security.md#two-projects-on-one-build-host`.

use serde_json::{Value, json};
use slipway_domain::{JobState, queue::PendingReason};
use slipway_farm::StartBlocker;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use super::packages::register_and_poll;
use crate::client::Claim;

on_both_back_ends!(
    jobs_of_two_projects_have_different_cache_scopes_and_push_targets,
    dedicated_runner_gets_only_builds_of_its_trust_levels,
);

fn info(trust: &[&str]) -> Value {
    json!({
        "name": "slipway-runner", "features": {"heartbeat": true}, "trust": trust,
        "notes": ["Steps share a network."],
    })
}

async fn claim(farm: &TestFarm, trust: &[&str]) -> Claim {
    let (runner, response) = register_and_poll(farm, &info(trust)).await;
    Claim::read(&runner, &response)
}

async fn jobs_of_two_projects_have_different_cache_scopes_and_push_targets(backend: Backend) {
    let farm = TestFarm::start_with(backend, |config| {
        config.registry = Some("registry.test".to_owned());
    })
    .await;
    let mut seen = Vec::new();
    for path in ["acme/api", "acme/web", "acme/api"] {
        let project = farm.project(path).await;
        farm.build(&project).await;
        let claim = claim(&farm, &[]).await;
        let isolation = claim.payload["own"]["isolation"].clone();
        assert_eq!(
            isolation["push_to"],
            json!([format!("registry.test/{path}")])
        );
        assert_eq!(isolation["trust"], "unverified");
        assert_ne!(isolation["trust_scope"], isolation["project_scope"]);
        claim.put(json!({"state": "success"})).await.is(200);
        seen.push(isolation);
    }
    assert_eq!(seen[0], seen[2]);
    for scope in ["trust_scope", "project_scope"] {
        assert_ne!(seen[0][scope], seen[1][scope]);
        assert_eq!(seen[0][scope].as_str().unwrap().len(), 40);
    }
}

async fn dedicated_runner_gets_only_builds_of_its_trust_levels(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    // Its commit is named by the requester.
    let build = farm.build(&project).await;
    let (_, response) = register_and_poll(&farm, &info(&["default_branch", "ref"])).await;
    response.no_job();
    let job = farm.jobs(&build).await.remove(0);
    assert_eq!(job.state, JobState::Pending);
    let access = farm.project("acme/api").await;
    let why = farm.farm().pending_reason(&access, job.id).await.unwrap();
    let missing = vec!["builds of the trust level unverified".to_owned()];
    let expected = PendingReason::NoRunnerHasFeatures(missing);
    assert_eq!(why, StartBlocker::Pending(expected));
    let claimed = claim(&farm, &["unverified"]).await;
    assert_eq!(claimed.id, job.id);
    let runner = farm
        .farm()
        .all_runners(&farm.admin().await)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(runner.about.notes, ["Steps share a network."]);
}
