//! Asking for builds: checks 11 to 17, 22, 27 to 29, 31 to 34 and 36.

use futures_util::future::join_all;
use serde_json::{Value, json};
use slipway_testkit::Backend;

use crate::support::{ACME, B, World, g, of};

slipway_testkit::on_both_back_ends!(
    check_11_a_build_is_made_and_scheduled,
    checks_12_and_13_numbers_count_up_in_each_pipeline,
    checks_14_and_15_a_build_tells_what_asked_for_it,
    checks_16_and_17_people_cannot_run_what_is_locked,
    checks_22_27_and_36_fields_are_checked_before_anything_is_made,
    checks_28_and_29_what_is_not_known_is_not_told,
    checks_31_to_34_a_pipeline_is_found_by_its_repository,
    a_blank_word_is_none,
);

/// The keys of a build.
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

async fn check_11_a_build_is_made_and_scheduled(backend: Backend) {
    let world = World::start(backend).await;
    let build = world.ana.post(B, &of(&g())).await.is(201).json();
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

async fn checks_12_and_13_numbers_count_up_in_each_pipeline(backend: Backend) {
    let world = World::start(backend).await;
    world.of_source().await;
    let asked = of(&g());
    let all = join_all((0..20).map(|_| world.ana.post(B, &asked))).await;
    let mut numbers: Vec<i64> = all
        .into_iter()
        .map(|answer| answer.is(201).json()["number"].as_i64().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=20).collect::<Vec<i64>>());
    let other = B.replace("web", "acme-web-ci");
    let first = world.ana.post(&other, &asked).await.is(201).json();
    assert_eq!(first["number"], 1);
    assert_eq!(world.build(&g()).await, 21);
}

async fn checks_14_and_15_a_build_tells_what_asked_for_it(backend: Backend) {
    let world = World::start(backend).await;
    for (given, told) in [
        (json!("webhook"), "webhook"),
        (json!("schedule"), "schedule"),
        (json!(null), "api"),
    ] {
        let mut asked = of(&g());
        asked["source"] = given;
        let build = world.ana.post(B, &asked).await.is(201).json();
        assert_eq!(build["source"], told);
    }
    let mut asked = of(&g());
    asked["source"] = "cron".into();
    let answer = world.ana.post(B, &asked).await;
    answer.error(422, "validation_failed", "build_invalid");
    assert_eq!(world.count().await, 3);
}

async fn checks_16_and_17_people_cannot_run_what_is_locked(backend: Backend) {
    let world = World::start(backend).await;
    world.locked().await;
    let path = B.replace("web", "locked");
    let mut asked = of(&g());
    for source in [json!(null), json!("api"), json!("ui")] {
        asked["source"] = source;
        let answer = world.ana.post(&path, &asked).await;
        answer.error(403, "forbidden", "pipeline_manual_disabled");
    }
    // What is wrong with the rest is told to those who may.
    let answer = world.ana.post(&path, &json!({"branch": 5})).await;
    answer.error(403, "forbidden", "pipeline_manual_disabled");
    asked["source"] = "schedule".into();
    let build = world.ana.post(&path, &asked).await.is(201).json();
    assert_eq!(build["number"], 1);
}

async fn checks_22_27_and_36_fields_are_checked_before_anything_is_made(backend: Backend) {
    let world = World::start(backend).await;
    let with = |key: &str, value: Value| {
        let mut body = of(&g());
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
        with("pipeline_ir", g()),
        with("env", json!({"A": 1})),
        with("env", json!(["A"])),
        with("env", json!({"A B": "1"})),
        with("message", json!(5)),
        with("branch", json!("x".repeat(4097))),
        with("message", json!("a\0b")),
        with("source", json!(5)),
    ] {
        let answer = world.ana.post(B, &body).await;
        answer.error(422, "validation_failed", "build_invalid");
    }
    let answer = world.ana.empty(reqwest::Method::POST, B).await;
    answer.error(422, "validation_failed", "build_invalid");
    assert_eq!(world.count().await, 0);
    let env = with("env", json!({"A": "1"}));
    world.ana.post(B, &env).await.is(201);
    let long = with("branch", json!("x".repeat(4096)));
    let build = world.ana.post(B, &long).await.is(201).json();
    assert_eq!(build["branch"].as_str().unwrap().len(), 4096);
    assert_eq!(build["number"], 2);
}

async fn checks_28_and_29_what_is_not_known_is_not_told(backend: Backend) {
    let world = World::start(backend).await;
    let mut asked = of(&g());
    asked["author"] = "somebody".into();
    asked["foo"] = json!({"bar": 1});
    asked["env"] = json!({"SECRET": "s"});
    let build = world.ana.post(B, &asked).await.is(201).json();
    let keys = build.as_object().unwrap();
    for hidden in ["author", "foo", "id", "token", "runner_token", "env"] {
        assert!(!keys.contains_key(hidden), "{build}");
    }
}

async fn checks_31_to_34_a_pipeline_is_found_by_its_repository(backend: Backend) {
    let world = World::start(backend).await;
    world.of_source().await;
    let path = format!("{ACME}/builds");
    let asked = |repository: &str, slug: &str| {
        let mut body = of(&g());
        body["repo_name"] = repository.into();
        body["source_slug"] = slug.into();
        body
    };
    let none = |answer: crate::support::ApiResponse| {
        answer.error(404, "not_found", "pipeline_not_found");
    };
    let found = world.ana.post(&path, &asked("aCme/web", "ci")).await;
    assert_eq!(found.is(201).json()["pipeline_slug"], "acme-web-ci");
    none(world.ana.post(&path, &asked("acme/web", "CI")).await);
    let body = json!({
        "name": "plain", "repository": "https://h/acme/plain", "default_branch": "main",
    });
    let made = world.ana.post(&format!("{ACME}/pipelines"), &body).await;
    assert_eq!(made.is(201).json()["repo_name"], "acme/plain");
    none(world.ana.post(&path, &asked("acme/plain", "plain")).await);
    let direct = B.replace("web", "plain");
    world.ana.post(&direct, &of(&g())).await.is(201);
    let answer = world.ana.post(&path, &of(&g())).await;
    answer.error(422, "validation_failed", "build_invalid");
    let answer = world.olaf.post(&path, &asked("acme/web", "ci")).await;
    answer.error(404, "not_found", "organization_not_found");
    let access = world.farm.project("acme/acme-web-ci").await;
    let slug = slipway_domain::Slug::default_pipeline();
    let change = slipway_farm::PipelineUpdate {
        allow_manual: Some(false),
        archived: Some(true),
        ..Default::default()
    };
    let changed = world.farm.farm().describe_pipeline(&access, &slug, change);
    changed.await.unwrap();
    let answer = world.ana.post(&path, &asked("acme/web", "ci")).await;
    answer.error(403, "forbidden", "pipeline_manual_disabled");
}

async fn a_blank_word_is_none(backend: Backend) {
    let world = World::start(backend).await;
    let mut asked = of(&g());
    asked["branch"] = "".into();
    asked["commit"] = "  ".into();
    asked["message"] = "".into();
    let build = world.ana.post(B, &asked).await.is(201).json();
    for key in ["branch", "commit", "message"] {
        assert_eq!(build[key], Value::Null, "{build}");
    }
}
