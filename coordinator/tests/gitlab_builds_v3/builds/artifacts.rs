//! Downloading and keeping artifacts.
//!
//! See `docs/protocols/gitlab-builds-v3.md#artifacts` and `#keep`.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_domain::JobId;
use slipway_testkit::farm::SHA;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::{ApiResponse, PROJECT, build_path, send};
use crate::fixture::Fixture;

on_both_back_ends!(
    artifacts_are_downloaded_unchanged,
    single_byte_range_of_artifacts_returns_206,
    missing_or_expired_artifacts_return_404,
    ref_download_uses_the_newest_successful_pipeline,
    ref_may_contain_slashes,
    ref_download_requires_a_known_ref_and_job,
    kept_artifacts_do_not_expire,
    keep_without_artifacts_returns_404,
);

/// Asserts a response with the whole archive.
#[track_caller]
fn assert_is_archive(response: ApiResponse, content: &[u8]) {
    let response = response.is(200);
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("content-disposition", "attachment; filename=artifacts.zip"),
        ("content-transfer-encoding", "binary"),
        ("content-length", &content.len().to_string()),
    ] {
        assert_eq!(response.header(name), Some(value), "{name}");
    }
    assert!(response.body == content);
}

async fn artifacts_are_downloaded_unchanged(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let claim = fixture.running_build().await;
    // Larger than the buffers on the way.
    let content: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let uploaded = claim.upload("", "artifacts.zip", &content).await;
    uploaded.is(201);
    let path = build_path(claim.id, "/artifacts");
    assert_is_archive(fixture.reporter.get(&path).await, &content);
    let head = send(fixture.reporter.request(Method::HEAD, &path))
        .await
        .is(200);
    assert_eq!(head.header("content-length"), Some("300000"));
    assert!(head.body.is_empty());
}

async fn single_byte_range_of_artifacts_returns_206(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let claim = fixture.build_with_trace_and_archive().await;
    let path = build_path(claim.id, "/artifacts");
    let get_range = async |range: &str| {
        let request = fixture.developer.request(Method::GET, &path);
        send(request.header("Range", range)).await
    };
    for (range, content_range, body) in [
        ("bytes=0-1", "bytes 0-1/6", "PK"),
        ("bytes=3-", "bytes 3-5/6", "zip"),
        ("bytes=-1", "bytes 5-5/6", "p"),
        ("bytes=1-99", "bytes 1-5/6", "K zip"),
    ] {
        let response = get_range(range).await.is(206);
        assert_eq!(
            response.header("content-range"),
            Some(content_range),
            "{range}"
        );
        let length = body.len().to_string();
        assert_eq!(response.header("content-length"), Some(length.as_str()));
        assert_eq!(response.body, body, "{range}");
    }
    for range in ["bytes=0-1,3-4", "lines=1-2", "bytes=x"] {
        assert_is_archive(get_range(range).await, b"PK zip");
    }
    let response = get_range("bytes=6-").await;
    let response = response.fails_with(416, "416 Range Not Satisfiable");
    assert_eq!(response.header("content-range"), Some("bytes */6"));
}

async fn missing_or_expired_artifacts_return_404(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let claim = fixture.finished_build("success").await;
    let response = fixture
        .developer
        .get(&build_path(claim.id, "/artifacts"))
        .await;
    response.fails_with(404, "404 Not Found");
    let claim = fixture.running_build().await;
    let uploaded = claim
        .upload("expire_in=1+day", "artifacts.zip", b"PK")
        .await;
    uploaded.is(201);
    let path = build_path(claim.id, "/artifacts");
    fixture.farm.advance(86_400 - 60);
    assert_is_archive(fixture.developer.get(&path).await, b"PK");
    // It is not deleted yet.
    fixture.farm.advance(60);
    fixture
        .developer
        .get(&path)
        .await
        .fails_with(404, "404 Not Found");
    let build = fixture
        .developer
        .get(&build_path(claim.id, ""))
        .await
        .json();
    assert_eq!(build["artifacts_file"], json!(null));
}

