//! Upload, download and deletion of archives.
//!
//! See `docs/protocols/runner-v1.md#artifacts`.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::{Value, json};
use slipway_domain::JobId;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{ApiResponse, Claim, RunnerApi, chunked_part};

on_both_back_ends!(
    upload_stores_the_file_name_and_the_expiry,
    upload_without_expire_in_never_expires,
    upload_accepts_the_token_in_the_query_or_the_form,
    the_token_is_accepted_in_every_form,
    uploads_with_expire_in_never_or_zero_do_not_expire,
    upload_accepts_expire_in_after_the_file,
    upload_requires_a_file_a_token_and_a_running_job,
    upload_of_exactly_the_size_limit_returns_413,
    second_upload_replaces_the_first,
    two_simultaneous_uploads_store_one_archive,
    download_returns_the_archive_of_a_finished_job,
    download_returns_the_cleaned_file_name,
    download_returns_404_without_archive_and_403_with_a_wrong_token,
    deleted_archive_is_not_found,
);

const FORBIDDEN: &str = "403 Forbidden";

const NOT_FOUND: &str = "404 Not Found";

/// Uploads a form without a token in the header.
async fn upload_form(claim: &Claim, query: &str, form: Form) -> ApiResponse {
    let path = format!("/builds/{}/artifacts?{query}", claim.id);
    let api = &claim.runner.api;
    api.send(api.request(Method::POST, &path).multipart(form))
        .await
}

fn zip_form() -> Form {
    Form::new().part("file", chunked_part("a.zip", b"PK zip"))
}

