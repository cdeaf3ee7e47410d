//! Pipelines of an organization.
//!
//! See `docs/protocols/harmont.md#pipelines`.

use serde_json::{Value, json};
use slipway_farm::PipelineUpdate;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{Fixture, ORGANIZATION, slugs};

on_both_back_ends!(
    pipeline_is_created_once_with_a_slug_from_its_name,
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
        ("repository", json!("/srv/git")),
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
