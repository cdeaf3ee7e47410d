//! Project ids in paths, the suffix `.json`, unknown paths and methods.
//!
//! See `docs/protocols/gitlab-builds-v3.md#transport` and `#errors`.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::{PROJECT, build_path, builds_path, send};
use crate::fixture::Fixture;

on_both_back_ends!(
    unknown_project_returns_404,
    project_is_found_by_its_encoded_path,
    project_name_may_contain_dots,
    wrong_method_returns_405_and_unknown_path_404,
    json_suffix_is_optional,
    json_null_is_no_body,
);

async fn unknown_project_returns_404(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for id in ["99999", "grp%2Fnone", "none", "99999999999999999999"] {
        let response = fixture
            .developer
            .get(&format!("/projects/{id}/builds"))
            .await;
        response.fails_with(404, "404 Project Not Found");
    }
}

async fn project_is_found_by_its_encoded_path(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.pending_build().await;
    let expected = fixture.developer.get(&builds_path()).await.is(200).json();
    for path in ["grp%2Fproj", "grp%2fproj"] {
        let list = format!("/projects/{path}/builds");
        fixture.developer.get(&list).await.has_json(200, &expected);
        let one = format!("/projects/{path}/builds/{id}");
        fixture
            .developer
            .get(&one)
            .await
            .has_json(200, &expected[0]);
    }
}

async fn project_name_may_contain_dots(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let project = fixture.farm.project("grp/pro.j").await;
    fixture.farm.build(&project).await;
    let path = "/projects/grp%2Fpro.j/builds";
    assert_eq!(fixture.admin.get(path).await.items().len(), 1);
    let path = "/projects/grp%2Fpro.j/builds.json";
    assert_eq!(fixture.admin.get(path).await.items().len(), 1);
}

async fn wrong_method_returns_405_and_unknown_path_404(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.pending_build().await;
    for path in ["/cancel", "/retry", "/erase", "/play", "/artifacts/keep"] {
        let response = fixture.developer.get(&build_path(id, path)).await;
        assert_eq!(response.header("allow"), Some("POST"));
        response.has_error(405, "405 Not Allowed");
    }
    for (path, allowed) in [
        (build_path(id, "/trace"), "GET, HEAD"),
        (
            "/projects/grp%2Fproj/variables".to_owned(),
            "GET, HEAD, POST",
        ),
        (
            "/projects/grp%2Fproj/variables/A.json".to_owned(),
            "GET, HEAD, POST, PUT, DELETE",
        ),
        ("/projects/grp%2Fproj/runners/1".to_owned(), "DELETE"),
    ] {
        let request = fixture.developer.request(Method::PATCH, &path);
        let response = send(request).await;
        assert_eq!(response.header("allow"), Some(allowed), "{path}");
        response.has_error(405, "405 Not Allowed");
    }
    for path in ["/nope", &build_path(id, "/nope")] {
        let response = fixture.developer.get(path).await;
        response.has_error(404, "404 Not Found");
    }
    let head = fixture.developer.request(Method::HEAD, &builds_path());
    assert!(send(head).await.is(200).body.is_empty());
}

async fn json_suffix_is_optional(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.pending_build().await;
    for path in [
        builds_path(),
        build_path(id, ""),
        format!("{PROJECT}/pipelines"),
    ] {
        let expected = fixture.developer.get(&path).await.is(200).json();
        let suffixed = format!("{path}.json");
        fixture
            .developer
            .get(&suffixed)
            .await
            .has_json(200, &expected);
    }
    let response = fixture
        .developer
        .post(&build_path(id, "/cancel.json"))
        .await;
    assert_eq!(response.is(201).json()["status"], json!("canceled"));
}

/// An old Go client encodes "no parameters" as `null`, with the type of JSON.
async fn json_null_is_no_body(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.pending_build().await;
    let null = Value::Null;
    for (path, status) in [
        (build_path(id, "/cancel"), 201),
        (build_path(id, "/retry"), 201),
        (build_path(id, "/play"), 400),
        (format!("{PROJECT}/triggers"), 201),
    ] {
        let response = fixture.admin.json(Method::POST, &path, &null).await;
        assert_eq!(
            response.is(status).headers["content-type"],
            "application/json"
        );
    }
    let list = fixture.admin.json(Method::GET, &builds_path(), &null).await;
    assert_eq!(list.items().len(), 2);
    let cancel = build_path(id, "/cancel");
    let other = fixture.admin.json(Method::POST, &cancel, &json!(1)).await;
    other.is(400);
}
