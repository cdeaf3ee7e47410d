//! Variables of projects.
//!
//! See `docs/protocols/gitlab-builds-v3.md#variables`.

use reqwest::Method;
use serde_json::json;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::send;
use crate::client::RunnerApi;
use crate::fixture::Fixture;

on_both_back_ends!(
    masters_create_read_change_and_delete_variables,
    invalid_variable_is_refused,
);

async fn masters_create_read_change_and_delete_variables(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let path = "/projects/1/variables";
    let first = json!({"key": "FIRST", "value": "hunter2"});
    fixture
        .developer
        .get(path)
        .await
        .fails_with(403, "403 Forbidden");
    let refused = fixture.developer.json(Method::POST, path, &first).await;
    refused.fails_with(403, "403 Forbidden");
    let created = fixture.master.json(Method::POST, path, &first).await;
    created.has_json(201, &first);
    let taken = json!({"message": {"key": ["has already been taken"]}});
    let again = fixture.master.json(Method::POST, path, &first).await;
    again.has_json(400, &taken);
    let one = "/projects/1/variables/FIRST";
    fixture.master.get(one).await.has_json(200, &first);
    fixture.developer.get(one).await.is(403);
    assert_eq!(fixture.master.get(path).await.items(), [first]);
    let change = fixture
        .master
        .json(Method::PUT, one, &json!({"value": ""}))
        .await;
    let changed = json!({"key": "FIRST", "value": ""});
    change.has_json(200, &changed);
    let named = fixture
        .master
        .json(
            Method::POST,
            "/projects/1/variables/SECOND",
            &json!({"value": 2}),
        )
        .await;
    named.has_json(201, &json!({"key": "SECOND", "value": "2"}));

    fixture.farm.build(&fixture.project).await;
    let claim = RunnerApi::new(&fixture.farm)
        .register_runner(&fixture.farm)
        .await
        .claim()
        .await;
    let expected = json!({"key": "SECOND", "value": "2", "public": false});
    let variables = claim.payload["variables"].as_array().unwrap();
    assert!(variables.contains(&expected), "{variables:?}");

    let remove = async || send(fixture.master.request(Method::DELETE, one)).await;
    remove().await.has_json(200, &changed);
    remove().await.fails_with(404, "404 Not Found");
    fixture
        .master
        .get(one)
        .await
        .fails_with(404, "404 Not Found");
    let response = fixture
        .master
        .json(Method::PUT, one, &json!({"value": "x"}))
        .await;
    response.fails_with(404, "404 Not Found");
}

async fn invalid_variable_is_refused(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let path = "/projects/1/variables";
    for (body, error) in [
        (json!({"value": "x"}), "key is missing"),
        (json!({"key": "K"}), "value is missing"),
    ] {
        let response = fixture.master.json(Method::POST, path, &body).await;
        response.has_error(400, error);
    }
    let body = json!({"key": "A-B", "value": "hunter2"});
    let response = fixture.master.json(Method::POST, path, &body).await.is(400);
    assert!(!String::from_utf8_lossy(&response.body).contains("hunter2"));
}
