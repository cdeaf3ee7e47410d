//! Members of projects.
//!
//! See `docs/protocols/gitlab-builds-v3.md#members`.

use reqwest::Method;
use serde_json::json;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::send;
use crate::fixture::Fixture;

on_both_back_ends!(members_are_listed_added_changed_and_removed);

async fn members_are_listed_added_changed_and_removed(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let path = "/projects/1/members";
    let members = fixture.reporter.get(path).await.items();
    let levels: Vec<(&str, i64)> = members
        .iter()
        .map(|member| {
            let name = member["username"].as_str().unwrap();
            (name, member["access_level"].as_i64().unwrap())
        })
        .collect();
    assert_eq!(
        levels,
        [("gail", 10), ("rita", 20), ("dora", 30), ("mona", 40)]
    );
    fixture
        .guest
        .get(path)
        .await
        .fails_with(403, "403 Forbidden");
    let found = fixture.reporter.get("/projects/1/members?query=OR").await;
    assert_eq!(found.ids().len(), 1);

    let otto = fixture.outsider.get("/user").await.json()["id"].clone();
    let add = json!({"user_id": otto, "access_level": 30});
    let refused = fixture.master.json(Method::POST, path, &add).await;
    refused.fails_with(403, "403 Forbidden");
    let added = fixture
        .admin
        .json(Method::POST, path, &add)
        .await
        .is(201)
        .json();
    assert_eq!(added["username"], "otto");
    assert_eq!(added["access_level"], 30);
    fixture.admin.json(Method::POST, path, &add).await.is(409);
    fixture.outsider.get("/projects/1").await.is(200);

    let one = format!("{path}/{otto}");
    let change = json!({"access_level": 20});
    let changed = fixture.admin.json(Method::PUT, &one, &change).await;
    assert_eq!(changed.is(200).json()["access_level"], 20);
    assert_eq!(
        fixture.reporter.get(&one).await.is(200).json()["access_level"],
        20
    );
    for (body, error) in [
        (json!({"user_id": otto}), "access_level is missing"),
        (json!({"access_level": 20}), "user_id is missing"),
        (
            json!({"user_id": 1, "access_level": 15}),
            "access_level does not have a valid value",
        ),
        (
            json!({"user_id": "x", "access_level": 20}),
            "user_id is invalid",
        ),
    ] {
        let response = fixture.admin.json(Method::POST, path, &body).await;
        response.has_error(400, error);
    }
    let unknown = json!({"user_id": 999, "access_level": 20});
    let response = fixture.admin.json(Method::POST, path, &unknown).await;
    response.fails_with(404, "404 Not Found");
    let remove = async || send(fixture.admin.request(Method::DELETE, &one)).await;
    assert_eq!(remove().await.is(200).json()["id"], otto);
    remove().await.fails_with(404, "404 Not Found");
    fixture.outsider.get("/projects/1").await.is(404);
}
