//! Requests for builds that are refused.
//!
//! See `docs/protocols/quay.md#invalid-builds`.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::{ApiResponse, BUILDS, SOURCE_URL, send};
use crate::fixture::Fixture;

on_both_back_ends!(
    create_requires_a_source,
    archive_url_must_be_http_or_https,
    archive_url_must_be_a_valid_uri,
    member_of_a_wrong_type_is_invalid,
    tags_must_be_a_list_of_distinct_strings,
    body_must_be_json,
    content_type_must_be_json,
    pull_robot_must_be_a_full_robot_name,
    unknown_pull_robot_returns_404,
    pull_robot_requires_the_namespaces_scope,
    robot_of_another_namespace_is_forbidden,
    missing_file_is_invalid,
    file_built_in_another_repository_is_forbidden,
    checks_run_in_the_order_of_the_contract,
    archive_url_must_be_ascii,
);

async fn post(fixture: &Fixture, body: &Value) -> ApiResponse {
    fixture.writer.post(BUILDS, body).await
}

async fn create_requires_a_source(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for body in [json!({}), json!({"archive_url": ""})] {
        let response = post(&fixture, &body).await;
        response.fails_with_detail(400, "invalid_request", "file_id or archive_url required");
    }
}

async fn archive_url_must_be_http_or_https(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for url in ["foobarbaz", "ftp://x/y", "file://x"] {
        let response = post(&fixture, &json!({ "archive_url": url })).await;
        let detail = "Invalid Archive URL: Must be http or https";
        response.fails_with_detail(400, "invalid_request", detail);
    }
}

async fn archive_url_must_be_a_valid_uri(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let response = post(&fixture, &json!({"archive_url": "http://[::1"})).await;
    let detail = "Invalid Archive URL: Must be a valid URI";
    response.fails_with_detail(400, "invalid_request", detail);
}

async fn member_of_a_wrong_type_is_invalid(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let bodies = [
        json!({"archive_url": 5}),
        json!({ "file_id": null }),
        json!([]),
        json!("x"),
    ];
    for body in bodies {
        post(&fixture, &body)
            .await
            .fails_with_problem(400, "invalid_request");
    }
}

async fn tags_must_be_a_list_of_distinct_strings(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for tags in [json!([]), json!(["a", "a"]), json!("a"), json!(null)] {
        for field in ["docker_tags", "tags"] {
            let body = json!({"archive_url": SOURCE_URL, field: tags});
            post(&fixture, &body)
                .await
                .fails_with_problem(400, "invalid_request");
        }
    }
}

async fn body_must_be_json(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let post_body = async |body: &'static str| {
        let request = fixture.writer.request(Method::POST, BUILDS);
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        send(request).await
    };
    assert!(post_body("{bad").await.fails_with_message(400).is_string());
    assert!(post_body("").await.fails_with_message(400).is_string());
    let response = post_body("null").await;
    response.fails_with_detail(400, "invalid_request", "Missing JSON body");
}

async fn content_type_must_be_json(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let request = || fixture.writer.request(Method::POST, BUILDS).body("{}");
    let as_text = request().header(CONTENT_TYPE, "text/plain");
    assert!(send(as_text).await.fails_with_message(415).is_string());
    assert!(send(request()).await.fails_with_message(415).is_string());
}

async fn pull_robot_must_be_a_full_robot_name(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let body = json!({"archive_url": SOURCE_URL, "pull_robot": "norobot"});
    let response = fixture.namespace_writer.post(BUILDS, &body).await;
    response.fails_with_problem(403, "insufficient_scope");
}

async fn unknown_pull_robot_returns_404(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let body = json!({"archive_url": SOURCE_URL, "pull_robot": "ada+nope"});
    post(&fixture, &body)
        .await
        .fails_with_problem(404, "not_found");
}

