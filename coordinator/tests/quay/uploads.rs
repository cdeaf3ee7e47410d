//! Uploaded files, and builds of them.
//!
//! See `docs/protocols/quay.md#uploading-files`.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::{ApiResponse, BUILDS, SOURCE_URL, send};
use crate::fixture::Fixture;

on_both_back_ends!(
    filedrop_returns_a_file_id_and_an_upload_url,
    filedrop_requires_a_mime_type_and_a_token,
    uploaded_file_is_built,
    runner_fetches_the_archive_url_if_both_sources_are_given,
    filedrop_has_no_get,
    upload_url_expires,
    file_used_by_a_build_cannot_be_replaced,
    file_urls_must_be_signed_for_their_method,
    download_url_expires,
    file_is_deleted_after_its_last_use,
);

const FILEDROP: &str = "/api/v1/filedrop/";

const SCRATCH: &[u8] = b"FROM scratch\n";

async fn put(fixture: &Fixture, url: &str, content: &'static [u8]) -> ApiResponse {
    let request = fixture.anonymous.request_without_token(Method::PUT, url);
    send(request.header(CONTENT_TYPE, "text/plain").body(content)).await
}

async fn filedrop_returns_a_file_id_and_an_upload_url(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let body = json!({"mimeType": "application/zip"});
    let upload = fixture
        .identity_only
        .post(FILEDROP, &body)
        .await
        .is(200)
        .json();
    let keys: Vec<&String> = upload.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["file_id", "url"]);
    let id = upload["file_id"].as_str().unwrap();
    let parsed: slipway_domain::UploadId = id.parse().unwrap();
    assert_eq!(parsed.to_string(), id);
    let url = upload["url"].as_str().unwrap();
    assert!(url.starts_with(&fixture.farm.url(&format!("/userfiles/{id}"))));
}

async fn filedrop_requires_a_mime_type_and_a_token(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for body in [json!({}), json!({"mimeType": 1}), json!({"mimeType": null})] {
        let response = fixture.identity_only.post(FILEDROP, &body).await;
        response.fails_with_problem(400, "invalid_request");
    }
    let body = json!({"mimeType": "application/zip"});
    for client in [&fixture.anonymous, &fixture.expired] {
        let response = client.post(FILEDROP, &body).await;
        response.fails_with_problem(401, "invalid_token");
    }
}

async fn uploaded_file_is_built(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (file, _) = fixture.upload_file(&fixture.writer, SCRATCH).await;
    let build = fixture.writer.create(&json!({ "file_id": file })).await;
    assert_eq!(build["resource_key"], file);
    assert_eq!(build["display_name"], "bb57c7d");
    let url = build["archive_url"].as_str().unwrap();
    let response = send(fixture.anonymous.request_without_token(Method::GET, url))
        .await
        .is(200);
    assert_eq!(response.body, SCRATCH);
    let disposition = response.header("content-disposition").unwrap();
    assert!(disposition.starts_with("attachment"), "{disposition}");
    assert!(disposition.contains(&file), "{disposition}");
    // The same file may be built again.
    let again = fixture.writer.create(&json!({ "file_id": file })).await;
    assert_eq!(again["resource_key"], file);
}

async fn runner_fetches_the_archive_url_if_both_sources_are_given(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (file, _) = fixture.upload_file(&fixture.writer, SCRATCH).await;
    let body = json!({"file_id": file, "archive_url": SOURCE_URL});
    let build = fixture.writer.create(&body).await;
    assert_eq!(build["resource_key"], file);
    assert_eq!(build["display_name"], "bb57c7d");
    let archive_url = build["archive_url"].as_str().unwrap();
    assert!(archive_url.contains(&file), "{archive_url}");
    let claim = fixture.register_runner().await.claim().await;
    let payload = claim.payload.to_string();
    assert!(payload.contains(SOURCE_URL), "{payload}");
    assert!(!payload.contains("/userfiles/"), "{payload}");
}

async fn filedrop_has_no_get(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (file, _) = fixture.upload_file(&fixture.writer, SCRATCH).await;
    for path in [format!("{FILEDROP}{file}"), FILEDROP.to_owned()] {
        fixture
            .writer
            .get(&path)
            .await
            .fails_with_problem(404, "not_found");
    }
}

