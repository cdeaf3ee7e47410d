//! Variables of projects.

use reqwest::Method;
use serde_json::json;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::client::RunnerApi;
use crate::support::{World, send};

on_both_back_ends!(
    masters_make_read_change_and_remove_variables,
    a_variable_that_cannot_be_is_refused,
);

async fn masters_make_read_change_and_remove_variables(backend: Backend) {
    let world = World::start(backend).await;
    let path = "/projects/1/variables";
    let first = json!({"key": "FIRST", "value": "hunter2"});
    world
        .developer
        .get(path)
        .await
        .is_error(403, "403 Forbidden");
    let refused = world.developer.json(Method::POST, path, &first).await;
    refused.is_error(403, "403 Forbidden");
    let made = world.master.json(Method::POST, path, &first).await;
    made.shows(201, &first);
    let taken = json!({"message": {"key": ["has already been taken"]}});
    let again = world.master.json(Method::POST, path, &first).await;
    again.shows(400, &taken);
    let one = "/projects/1/variables/FIRST";
    world.master.get(one).await.shows(200, &first);
    world.developer.get(one).await.is(403);
    assert_eq!(world.master.get(path).await.items(), [first]);
    let change = world
        .master
        .json(Method::PUT, one, &json!({"value": ""}))
        .await;
    let changed = json!({"key": "FIRST", "value": ""});
    change.shows(200, &changed);
    let named = world
        .master
        .json(
            Method::POST,
            "/projects/1/variables/SECOND",
            &json!({"value": 2}),
        )
        .await;
    named.shows(201, &json!({"key": "SECOND", "value": "2"}));

    world.farm.build(&world.project).await;
    let claim = RunnerApi::new(&world.farm)
        .register_runner(&world.farm)
        .await
        .claim()
        .await;
    let told = json!({"key": "SECOND", "value": "2", "public": false});
    let variables = claim.payload["variables"].as_array().unwrap();
    assert!(variables.contains(&told), "{variables:?}");

    let remove = async || send(world.master.request(Method::DELETE, one)).await;
    remove().await.shows(200, &changed);
    remove().await.is_error(404, "404 Not Found");
    world.master.get(one).await.is_error(404, "404 Not Found");
    let gone = world
        .master
        .json(Method::PUT, one, &json!({"value": "x"}))
        .await;
    gone.is_error(404, "404 Not Found");
}

async fn a_variable_that_cannot_be_is_refused(backend: Backend) {
    let world = World::start(backend).await;
    let path = "/projects/1/variables";
    for (body, error) in [
        (json!({"value": "x"}), "key is missing"),
        (json!({"key": "K"}), "value is missing"),
    ] {
        let answer = world.master.json(Method::POST, path, &body).await;
        answer.errs(400, error);
    }
    let body = json!({"key": "A-B", "value": "hunter2"});
    let answer = world.master.json(Method::POST, path, &body).await.is(400);
    assert!(!String::from_utf8_lossy(&answer.body).contains("hunter2"));
}
