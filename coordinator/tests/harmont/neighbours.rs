//! Pipelines, organizations and the caller: checks 84 to 86.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_farm::PipelineUpdate;
use slipway_testkit::Backend;

use crate::support::{ACME, B, World, apart, of};

slipway_testkit::on_both_back_ends!(
    checks_84_and_85_a_pipeline_is_made_once,
    check_85_what_is_put_away_is_not_listed,
    pipelines_are_listed_page_by_page,
    check_86_organizations_are_the_callers_own,
    a_reader_looks_and_no_more,
);

async fn checks_84_and_85_a_pipeline_is_made_once(backend: Backend) {
    let world = World::start(backend).await;
    let path = format!("{ACME}/pipelines");
    let body = json!({
        "name": "My Pipe", "repository": "https://h/acme/core.git", "default_branch": "main",
    });
    let made = world.ana.post(&path, &body).await.is(201).json();
    let expected = json!({
        "slug": "my-pipe", "name": "My Pipe", "repository": "https://h/acme/core.git",
        "default_branch": "main", "repo_name": "acme/core", "visibility": "private",
        "allow_manual": true, "description": null, "created_at": made["created_at"],
    });
    assert_eq!(made, expected);
    let again = world.ana.post(&path, &body).await;
    again.error(422, "validation_failed", "pipeline_slug_taken");
    assert_eq!(
        world
            .ana
            .get(&format!("{path}/my-pipe"))
            .await
            .is(200)
            .json(),
        made
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
        let answer = world.ana.post(&path, &body).await;
        answer.error(422, "validation_failed", "pipeline_invalid");
    }
    let answer = world.ana.post(&path, &json!({})).await;
    answer.error(422, "validation_failed", "pipeline_invalid");
    let answer = world.olaf.post(&path, &body).await;
    answer.error(404, "not_found", "organization_not_found");
}

fn slugs(list: &Value) -> Vec<&str> {
    let data = list["data"].as_array().unwrap().iter();
    data.map(|item| item["slug"].as_str().unwrap()).collect()
}

async fn check_85_what_is_put_away_is_not_listed(backend: Backend) {
    let world = World::start(backend).await;
    let away = PipelineUpdate {
        archived: Some(true),
        ..PipelineUpdate::default()
    };
    world.pipeline("old", away).await;
    let path = format!("{ACME}/pipelines");
    let list = world.ana.get(&path).await.is(200).json();
    assert_eq!(slugs(&list), ["web"]);
    world.ana.get(&format!("{path}/old")).await.is(200);
}

async fn pipelines_are_listed_page_by_page(backend: Backend) {
    let world = World::start(backend).await;
    for name in ["x", "y"] {
        world.pipeline(name, PipelineUpdate::default()).await;
    }
    let path = format!("{ACME}/pipelines?limit=2");
    let list = world.ana.get(&path).await.is(200).json();
    assert_eq!(slugs(&list), ["web", "x"]);
    let cursor = list["next_cursor"].as_str().unwrap();
    let path = format!("{path}&cursor={cursor}");
    let list = world.ana.get(&path).await.is(200).json();
    assert_eq!(
        (slugs(&list), &list["next_cursor"]),
        (vec!["y"], &Value::Null)
    );
}

async fn check_86_organizations_are_the_callers_own(backend: Backend) {
    let world = World::start(backend).await;
    let path = "/api/v0/organizations";
    let none = world.olaf.get(path).await.is(200).json();
    assert_eq!(none, json!({"data": [], "next_cursor": null}));
    for slug in ["the-team", "the-team-2"] {
        let made = world.ana.post(path, &json!({"name": "The Team"})).await;
        assert_eq!(made.is(201).json()["slug"], slug);
    }
    let list = world.ana.get(path).await.is(200).json();
    assert_eq!(slugs(&list), ["acme", "the-team", "the-team-2"]);
    let list = world
        .ana
        .get(&format!("{path}?limit=1"))
        .await
        .is(200)
        .json();
    let cursor = list["next_cursor"].as_str().unwrap();
    let rest = world.ana.get(&format!("{path}?cursor={cursor}")).await;
    assert_eq!(slugs(&rest.is(200).json()), ["the-team", "the-team-2"]);
    for body in [json!({"name": " "}), json!({}), json!({"name": 5})] {
        let answer = world.ana.post(path, &body).await;
        answer.error(422, "unprocessable_entity", "organization_invalid");
    }
    let one = world.ana.get(ACME).await.is(200).json();
    assert_eq!(one["slug"], "acme");
    let answer = world.olaf.get(ACME).await;
    answer.error(404, "not_found", "organization_not_found");
}

async fn a_reader_looks_and_no_more(backend: Backend) {
    let world = World::start(backend).await;
    world.build(&apart(&["a"])).await;
    let (admin, name) = (world.farm.admin().await, "ana".parse().unwrap());
    let request = slipway_farm::TokenRequest {
        name: "looking".to_owned(),
        scopes: "read".parse().unwrap(),
        expires_at: None,
    };
    let made = world.farm.farm().create_token_for(&admin, &name, request);
    let reader = world.ana.with(made.await.unwrap().1.expose());
    reader.get(B).await.is(200);
    let answer = reader.post(B, &of(&apart(&["a"]))).await;
    answer.error(403, "forbidden", "forbidden");
    let answer = reader.empty(Method::PUT, &format!("{B}/1/cancel")).await;
    answer.error(403, "forbidden", "forbidden");
    let body = json!({"name": "x", "repository": "https://h/a/b", "default_branch": "main"});
    let answer = reader.post(&format!("{ACME}/pipelines"), &body).await;
    answer.error(403, "forbidden", "forbidden");
}