/// Runs the build `id`, which uploads an archive with `content` and finishes with `state`.
async fn run_build(fixture: &Fixture, id: JobId, content: &str, state: &str) {
    let claim = fixture.register_runner().await.claim().await;
    assert_eq!(claim.id, id);
    let uploaded = claim.upload("", "artifacts.zip", content.as_bytes()).await;
    uploaded.is(201);
    claim.put(json!({ "state": state })).await.is(200);
}

async fn ref_download_uses_the_newest_successful_pipeline(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for (git_ref, content, state) in [
        ("master", "old", "success"),
        ("master", "new", "success"),
        ("master", "broken", "failed"),
        ("other", "elsewhere", "success"),
    ] {
        let id = fixture.pending_build_of(git_ref, SHA).await;
        run_build(&fixture, id, content, state).await;
    }
    let open = fixture.pending_build().await;
    let path = format!("{PROJECT}/builds/artifacts/master/download?job=unit");
    assert_is_archive(fixture.reporter.get(&path).await, b"new");
    let response = fixture.guest.get(&path).await;
    response.fails_with(403, "403 Forbidden");
    // Among the attempts of one name the latest counts.
    fixture.farm.cancel(open).await;
    let id = fixture.pending_build_of("tried", SHA).await;
    run_build(&fixture, id, "first", "failed").await;
    let retried = fixture.developer.post(&build_path(id, "/retry")).await;
    let again = JobId(retried.is(201).json()["id"].as_i64().unwrap());
    run_build(&fixture, again, "second", "success").await;
    let path = format!("{PROJECT}/builds/artifacts/tried/download?job=unit");
    assert_is_archive(fixture.reporter.get(&path).await, b"second");
}

async fn ref_may_contain_slashes(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let id = fixture.pending_build_of("feature/x", SHA).await;
    run_build(&fixture, id, "slashed", "success").await;
    for name in ["feature/x", "feature%2Fx"] {
        for suffix in ["", ".json"] {
            let path = format!("{PROJECT}/builds/artifacts/{name}/download{suffix}?job=unit");
            assert_is_archive(fixture.developer.get(&path).await, b"slashed");
        }
    }
}

async fn ref_download_requires_a_known_ref_and_job(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let claim = fixture.finished_build("success").await;
    assert_eq!(fixture.farm.job(claim.id).await.state.name(), "succeeded");
    let path = |name: &str| format!("{PROJECT}/builds/artifacts/{name}/download");
    // The last job exists, but has no archive.
    for unknown in [
        "none?job=unit",
        "master?job=none",
        "a..b?job=unit",
        "master?job=unit",
    ] {
        let (name, query) = unknown.split_once('?').unwrap();
        let response = fixture
            .developer
            .get(&format!("{}?{query}", path(name)))
            .await;
        response.fails_with(404, "404 Not found");
    }
    let response = fixture.developer.get(&path("master")).await;
    response.has_error(400, "job is missing");
}

async fn kept_artifacts_do_not_expire(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let claim = fixture.running_build().await;
    let uploaded = claim
        .upload("expire_in=1+day", "artifacts.zip", b"PK")
        .await;
    uploaded.is(201);
    claim.succeed().await;
    let response = fixture
        .reporter
        .post(&build_path(claim.id, "/artifacts/keep"))
        .await;
    response.fails_with(403, "403 Forbidden");
    // Keeping twice changes nothing.
    for _ in 0..2 {
        let build = fixture.post_action(claim.id, "/artifacts/keep", 200).await;
        assert_eq!(build["artifacts_file"]["size"], 2);
        assert_eq!(build.get("download_url"), Some(&Value::Null));
    }
    fixture.farm.advance(2 * 86_400);
    fixture.farm.farm().expire_artifacts().await.unwrap();
    let response = fixture
        .developer
        .get(&build_path(claim.id, "/artifacts"))
        .await;
    assert_eq!(response.is(200).body, "PK");
}

async fn keep_without_artifacts_returns_404(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let without = fixture.finished_build("success").await;
    let expired = fixture.running_build().await;
    let uploaded = expired
        .upload("expire_in=1+day", "artifacts.zip", b"PK")
        .await;
    uploaded.is(201);
    fixture.farm.advance(86_400);
    for id in [without.id, expired.id, JobId(424_242)] {
        let path = build_path(id, "/artifacts/keep");
        let response = fixture.developer.post(&path).await;
        response.fails_with(404, "404 Not Found");
    }
}