async fn pull_robot_requires_the_namespaces_scope(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let body = json!({"archive_url": SOURCE_URL, "pull_robot": "ada+puller"});
    let response = post(&fixture, &body).await;
    response.fails_with_problem(403, "insufficient_scope");
}

async fn robot_of_another_namespace_is_forbidden(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let body = json!({"archive_url": SOURCE_URL, "pull_robot": "bob+bot"});
    let response = fixture.namespace_writer.post(BUILDS, &body).await;
    response.fails_with_problem(403, "insufficient_scope");
}

async fn missing_file_is_invalid(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for id in ["nothing", "3f0e9a3c-6f0e-4a55-9a5c-2f9a3c1b7e10"] {
        let response = post(&fixture, &json!({ "file_id": id })).await;
        let detail = format!("File {id} could not be found or is invalid");
        response.fails_with_detail(400, "invalid_request", &detail);
    }
    // A file id without an uploaded file is invalid, too.
    let body = json!({"mimeType": "text/plain"});
    let upload = fixture
        .writer
        .post("/api/v1/filedrop/", &body)
        .await
        .is(200)
        .json();
    let id = upload["file_id"].as_str().unwrap();
    let response = post(&fixture, &json!({ "file_id": id })).await;
    let detail = format!("File {id} could not be found or is invalid");
    response.fails_with_detail(400, "invalid_request", &detail);
}

async fn file_built_in_another_repository_is_forbidden(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (file, _) = fixture.upload_file(&fixture.bob, b"FROM scratch\n").await;
    let body = json!({ "file_id": file });
    let builds_of_bob = "/api/v1/repository/bob/x/build/";
    fixture.bob.post(builds_of_bob, &body).await.is(201);
    post(&fixture, &body)
        .await
        .fails_with_problem(403, "insufficient_scope");
}

async fn checks_run_in_the_order_of_the_contract(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (used, _) = fixture.upload_file(&fixture.bob, b"FROM scratch\n").await;
    let builds_of_bob = "/api/v1/repository/bob/x/build/";
    let body = json!({ "file_id": used });
    fixture.bob.post(builds_of_bob, &body).await.is(201);
    let unknown = "3f0e9a3c-6f0e-4a55-9a5c-2f9a3c1b7e10";
    let missing = BUILDS.replace("app", "gone");
    // The robot comes before the file, whether its id is a UUID or not.
    for id in ["not-a-uuid", unknown, used.as_str()] {
        for (robot, status, kind) in [
            ("norobot", 403, "insufficient_scope"),
            ("ada+nope", 404, "not_found"),
            ("ada+puller", 403, "insufficient_scope"),
        ] {
            let body = json!({"file_id": id, "pull_robot": robot});
            for path in [BUILDS, missing.as_str()] {
                let response = fixture.writer.post(path, &body).await;
                response.fails_with_problem(status, kind);
            }
        }
    }
    // Then the use of the file, then the repository, and at last the file.
    let body = json!({ "file_id": used });
    let response = fixture.writer.post(&missing, &body).await;
    response.fails_with_problem(403, "insufficient_scope");
    for id in ["not-a-uuid", unknown] {
        let body = json!({ "file_id": id });
        let response = fixture.writer.post(&missing, &body).await;
        response.fails_with_problem(404, "not_found");
        let detail = format!("File {id} could not be found or is invalid");
        let response = post(&fixture, &body).await;
        response.fails_with_detail(400, "invalid_request", &detail);
    }
    // The URL is checked before.
    let body =
        json!({"file_id": "not-a-uuid", "archive_url": "ftp://x/y", "pull_robot": "norobot"});
    let detail = "Invalid Archive URL: Must be http or https";
    post(&fixture, &body)
        .await
        .fails_with_detail(400, "invalid_request", detail);
}

async fn archive_url_must_be_ascii(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let response = post(&fixture, &json!({"archive_url": "https://x/é.tgz"})).await;
    response.fails_with_problem(400, "invalid_request");
}