async fn upload_stores_the_file_name_and_the_expiry(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    // Larger than any single buffer on the way.
    let content = vec![7; 300 << 10];
    let response = claim.upload("expire_in=7+days", "a.zip", &content).await;
    let job = response.is(201).json();
    assert_eq!(job["id"], claim.id.0);
    assert_eq!(
        job["artifacts_file"],
        json!({"filename": "a.zip", "size": content.len()})
    );
    let end: DateTime<Utc> = job["artifacts_expire_at"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let deviation = end - farm.clock.now() - TimeDelta::days(7);
    assert!(deviation.abs() < TimeDelta::minutes(1), "{end}");
    // The archive is available until then and not afterwards.
    farm.advance(7 * 86_400 - 60);
    assert!(claim.download().await.is(200).body == content);
    farm.advance(120);
    claim.download().await.fails_with(404, NOT_FOUND);
}

async fn upload_without_expire_in_never_expires(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let job = claim.upload("", "a.zip", b"PK zip").await.is(201).json();
    assert_eq!(job["artifacts_file"]["filename"], "a.zip");
    assert_eq!(
        job.get("artifacts_expire_at").unwrap_or(&Value::Null),
        &Value::Null
    );
    farm.advance(10 * 365 * 86_400);
    claim.download().await.is(200);
}

async fn upload_accepts_the_token_in_the_query_or_the_form(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let query = format!("token={}", claim.token);
    let job = upload_form(&claim, &query, zip_form()).await.is(201).json();
    assert_eq!(job["artifacts_file"]["filename"], "a.zip");
    // The query takes precedence over the header, whichever of the two is right.
    let wrong_header = claim.with_token("nope");
    wrong_header.upload(&query, "b.zip", b"b").await.is(201);
    let response = claim.upload("token=nope", "c.zip", b"c").await;
    response.fails_with(403, FORBIDDEN);
    // Form fields are accepted as well.
    let form = Form::new()
        .text("token", claim.token.clone())
        .text("expire_in", "1 day")
        .part("file", chunked_part("d.zip", b"d"));
    let job = upload_form(&claim, "", form).await.is(201).json();
    assert_eq!(job["artifacts_file"]["filename"], "d.zip");
    assert!(job["artifacts_expire_at"].is_string());
}

async fn the_token_is_accepted_in_every_form(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let after = |token: &str| zip_form().text("token", token.to_owned());
    upload_form(&claim, "", after("nope"))
        .await
        .fails_with(403, FORBIDDEN);
    let job = upload_form(&claim, "", after(&claim.token)).await;
    assert_eq!(job.is(201).json()["artifacts_file"]["filename"], "a.zip");
    let path = format!("/builds/{}/artifacts", claim.id);
    let api = &claim.runner.api;
    let token = &claim.token;
    for method in [Method::GET, Method::DELETE] {
        let request = || api.request(method.clone(), &path);
        let requests = [
            request().json(&json!({ "token": token })),
            request()
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(format!("token={token}")),
            request().multipart(Form::new().text("token", token.clone())),
            request().query(&[("token", token)]),
            request().header("build-token", token),
        ];
        for request in requests {
            api.send(request).await.is(200);
        }
        let wrong = request().json(&json!({ "token": "nope" }));
        api.send(wrong).await.fails_with(403, FORBIDDEN);
    }
}

async fn uploads_with_expire_in_never_or_zero_do_not_expire(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for expire_in in ["never", "Never", "0", "0+days"] {
        let claim = Claim::of_new_build(&farm).await;
        let query = format!("expire_in={expire_in}");
        claim.upload(&query, "a.zip", b"PK zip").await.is(201);
        assert_eq!(farm.artifacts(claim.id).await[0].expires_at, None);
    }
}

async fn upload_accepts_expire_in_after_the_file(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let query = format!("token={}", claim.token);
    let form = |expire_in: &str| zip_form().text("expire_in", expire_in.to_owned());
    let response = upload_form(&claim, &query, form("2 days")).await;
    let job = response.is(201).json();
    assert!(job["artifacts_expire_at"].is_string(), "{job:#}");
    let stored = farm.artifacts(claim.id).await[0].clone();
    // The last value counts. An invalid one leaves the stored archive unchanged.
    let longer = format!("{query}&expire_in=1+day");
    upload_form(&claim, &query, form("soon")).await.is(400);
    upload_form(&claim, &longer, form("soon")).await.is(400);
    assert_eq!(farm.artifacts(claim.id).await[0].id, stored.id);
    upload_form(&claim, &longer, form("3 days")).await.is(201);
    let end = farm.artifacts(claim.id).await[0].expires_at.unwrap();
    let deviation = end - farm.clock.now() - TimeDelta::days(3);
    assert!(deviation.abs() < TimeDelta::minutes(1), "{end}");
}

async fn upload_requires_a_file_a_token_and_a_running_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let missing = r#"400 (Bad request) "Missing artifacts file!" not given"#;
    let by_query = format!("token={}", claim.token);
    let form = Form::new().text("other", "field");
    let response = upload_form(&claim, &by_query, form).await;
    response.fails_with(400, missing);
    let no_form = claim.request(Method::POST, "artifacts");
    let response = claim.runner.api.send(no_form).await;
    response.fails_with(400, missing);
    // With a wrong token, the response does not depend on the body.
    for token in ["nope", "", &claim.runner.token] {
        let unauthorized = claim.with_token(token);
        let response = unauthorized.upload("", "a.zip", b"PK zip").await;
        response.fails_with(403, FORBIDDEN);
        let no_form = unauthorized.request(Method::POST, "artifacts");
        let response = claim.runner.api.send(no_form).await;
        response.fails_with(403, FORBIDDEN);
    }
    let unknown = claim.with_id(JobId(987_654));
    let response = unknown.upload("", "a.zip", b"PK zip").await;
    response.fails_with(404, NOT_FOUND);
    assert!(farm.artifacts(claim.id).await.is_empty());
    claim.patch("0-5", "hello").await.is(202);
    claim.succeed().await;
    let response = claim.upload("", "a.zip", b"PK zip").await;
    response.fails_with(403, "403 Forbidden  - Build is not running!");
    farm.erase(claim.id).await;
    let response = claim.upload("", "a.zip", b"PK zip").await;
    response.fails_with(403, "403 Forbidden  - Build has been erased!");
    assert!(farm.artifacts(claim.id).await.is_empty());
}

async fn upload_of_exactly_the_size_limit_returns_413(backend: Backend) {
    let limit = 100_000;
    let farm = TestFarm::start_with(backend, |config| {
        config.limits.max_artifact_bytes = limit as u64;
    })
    .await;
    let claim = Claim::of_new_build(&farm).await;
    for size in [limit, limit + 1, limit * 50] {
        let response = claim.upload("", "a.zip", &vec![1; size]).await;
        response.fails_with(413, "413 Request Entity Too Large");
    }
    assert!(farm.artifacts(claim.id).await.is_empty());
    let response = claim.upload("", "a.zip", &vec![1; limit - 1]).await;
    assert_eq!(response.is(201).json()["artifacts_file"]["size"], limit - 1);
}

