//! The second generation of the API, below `/api/v1`, beside the first one.
//!
//! See `docs/protocols/harmont.md#generations`.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{BUILDS, Fixture, build_request, two_steps};

on_both_back_ends!(
    objects_of_the_second_generation_have_ids,
    tokens_have_uuids_in_both_generations,
    members_are_listed_changed_and_removed,
    logs_are_streamed_in_both_generations,
);

fn newer(path: &str) -> String {
    path.replace("/api/v0/", "/api/v1/")
}

fn is_uuid(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() == 36)
}

async fn objects_of_the_second_generation_have_ids(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let member = &fixture.member;
    let request = build_request(&two_steps());
    let created = member.post(&newer(BUILDS), &request).await.is(201).json();
    assert!(is_uuid(&created["id"]), "{created}");
    let one = format!("{BUILDS}/1");
    let mut read = member.get(&newer(&one)).await.is(200).json();
    assert_eq!(read, created);
    read.as_object_mut().unwrap().remove("id");
    assert_eq!(member.get(&one).await.is(200).json(), read);
    let pipeline = BUILDS.trim_end_matches("/builds");
    for path in [pipeline, "/api/v0/organizations/acme"] {
        let mut shown = member.get(&newer(path)).await.is(200).json();
        assert!(is_uuid(&shown["id"]), "{shown}");
        shown.as_object_mut().unwrap().remove("id");
        assert_eq!(member.get(path).await.is(200).json(), shown);
    }
    let old = member.get("/api/v0/user").await.is(200).json();
    let new = member.get("/api/v1/user").await.is(200).json();
    assert_eq!(old["uuid"], new["id"]);
    for path in ["/api/v0/ping", "/api/v1/ping"] {
        fixture.anonymous.get(path).await.is(200);
    }
    let response = member.send_empty(Method::DELETE, pipeline).await;
    response.fails_with_code(405, "invalid_request", "method_not_allowed");
    let response = member.get("/api/v1/nowhere").await;
    response.fails_with_code(404, "not_found", "route_not_found");
}

async fn tokens_have_uuids_in_both_generations(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let member = &fixture.member;
    let (old, new) = ("/api/v0/user/api-tokens", "/api/v1/user/api-tokens");
    let body = json!({"description": "laptop"});
    let created = member.post(old, &body).await.is(201).json();
    let id = &created["api_token"]["id"];
    assert!(is_uuid(id), "{created}");
    let listed = member.get(new).await.is(200).json();
    assert_eq!(&listed["data"][0]["id"], id);
    assert_eq!(listed["data"][0]["scopes"], json!(["full"]));
    assert_eq!(listed["next_cursor"], Value::Null);
    let one = format!("{new}/{}", id.as_str().unwrap());
    member.send_empty(Method::DELETE, &one).await.is(204);
    for missing in [one, format!("{new}/1")] {
        let response = member.send_empty(Method::DELETE, &missing).await;
        response.fails_with_code(404, "not_found", "api_token_not_found");
    }
    let body = json!({"description": "laptop", "scopes": ["builds"]});
    let response = member.post(new, &body).await;
    response.fails_with_code(422, "validation_failed", "api_token_invalid");
}

async fn members_are_listed_changed_and_removed(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let list = "/api/v1/organizations/acme/members";
    let members = fixture.member.get(list).await.is(200).json();
    let members = members["data"].as_array().unwrap().clone();
    let ana = members
        .iter()
        .find(|member| member["name"] == "ana")
        .unwrap();
    assert_eq!(ana["role"], "member");
    let one = format!("{list}/{}", ana["user_id"].as_str().unwrap());
    let response = fixture.member.send_empty(Method::DELETE, &one).await;
    response.fails_with_code(403, "forbidden", "forbidden");
    let response = fixture
        .member
        .send_empty(Method::DELETE, &format!("{list}/x"))
        .await;
    response.fails_with_code(404, "not_found", "member_not_found");
    let response = fixture.outsider.get(list).await;
    response.fails_with_code(404, "not_found", "organization_not_found");
}

async fn logs_are_streamed_in_both_generations(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let number = fixture.create_build(&two_steps()).await;
    let job = fixture.jobs(number).await[0]["id"].clone();
    let job = job.as_str().unwrap();
    let cancel = format!("{BUILDS}/{number}/cancel");
    fixture
        .member
        .send_empty(Method::PUT, &cancel)
        .await
        .is(200);
    let token = fixture
        .member
        .get(&format!("{BUILDS}/{number}/log-token"))
        .await;
    let token = token.is(200).json();
    let token = token["token"].as_str().unwrap();
    for version in ["v0", "v1"] {
        let path = format!("/{version}/jobs/{job}/logs");
        let response = fixture.anonymous.get(&path).await;
        response.fails_with_code(401, "unauthorized", "log_stream_unauthorized");
        let stream = fixture
            .anonymous
            .get(&format!("{path}?token={token}"))
            .await;
        let text = String::from_utf8(stream.is(200).body.to_vec()).unwrap();
        assert!(text.ends_with("event: done\ndata: {}\n\n"), "{text}");
    }
}
