//! Lists of builds.
//!
//! See `docs/protocols/gitlab-builds-v3.md#listing-builds`.

use serde_json::Value;
use slipway_domain::JobId;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::{ApiResponse, PROJECT};
use crate::fixture::Fixture;

on_both_back_ends!(
    builds_are_listed_newest_first,
    scope_selects_one_status,
    indexed_scopes_are_a_union,
    repeated_scopes_are_a_union,
    brackets_of_scopes_may_be_encoded,
    unknown_scope_returns_400,
);

/// Creates one build with each status, and returns their ids and statuses.
async fn create_builds_of_all_statuses(fixture: &Fixture) -> Vec<(JobId, &'static str)> {
    let mut builds = vec![
        (fixture.finished_build("success").await.id, "success"),
        (fixture.finished_build("failed").await.id, "failed"),
        (fixture.running_build().await.id, "running"),
    ];
    let sha = slipway_testkit::farm::SHA;
    let jobs = [("unit", &[][..]), ("later", &["unit"][..])];
    let [pending, created] = fixture.build_with_jobs("master", sha, &jobs).await[..] else {
        panic!("two jobs");
    };
    builds.extend([(pending, "pending"), (created, "created")]);
    let [canceled, skipped] = fixture.build_with_jobs("master", sha, &jobs).await[..] else {
        panic!("two jobs");
    };
    fixture.farm.cancel(canceled).await;
    builds.extend([(canceled, "canceled"), (skipped, "skipped")]);
    builds
}

/// The distinct statuses of a list, sorted.
fn statuses(response: ApiResponse) -> Vec<String> {
    let items = response.items();
    let status = |item: &Value| item["status"].as_str().unwrap().to_owned();
    let mut statuses: Vec<String> = items.iter().map(status).collect();
    statuses.sort();
    statuses.dedup();
    statuses
}

async fn builds_are_listed_newest_first(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for _ in 0..3 {
        fixture.pending_build().await;
    }
    let ids = fixture
        .developer
        .get(&format!("{PROJECT}/builds"))
        .await
        .ids();
    assert_eq!(ids.len(), 3);
    assert!(ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
}

async fn scope_selects_one_status(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for (id, status) in create_builds_of_all_statuses(&fixture).await {
        let path = format!("{PROJECT}/builds?scope={status}");
        let response = fixture.developer.get(&path).await;
        assert_eq!(response.header("x-total"), Some("1"), "{status}");
        assert_eq!(response.ids(), [id.0], "{status}");
    }
    let all = fixture
        .developer
        .get(&format!("{PROJECT}/builds?scope="))
        .await;
    assert_eq!(all.items().len(), 7);
}

/// Asserts that each query selects exactly the pending and running builds.
async fn assert_pending_and_running(backend: Backend, queries: &[&str]) {
    let fixture = Fixture::start(backend).await;
    create_builds_of_all_statuses(&fixture).await;
    for query in queries {
        let response = fixture
            .developer
            .get(&format!("{PROJECT}/builds?{query}"))
            .await;
        assert_eq!(statuses(response), ["pending", "running"], "{query}");
    }
}

async fn indexed_scopes_are_a_union(backend: Backend) {
    assert_pending_and_running(backend, &["scope[0]=pending&scope[1]=running"]).await;
}

async fn repeated_scopes_are_a_union(backend: Backend) {
    let queries = [
        "scope[]=pending&scope[]=running",
        "scope=pending&scope=running",
    ];
    assert_pending_and_running(backend, &queries).await;
}

async fn brackets_of_scopes_may_be_encoded(backend: Backend) {
    let queries = [
        "scope%5B0%5D=pending&scope%5B1%5D=running",
        "scope%5B%5D=pending&scope%5B%5D=running",
    ];
    assert_pending_and_running(backend, &queries).await;
}

async fn unknown_scope_returns_400(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for query in ["scope=bogus", "scope[0]=pending&scope[1]=bogus"] {
        let response = fixture
            .developer
            .get(&format!("{PROJECT}/builds?{query}"))
            .await;
        response.has_error(400, "scope does not have a valid value");
    }
}
