//! Pipelines of an organization.
//!
//! See `docs/protocols/harmont.md#pipelines`.

use serde_json::{Value, json};
use slipway_farm::PipelineUpdate;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{Fixture, ORGANIZATION, build_request, slugs, two_steps};

on_both_back_ends!(
    pipeline_is_created_once_with_a_slug_from_its_name,
    repository_of_a_pipeline_is_any_text,
    archived_pipeline_is_readable_but_not_listed,
    pipelines_are_listed_page_by_page_oldest_first,
);

async fn pipeline_is_created_once_with_a_slug_from_its_name(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let path = format!("{ORGANIZATION}/pipelines");
    let body = json!({
        "name": "My Pipe", "repository": "https://h/acme/core.git", "default_branch": "main",
    });
    let created = fixture.member.post(&path, &body).await.is(201).json();
    let expected = json!({
        "slug": "my-pipe", "name": "My Pipe", "repository": "https://h/acme/core.git",
        "default_branch": "main", "repo_name": "acme/core", "visibility": "private",
        "allow_manual": true, "description": null, "created_at": created["created_at"],
    });
    assert_eq!(created, expected);
    let again = fixture.member.post(&path, &body).await;
    again.fails_with_code(422, "validation_failed", "pipeline_slug_taken");
    assert_eq!(
        fixture
            .member
            .get(&format!("{path}/my-pipe"))
            .await
            .is(200)
            .json(),
        created
    );
    for (key, value) in [
        ("name", json!(" ")),
        ("name", json!("!!!")),
        ("name", json!(5)),
        ("repository", json!("https://me:hunter2@git.example/a")),
        ("repository", json!("a\u{0}")),
        ("repository", json!(null)),
        ("default_branch", json!("a..b")),
    ] {
        let mut body = body.clone();
        body[key] = value;
        let response = fixture.member.post(&path, &body).await;
        response.fails_with_code(422, "validation_failed", "pipeline_invalid");
    }
    let response = fixture.member.post(&path, &json!({})).await;
    response.fails_with_code(422, "validation_failed", "pipeline_invalid");
    let response = fixture.outsider.post(&path, &body).await;
    response.fails_with_code(404, "not_found", "organization_not_found");
}

/// Only builds that bring their sources can run unless the text is a URL: it never reaches git.
async fn repository_of_a_pipeline_is_any_text(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let path = format!("{ORGANIZATION}/pipelines");
    for (number, text) in [
        "acme/free",
        "",
        "/srv/git",
        "--upload-pack=id",
        "Our monorepo: see wiki",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("free-{number}");
        let body = json!({"name": name, "repository": text, "default_branch": "main"});
        let created = fixture.member.post(&path, &body).await.is(201).json();
        assert_eq!(created["repository"], text);
        let builds = format!("{path}/{name}/builds");
        let mut request = build_request(&two_steps());
        request["source_b64"] = json!("");
        fixture.member.post(&builds, &request).await.is(201);
        // The native API names the commit, so a runner would have to fetch it.
        let native = json!({"sha": "6c1d3f0e9a6c1d3f0e9a6c1d3f0e9a6c1d3f0e9a"});
        let builds = format!("/v1/projects/acme/{name}/builds");
        let refused = fixture.member.post(&builds, &native).await.is(400).json();
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains("repo_url"), "{message}");
    }
}

async fn archived_pipeline_is_readable_but_not_listed(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let away = PipelineUpdate {
        archived: Some(true),
        ..PipelineUpdate::default()
    };
    fixture.create_pipeline("old", away).await;
    let path = format!("{ORGANIZATION}/pipelines");
    let list = fixture.member.get(&path).await.is(200).json();
    assert_eq!(slugs(&list), ["web"]);
    fixture.member.get(&format!("{path}/old")).await.is(200);
}

async fn pipelines_are_listed_page_by_page_oldest_first(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    for name in ["x", "y"] {
        fixture
            .create_pipeline(name, PipelineUpdate::default())
            .await;
    }
    let path = format!("{ORGANIZATION}/pipelines?limit=2");
    let list = fixture.member.get(&path).await.is(200).json();
    assert_eq!(slugs(&list), ["web", "x"]);
    let cursor = list["next_cursor"].as_str().unwrap();
    let path = format!("{path}&cursor={cursor}");
    let list = fixture.member.get(&path).await.is(200).json();
    assert_eq!(
        (slugs(&list), &list["next_cursor"]),
        (vec!["y"], &Value::Null)
    );
}