/// A new upload URL.
async fn create_upload_url(fixture: &Fixture) -> String {
    let body = json!({"mimeType": "text/plain"});
    let upload = fixture
        .identity_only
        .post(FILEDROP, &body)
        .await
        .is(200)
        .json();
    upload["url"].as_str().unwrap().to_owned()
}

async fn upload_url_expires(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let url = create_upload_url(&fixture).await;
    fixture.farm.advance(3500);
    put(&fixture, &url, b"FROM busybox\n").await.is(200);
    let response = put(&fixture, &url, SCRATCH).await.is(200);
    assert_eq!(response.body, "Okay".as_bytes());
    fixture.farm.advance(120);
    let response = put(&fixture, &url, SCRATCH).await;
    response.fails_with_problem(403, "insufficient_scope");
}

async fn file_used_by_a_build_cannot_be_replaced(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (file, url) = fixture.upload_file(&fixture.writer, SCRATCH).await;
    let build = fixture.writer.create(&json!({ "file_id": file })).await;
    let response = put(&fixture, &url, b"FROM busybox\n").await;
    response.fails_with_problem(403, "insufficient_scope");
    let url = build["archive_url"].as_str().unwrap();
    let response = send(fixture.anonymous.request_without_token(Method::GET, url))
        .await
        .is(200);
    assert_eq!(response.body, SCRATCH);
}

async fn file_urls_must_be_signed_for_their_method(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (file, url) = fixture.upload_file(&fixture.writer, SCRATCH).await;
    let unsigned = format!("/userfiles/{file}");
    let response = put(&fixture, &unsigned, b"FROM busybox\n").await;
    response.fails_with_problem(403, "insufficient_scope");
    let response = send(fixture.writer.request(Method::GET, &unsigned)).await;
    assert_ne!(response.status, 200);
    // The upload URL cannot be used to download.
    let response = send(fixture.anonymous.request_without_token(Method::GET, &url)).await;
    assert_ne!(response.status, 200);
    let unknown = "/userfiles/3f0e9a3c-6f0e-4a55-9a5c-2f9a3c1b7e10";
    let response = send(
        fixture
            .anonymous
            .request_without_token(Method::GET, unknown),
    )
    .await;
    assert_ne!(response.status, 200);
}

async fn download_url_expires(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (file, _) = fixture.upload_file(&fixture.writer, SCRATCH).await;
    let build = fixture.writer.create(&json!({ "file_id": file })).await;
    let url = build["archive_url"].as_str().unwrap();
    fixture.farm.advance(240);
    send(fixture.anonymous.request_without_token(Method::GET, url))
        .await
        .is(200);
    fixture.farm.advance(120);
    let response = send(fixture.anonymous.request_without_token(Method::GET, url)).await;
    response.fails_with_problem(403, "insufficient_scope");
    let changed = url.replace("expires=", "expires=1");
    let response = send(
        fixture
            .anonymous
            .request_without_token(Method::GET, &changed),
    )
    .await;
    response.fails_with_problem(403, "insufficient_scope");
}

async fn file_is_deleted_after_its_last_use(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (file, _) = fixture.upload_file(&fixture.writer, SCRATCH).await;
    let build = fixture.writer.create(&json!({ "file_id": file })).await;
    let path = format!("{BUILDS}{}", build["id"].as_str().unwrap());
    let download = async || {
        let build = fixture.writer.get(&path).await.is(200).json();
        let url = build["archive_url"].as_str().unwrap().to_owned();
        send(fixture.anonymous.request_without_token(Method::GET, &url)).await
    };
    let expire_after_days = async |days: i64| {
        fixture.farm.advance(days * 24 * 3600);
        fixture.farm.farm().expire_uploads().await.unwrap()
    };
    // A file is kept while a build that uses it has not finished.
    assert_eq!(expire_after_days(31).await, 0);
    download().await.is(200);
    fixture.admin.delete(&path).await.is(204);
    assert_eq!(expire_after_days(0).await, 1);
    download().await.fails_with_problem(404, "not_found");
    // A deleted file cannot be built.
    let again = fixture
        .writer
        .post(BUILDS, &json!({ "file_id": file }))
        .await;
    assert_eq!(again.status, 400, "{again:?}");
}
