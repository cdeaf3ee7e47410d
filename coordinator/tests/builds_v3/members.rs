//! Members of projects.

use reqwest::Method;
use serde_json::json;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::support::{World, send};

on_both_back_ends!(members_are_listed_made_changed_and_removed);

async fn members_are_listed_made_changed_and_removed(backend: Backend) {
    let world = World::start(backend).await;
    let path = "/projects/1/members";
    let members = world.reporter.get(path).await.items();
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
    world.guest.get(path).await.is_error(403, "403 Forbidden");
    let found = world.reporter.get("/projects/1/members?query=OR").await;
    assert_eq!(found.ids().len(), 1);

    let otto = world.outsider.get("/user").await.json()["id"].clone();
    let add = json!({"user_id": otto, "access_level": 30});
    let refused = world.master.json(Method::POST, path, &add).await;
    refused.is_error(403, "403 Forbidden");
    let made = world
        .admin
        .json(Method::POST, path, &add)
        .await
        .is(201)
        .json();
    assert_eq!(made["username"], "otto");
    assert_eq!(made["access_level"], 30);
    world.admin.json(Method::POST, path, &add).await.is(409);
    world.outsider.get("/projects/1").await.is(200);

    let one = format!("{path}/{otto}");
    let change = json!({"access_level": 20});
    let changed = world.admin.json(Method::PUT, &one, &change).await;
    assert_eq!(changed.is(200).json()["access_level"], 20);
    assert_eq!(
        world.reporter.get(&one).await.is(200).json()["access_level"],
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
        let answer = world.admin.json(Method::POST, path, &body).await;
        answer.errs(400, error);
    }
    let nobody = json!({"user_id": 999, "access_level": 20});
    let nobody = world.admin.json(Method::POST, path, &nobody).await;
    nobody.is_error(404, "404 Not Found");
    let remove = async || send(world.admin.request(Method::DELETE, &one)).await;
    assert_eq!(remove().await.is(200).json()["id"], otto);
    remove().await.is_error(404, "404 Not Found");
    world.outsider.get("/projects/1").await.is(404);
}
