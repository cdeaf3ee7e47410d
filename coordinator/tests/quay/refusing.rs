//! Checks 40 to 57: builds that are asked for and refused.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::support::{ApiResponse, L, URL, World, send};

on_both_back_ends!(
    check_40_a_source_is_needed,
    check_41_an_address_is_http,
    check_42_an_address_can_be_parsed,
    check_43_fields_have_types,
    check_44_tags_are_a_list_of_different_ones,
    check_45_the_body_is_json,
    check_46_and_says_so,
    check_47_a_robot_has_a_plus,
    check_48_a_robot_is_there,
    check_49_a_robot_needs_a_scope,
    check_50_a_robot_is_ones_own,
    check_51_a_file_is_there,
    check_52_a_file_of_others_is_theirs,
    check_57_an_address_is_ascii,
);

async fn posted(world: &World, body: &Value) -> ApiResponse {
    world.w.post(L, body).await
}

async fn check_40_a_source_is_needed(backend: Backend) {
    let world = World::start(backend).await;
    for body in [json!({}), json!({"archive_url": ""})] {
        let answer = posted(&world, &body).await;
        answer.details(400, "invalid_request", "file_id or archive_url required");
    }
}

async fn check_41_an_address_is_http(backend: Backend) {
    let world = World::start(backend).await;
    for url in ["foobarbaz", "ftp://x/y", "file://x"] {
        let answer = posted(&world, &json!({ "archive_url": url })).await;
        let why = "Invalid Archive URL: Must be http or https";
        answer.details(400, "invalid_request", why);
    }
}

async fn check_42_an_address_can_be_parsed(backend: Backend) {
    let world = World::start(backend).await;
    let answer = posted(&world, &json!({"archive_url": "http://[::1"})).await;
    let why = "Invalid Archive URL: Must be a valid URI";
    answer.details(400, "invalid_request", why);
}

async fn check_43_fields_have_types(backend: Backend) {
    let world = World::start(backend).await;
    let bodies = [
        json!({"archive_url": 5}),
        json!({ "file_id": null }),
        json!([]),
        json!("x"),
    ];
    for body in bodies {
        posted(&world, &body).await.problem(400, "invalid_request");
    }
}

async fn check_44_tags_are_a_list_of_different_ones(backend: Backend) {
    let world = World::start(backend).await;
    for tags in [json!([]), json!(["a", "a"]), json!("a"), json!(null)] {
        for field in ["docker_tags", "tags"] {
            let body = json!({"archive_url": URL, field: tags});
            posted(&world, &body).await.problem(400, "invalid_request");
        }
    }
}

async fn check_45_the_body_is_json(backend: Backend) {
    let world = World::start(backend).await;
    let sent = async |body: &'static str| {
        let request = world.w.request(Method::POST, L);
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        send(request).await
    };
    assert!(sent("{bad").await.message(400).is_string());
    assert!(sent("").await.message(400).is_string());
    let null = sent("null").await;
    null.details(400, "invalid_request", "Missing JSON body");
}

async fn check_46_and_says_so(backend: Backend) {
    let world = World::start(backend).await;
    let request = || world.w.request(Method::POST, L).body("{}");
    let plain = request().header(CONTENT_TYPE, "text/plain");
    assert!(send(plain).await.message(415).is_string());
    assert!(send(request()).await.message(415).is_string());
}

async fn check_47_a_robot_has_a_plus(backend: Backend) {
    let world = World::start(backend).await;
    let body = json!({"archive_url": URL, "pull_robot": "norobot"});
    let answer = world.wo.post(L, &body).await;
    answer.problem(403, "insufficient_scope");
}

async fn check_48_a_robot_is_there(backend: Backend) {
    let world = World::start(backend).await;
    let body = json!({"archive_url": URL, "pull_robot": "ada+nope"});
    posted(&world, &body).await.problem(404, "not_found");
}

async fn check_49_a_robot_needs_a_scope(backend: Backend) {
    let world = World::start(backend).await;
    let body = json!({"archive_url": URL, "pull_robot": "ada+puller"});
    let answer = posted(&world, &body).await;
    answer.problem(403, "insufficient_scope");
}

async fn check_50_a_robot_is_ones_own(backend: Backend) {
    let world = World::start(backend).await;
    let body = json!({"archive_url": URL, "pull_robot": "bob+bot"});
    let answer = world.wo.post(L, &body).await;
    answer.problem(403, "insufficient_scope");
}

async fn check_51_a_file_is_there(backend: Backend) {
    let world = World::start(backend).await;
    for id in ["nothing", "3f0e9a3c-6f0e-4a55-9a5c-2f9a3c1b7e10"] {
        let answer = posted(&world, &json!({ "file_id": id })).await;
        let why = format!("File {id} could not be found or is invalid");
        answer.details(400, "invalid_request", &why);
    }
    // A place to which nothing was uploaded is no file yet.
    let body = json!({"mimeType": "text/plain"});
    let place = world
        .w
        .post("/api/v1/filedrop/", &body)
        .await
        .is(200)
        .json();
    let id = place["file_id"].as_str().unwrap();
    let answer = posted(&world, &json!({ "file_id": id })).await;
    let why = format!("File {id} could not be found or is invalid");
    answer.details(400, "invalid_request", &why);
}

async fn check_52_a_file_of_others_is_theirs(backend: Backend) {
    let world = World::start(backend).await;
    let (file, _) = world.uploaded(&world.bob, b"FROM scratch\n").await;
    let body = json!({ "file_id": file });
    let foreign = "/api/v1/repository/bob/x/build/";
    world.bob.post(foreign, &body).await.is(201);
    posted(&world, &body)
        .await
        .problem(403, "insufficient_scope");
}

async fn check_57_an_address_is_ascii(backend: Backend) {
    let world = World::start(backend).await;
    let answer = posted(&world, &json!({"archive_url": "https://x/é.tgz"})).await;
    answer.problem(400, "invalid_request");
}
