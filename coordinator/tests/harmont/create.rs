//! Creation of builds.
//!
//! See `docs/protocols/harmont.md#create-a-build`.

use futures_util::future::join_all;
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{ApiResponse, BUILDS, Fixture, ORGANIZATION, build_request, two_steps};

on_both_back_ends!(
    create_returns_201_with_a_scheduled_build,
    builds_are_numbered_without_gaps_in_each_pipeline,
    source_is_validated_and_returned,
    manual_builds_of_a_locked_pipeline_return_403,
    invalid_fields_return_422_and_create_no_build,
    unknown_and_private_members_are_not_returned,
    pipeline_is_found_by_repository_and_source_slug,
    blank_texts_are_returned_as_null,
);

/// The members of a build.
const KEYS: [&str; 13] = [
    "branch",
    "commit",
    "created_at",
    "error_code",
    "error_message",
    "finished_at",
    "message",
    "number",
    "pipeline_slug",
    "scheduled_at",
    "source",
    "started_at",
    "state",
];

async fn create_returns_201_with_a_scheduled_build(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let build = fixture
        .member
        .post(BUILDS, &build_request(&two_steps()))
        .await
        .is(201)
        .json();
    let mut keys: Vec<&str> = build
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, KEYS);
    let expected = json!({
        "number": 1, "state": "scheduled", "source": "api", "pipeline_slug": "web",
        "branch": "main", "commit": "6c1d3f0e9a", "message": null, "started_at": null,
        "finished_at": null, "error_code": null, "error_message": null,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&build[key], value, "{build}");
    }
    let created = build["created_at"].as_str().unwrap();
    assert_eq!(
        (created.len(), &created[19..20], &created[26..]),
        (27, ".", "Z")
    );
    assert_eq!(build["scheduled_at"], build["created_at"]);
}

async fn builds_are_numbered_without_gaps_in_each_pipeline(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture.create_source_pipeline().await;
    let new_build = build_request(&two_steps());
    let all = join_all((0..20).map(|_| fixture.member.post(BUILDS, &new_build))).await;
    let mut numbers: Vec<i64> = all
        .into_iter()
        .map(|response| response.is(201).json()["number"].as_i64().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=20).collect::<Vec<i64>>());
    let other = BUILDS.replace("web", "acme-web-ci");
    let first = fixture.member.post(&other, &new_build).await.is(201).json();
    assert_eq!(first["number"], 1);
    assert_eq!(fixture.create_build(&two_steps()).await, 21);
}

async fn source_is_validated_and_returned(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    for (source, expected) in [
        (json!("webhook"), "webhook"),
        (json!("schedule"), "schedule"),
        (json!(null), "api"),
    ] {
        let mut new_build = build_request(&two_steps());
        new_build["source"] = source;
        let build = fixture.member.post(BUILDS, &new_build).await.is(201).json();
        assert_eq!(build["source"], expected);
    }
    let mut new_build = build_request(&two_steps());
    new_build["source"] = "cron".into();
    let response = fixture.member.post(BUILDS, &new_build).await;
    response.fails_with_code(422, "validation_failed", "build_invalid");
    assert_eq!(fixture.count_builds().await, 3);
}

async fn manual_builds_of_a_locked_pipeline_return_403(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture.create_locked_pipeline().await;
    let path = BUILDS.replace("web", "locked");
    let mut new_build = build_request(&two_steps());
    for source in [json!(null), json!("api"), json!("ui")] {
        new_build["source"] = source;
        let response = fixture.member.post(&path, &new_build).await;
        response.fails_with_code(403, "forbidden", "pipeline_manual_disabled");
    }
    // Whether the pipeline allows the build is checked before the other fields.
    let response = fixture.member.post(&path, &json!({"branch": 5})).await;
    response.fails_with_code(403, "forbidden", "pipeline_manual_disabled");
    new_build["source"] = "schedule".into();
    let build = fixture.member.post(&path, &new_build).await.is(201).json();
    assert_eq!(build["number"], 1);
}