async fn second_upload_replaces_the_first(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.upload("", "a.zip", b"the first").await.is(201);
    let job = claim
        .upload("", "b.zip", b"the second")
        .await
        .is(201)
        .json();
    assert_eq!(
        job["artifacts_file"],
        json!({"filename": "b.zip", "size": 10})
    );
    let response = claim.download().await.is(200);
    assert_eq!(response.body, "the second");
    let disposition = response.header("content-disposition");
    assert_eq!(disposition, Some("attachment; filename=b.zip"));
    assert_eq!(farm.artifacts(claim.id).await.len(), 1);
}

async fn two_simultaneous_uploads_store_one_archive(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for _ in 0..5 {
        let one = Claim::of_new_build(&farm).await;
        let mut two = one.clone();
        two.runner.api = RunnerApi::new(&farm);
        let (first, second) = tokio::join!(
            one.upload("", "a.zip", b"one"),
            two.upload("", "b.zip", b"two")
        );
        first.is(201);
        second.is(201);
        assert_eq!(farm.artifacts(one.id).await.len(), 1);
        let response = one.download().await.is(200);
        let name = response.header("content-disposition").unwrap();
        let complete = [
            ("attachment; filename=a.zip", &b"one"[..]),
            ("attachment; filename=b.zip", b"two"),
        ];
        assert!(
            complete.contains(&(name, &response.body[..])),
            "{response:?}"
        );
    }
}

async fn download_returns_the_archive_of_a_finished_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    claim.upload("", "a.zip", &content).await.is(201);
    claim.succeed().await;
    let response = claim.download().await.is(200);
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("content-disposition", "attachment; filename=a.zip"),
        ("content-transfer-encoding", "binary"),
        ("content-length", "800000"),
    ] {
        assert_eq!(response.header(name), Some(value));
    }
    assert!(response.body == content);
}

async fn download_returns_the_cleaned_file_name(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    for (sent, stored) in [
        ("my build.zip", "my build.zip"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.zip", "a.zip"),
        ("...", "artifacts.zip"),
        ("", "artifacts.zip"),
        ("\u{fc}ber.zip", "\u{fc}ber.zip"),
    ] {
        let job = claim.upload("", sent, b"zip").await.is(201).json();
        assert_eq!(job["artifacts_file"]["filename"], stored, "{sent}");
        let response = claim.download().await.is(200);
        let disposition = response.headers["content-disposition"].as_bytes();
        let expected = format!("attachment; filename={stored}");
        assert_eq!(disposition, expected.as_bytes(), "{sent}");
    }
}

async fn download_returns_404_without_archive_and_403_with_a_wrong_token(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.download().await.fails_with(404, NOT_FOUND);
    let unknown = claim.with_id(JobId(987_654));
    unknown.download().await.fails_with(404, NOT_FOUND);
    let other = Claim::of_new_build(&farm).await;
    for with_file in [false, true] {
        for token in ["nope", "", &claim.runner.token, &other.token] {
            let response = claim.with_token(token).download().await;
            response.fails_with(403, FORBIDDEN);
        }
        if !with_file {
            claim.upload("", "a.zip", b"PK zip").await.is(201);
        }
    }
    claim.succeed().await;
    farm.erase(claim.id).await;
    let response = claim.download().await;
    response.fails_with(403, "403 Forbidden  - Build has been erased!");
}

async fn deleted_archive_is_not_found(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.upload("", "a.zip", b"PK zip").await.is(201);
    let delete = async |claim: &Claim| {
        let request = claim.request(Method::DELETE, "artifacts");
        claim.runner.api.send(request).await
    };
    delete(&claim.with_token("nope"))
        .await
        .fails_with(403, FORBIDDEN);
    claim.download().await.is(200);
    delete(&claim).await.is(200);
    claim.download().await.fails_with(404, NOT_FOUND);
    delete(&claim).await.is(200);

    claim.upload("", "a.zip", b"PK zip").await.is(201);
    claim.succeed().await;
    delete(&claim)
        .await
        .fails_with(403, "403 Forbidden  - Build is not running!");
    claim.download().await.is(200);
}
