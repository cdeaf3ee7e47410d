//! Lists of builds.
//!
//! See `docs/protocols/quay.md#listing-builds`.

use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::BUILDS;
use crate::fixture::Fixture;

on_both_back_ends!(
    list_has_the_five_newest_builds_by_default,
    since_is_inclusive,
    list_since_after_the_newest_build_is_empty,
    list_parameters_must_be_integers,
    build_of_a_commit_is_listed,
);

async fn list_has_the_five_newest_builds_by_default(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.insert(0, fixture.create_build().await);
    }
    assert_eq!(fixture.reader.get(BUILDS).await.build_ids(), ids[..5]);
    for (query, expected) in [("limit=2", 2), ("limit=100", 12), ("limit=0", 12)] {
        let listed = fixture
            .reader
            .get(&format!("{BUILDS}?{query}"))
            .await
            .build_ids();
        assert_eq!(listed, ids[..expected], "{query}");
    }
}

/// The `started` time of a build, in Unix seconds.
async fn started_at(fixture: &Fixture, id: &str) -> i64 {
    let build = fixture
        .reader
        .get(&format!("{BUILDS}{id}"))
        .await
        .is(200)
        .json();
    let started = build["started"].as_str().unwrap();
    let started = chrono::DateTime::parse_from_rfc2822(started);
    started.unwrap().timestamp()
}

async fn since_is_inclusive(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.insert(0, fixture.create_build().await);
    }
    let since = started_at(&fixture, &ids[6]).await;
    let all = fixture
        .reader
        .get(&format!("{BUILDS}?since={since}&limit=100"))
        .await;
    assert_eq!(all.build_ids(), ids[..7]);
    let default = fixture.reader.get(&format!("{BUILDS}?since={since}")).await;
    assert_eq!(default.build_ids(), ids[..5]);
}

async fn list_since_after_the_newest_build_is_empty(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.create_build().await;
    let after = started_at(&fixture, &id).await + 1;
    let response = fixture.reader.get(&format!("{BUILDS}?since={after}")).await;
    assert_eq!(response.is(200).json(), json!({ "builds": [] }));
}

async fn list_parameters_must_be_integers(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for (query, name) in [
        ("limit=abc", "limit"),
        ("limit=", "limit"),
        ("limit=2.5", "limit"),
        ("limit=-1", "limit"),
        ("since=abc", "since"),
        ("since=99999999999999999", "since"),
    ] {
        let help = fixture
            .reader
            .get(&format!("{BUILDS}?{query}"))
            .await
            .fails_with_message(400);
        assert!(help[name].is_string(), "{query}: {help}");
        assert_eq!(help.as_object().unwrap().len(), 1, "{query}: {help}");
    }
    fixture
        .reader
        .get(&format!("{BUILDS}?limit=1&limit=x&bogus=1"))
        .await
        .is(200);
}

async fn build_of_a_commit_is_listed(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let created = fixture.farm.build(&fixture.project).await;
    let build = fixture
        .writer
        .get(&format!("{BUILDS}{}", created.uuid))
        .await
        .is(200)
        .json();
    assert_eq!(build["display_name"], slipway_testkit::farm::SHA[..7]);
    assert_eq!(build["phase"], "waiting");
    assert_eq!(build.get("archive_url"), None);
    assert_eq!(build["resource_key"], Value::Null);
    assert_eq!(build["manual_user"], "root");
    assert_eq!(build["dockerfile_path"], "/Dockerfile");
    assert_eq!(build["context"], "/");
    assert_eq!(
        fixture.reader.get(BUILDS).await.build_ids(),
        [created.uuid.to_string()]
    );
}