async fn invalid_fields_return_422_and_create_no_build(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let with = |key: &str, value: Value| {
        let mut body = build_request(&two_steps());
        body[key] = value;
        body
    };
    for body in [
        json!({}),
        json!([]),
        json!(5),
        json!(null),
        json!({"branch": "main"}),
        json!({"branch": 5, "commit": "c"}),
        with("pipeline_ir", two_steps()),
        with("env", json!({"A": 1})),
        with("env", json!(["A"])),
        with("env", json!({"A B": "1"})),
        with("message", json!(5)),
        with("branch", json!("x".repeat(4097))),
        with("message", json!("a\0b")),
        with("source", json!(5)),
    ] {
        let response = fixture.member.post(BUILDS, &body).await;
        response.fails_with_code(422, "validation_failed", "build_invalid");
    }
    let response = fixture
        .member
        .send_empty(reqwest::Method::POST, BUILDS)
        .await;
    response.fails_with_code(422, "validation_failed", "build_invalid");
    assert_eq!(fixture.count_builds().await, 0);
    let env = with("env", json!({"A": "1"}));
    fixture.member.post(BUILDS, &env).await.is(201);
    let long = with("branch", json!("x".repeat(4096)));
    let build = fixture.member.post(BUILDS, &long).await.is(201).json();
    assert_eq!(build["branch"].as_str().unwrap().len(), 4096);
    assert_eq!(build["number"], 2);
}

async fn unknown_and_private_members_are_not_returned(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut new_build = build_request(&two_steps());
    new_build["author"] = "a name".into();
    new_build["foo"] = json!({"bar": 1});
    new_build["env"] = json!({"SECRET": "s"});
    let build = fixture.member.post(BUILDS, &new_build).await.is(201).json();
    let keys = build.as_object().unwrap();
    for hidden in ["author", "foo", "id", "token", "runner_token", "env"] {
        assert!(!keys.contains_key(hidden), "{build}");
    }
}

async fn pipeline_is_found_by_repository_and_source_slug(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture.create_source_pipeline().await;
    let path = format!("{ORGANIZATION}/builds");
    let new_build = |repository: &str, slug: &str| {
        let mut body = build_request(&two_steps());
        body["repo_name"] = repository.into();
        body["source_slug"] = slug.into();
        body
    };
    let is_pipeline_not_found = |response: ApiResponse| {
        response.fails_with_code(404, "not_found", "pipeline_not_found");
    };
    let found = fixture
        .member
        .post(&path, &new_build("aCme/web", "ci"))
        .await;
    assert_eq!(found.is(201).json()["pipeline_slug"], "acme-web-ci");
    is_pipeline_not_found(
        fixture
            .member
            .post(&path, &new_build("acme/web", "CI"))
            .await,
    );
    let body = json!({
        "name": "plain", "repository": "https://h/acme/plain", "default_branch": "main",
    });
    let created = fixture
        .member
        .post(&format!("{ORGANIZATION}/pipelines"), &body)
        .await;
    assert_eq!(created.is(201).json()["repo_name"], "acme/plain");
    is_pipeline_not_found(
        fixture
            .member
            .post(&path, &new_build("acme/plain", "plain"))
            .await,
    );
    let direct = BUILDS.replace("web", "plain");
    fixture
        .member
        .post(&direct, &build_request(&two_steps()))
        .await
        .is(201);
    let response = fixture
        .member
        .post(&path, &build_request(&two_steps()))
        .await;
    response.fails_with_code(422, "validation_failed", "build_invalid");
    let response = fixture
        .outsider
        .post(&path, &new_build("acme/web", "ci"))
        .await;
    response.fails_with_code(404, "not_found", "organization_not_found");
    let access = fixture.farm.project("acme/acme-web-ci").await;
    let slug = slipway_domain::Slug::default_pipeline();
    let change = slipway_farm::PipelineUpdate {
        allow_manual: Some(false),
        archived: Some(true),
        ..Default::default()
    };
    let changed = fixture
        .farm
        .farm()
        .describe_pipeline(&access, &slug, change);
    changed.await.unwrap();
    let response = fixture
        .member
        .post(&path, &new_build("acme/web", "ci"))
        .await;
    response.fails_with_code(403, "forbidden", "pipeline_manual_disabled");
}

async fn blank_texts_are_returned_as_null(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut new_build = build_request(&two_steps());
    new_build["branch"] = "".into();
    new_build["commit"] = "  ".into();
    new_build["message"] = "".into();
    let build = fixture.member.post(BUILDS, &new_build).await.is(201).json();
    for key in ["branch", "commit", "message"] {
        assert_eq!(build[key], Value::Null, "{build}");
    }
}
