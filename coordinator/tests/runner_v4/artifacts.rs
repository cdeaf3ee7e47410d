//! Upload and download of artifacts.
//!
//! See `docs/protocols/runner-v4.md#artifacts`.

use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::json;
use slipway_domain::JobId;
use slipway_farm::Content;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{Claim, RunnerApi, chunked_part};

on_both_back_ends!(
    upload_stores_an_archive,
    upload_accepts_its_parameters_in_the_form_after_the_file,
    job_has_one_file_of_each_type,
    upload_above_the_size_limit_returns_413_and_stores_nothing,
    upload_requires_a_running_job_and_its_token,
    download_by_a_dependent_job_returns_the_archive,
    download_by_others_is_refused,
);

const ARCHIVE: &str = "artifact_format=zip&artifact_type=archive&expire_in=1+week";

/// Type, name, whether it expires, and size of each file of a job.
async fn files(farm: &TestFarm, claim: &Claim) -> Vec<(String, String, bool, u64)> {
    let artifacts = farm.artifacts(claim.id).await.into_iter();
    let described = artifacts.map(|artifact| {
        let (kind, name) = match artifact.content {
            Content::Archive { filename, .. } => ("archive".to_owned(), filename),
            Content::File {
                file_type,
                filename,
                ..
            } => (file_type, filename),
            Content::Image { .. } => panic!("an image"),
        };
        (
            kind,
            name,
            artifact.expires_at.is_some(),
            artifact.size_bytes,
        )
    });
    described.collect()
}

fn archive(name: &str, expires: bool, size: u64) -> (String, String, bool, u64) {
    ("archive".to_owned(), name.to_owned(), expires, size)
}

async fn upload_stores_an_archive(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let response = claim.upload(ARCHIVE, "artifacts.zip", b"PK zip").await;
    assert_eq!(response.is(201).body, "201");
    let expected = [archive("artifacts.zip", true, 6)];
    assert_eq!(files(&farm, &claim).await, expected);
}

async fn upload_accepts_its_parameters_in_the_form_after_the_file(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let form = Form::new()
        .part("file", chunked_part("artifacts.zip", b"PK zip"))
        .text("artifact_type", "archive")
        .text("artifact_format", "zip")
        .text("expire_in", "1 week");
    claim.upload_form("", form).await.is(201);
    let expected = [archive("artifacts.zip", true, 6)];
    assert_eq!(files(&farm, &claim).await, expected);
    // The query takes precedence over the form.
    let form = Form::new()
        .part("file", chunked_part("junit.xml.gz", b"gz"))
        .text("artifact_type", "archive")
        .text("artifact_format", "zip");
    let query = "artifact_type=junit&artifact_format=gzip";
    claim.upload_form(query, form).await.is(201);
    assert_eq!(files(&farm, &claim).await[1].0, "junit");
}

async fn job_has_one_file_of_each_type(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.upload(ARCHIVE, "a.zip", b"PK zip").await.is(201);
    let stored = farm.stored_blobs();
    claim.upload(ARCHIVE, "a.zip", b"PK zip").await.is(201);
    claim.upload(ARCHIVE, "a.zip", b"PK other").await.is(400);
    // Neither upload leaves a second blob in the store.
    assert_eq!(farm.stored_blobs(), stored);
    for (kind, format) in [("junit", "gzip"), ("metadata", "gzip"), ("dotenv", "raw")] {
        let query = format!("artifact_type={kind}&artifact_format={format}");
        claim.upload(&query, "file", b"bytes").await.is(201);
    }
    let kinds: Vec<String> = files(&farm, &claim)
        .await
        .into_iter()
        .map(|file| file.0)
        .collect();
    assert_eq!(kinds, ["archive", "junit", "metadata", "dotenv"]);
    for query in [
        "artifact_type=archive&artifact_format=gzip",
        "artifact_type=junit&artifact_format=rar",
        "artifact_type=..&artifact_format=raw",
    ] {
        claim.upload(query, "file", b"bytes").await.is(400);
    }
    assert_eq!(files(&farm, &claim).await.len(), 4);
    let response = claim.download(claim.id, "").await.is(200);
    assert_eq!(response.body, "PK zip");
}

async fn upload_above_the_size_limit_returns_413_and_stores_nothing(backend: Backend) {
    let limit = 100_000;
    let farm = TestFarm::start_with(backend, |config| {
        config.limits.max_artifact_bytes = limit as u64;
    })
    .await;
    let claim = Claim::of_new_build(&farm).await;
    let stored = farm.stored_blobs();
    let response = claim.upload(ARCHIVE, "a.zip", &vec![1; limit * 50]).await;
    response.is(413);
    assert!(files(&farm, &claim).await.is_empty());
    assert_eq!(farm.stored_blobs(), stored);
    let response = claim.upload(ARCHIVE, "a.zip", &vec![1; limit - 1]).await;
    response.is(201);
}

async fn upload_requires_a_running_job_and_its_token(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let form = Form::new().text("artifact_type", "archive");
    claim.upload_form("", form).await.is(400);
    let request = claim.request(Method::POST, "/artifacts").body("no form");
    claim.runner.api.send(request).await.is(400);
    let wrong_token = claim.with_token("nope");
    wrong_token
        .upload(ARCHIVE, "a.zip", b"x")
        .await
        .fails_as_forbidden();
    claim.succeed().await;
    claim
        .upload(ARCHIVE, "a.zip", b"x")
        .await
        .fails_as_forbidden();
    let unknown = claim.with_id(JobId(987_654));
    unknown
        .upload(ARCHIVE, "a.zip", b"x")
        .await
        .fails_as_forbidden();
    assert!(files(&farm, &claim).await.is_empty());
}

/// Claims two jobs of which the second needs the first. The first uploads `content`, if any, and
/// succeeds.
async fn claim_two_jobs(farm: &TestFarm, content: Option<&[u8]>) -> (Claim, Claim) {
    let project = farm.project("acme/api").await;
    let jobs: [(&str, &[&str]); 2] = [("first", &[]), ("second", &["first"])];
    farm.build_of(&project, &jobs).await;
    let runner = RunnerApi::new(farm).register_runner(farm).await;
    let first = runner.claim().await;
    if let Some(content) = content {
        first.upload(ARCHIVE, "a.zip", content).await.is(201);
    }
    first.succeed().await;
    (first, runner.claim().await)
}

async fn download_by_a_dependent_job_returns_the_archive(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let (first, second) = claim_two_jobs(&farm, Some(&content)).await;
    assert_eq!(
        second.payload["dependencies"],
        json!([{
            "id": first.id.0, "name": "first", "token": second.token,
            "artifacts_file": {"filename": "a.zip", "size": 800_000},
        }])
    );
    for query in ["", "?direct_download=true", "?direct_download=false"] {
        let response = second.download(first.id, query).await.is(200);
        assert!(response.body == content);
        for (name, value) in [
            ("content-type", "application/octet-stream"),
            ("content-disposition", "attachment; filename=\"a.zip\""),
            ("content-length", "800000"),
        ] {
            assert_eq!(response.header(name), Some(value));
        }
    }
    // The dependency's own token is accepted as well, even after that job has finished.
    first.download(first.id, "").await.is(200);
    second.succeed().await;
    second.download(first.id, "").await.fails_as_forbidden();
}

async fn download_by_others_is_refused(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let (first, second) = claim_two_jobs(&farm, Some(b"PK zip")).await;
    let unrelated = Claim::of_new_build(&farm).await;
    unrelated.download(first.id, "").await.fails_as_forbidden();
    let runner = second.with_token(&second.runner.token);
    runner.download(first.id, "").await.fails_as_forbidden();
    let api = &second.runner.api;
    let path = format!("/jobs/{}/artifacts", first.id);
    api.send(api.request(Method::GET, &path)).await.is(401);
    api.send(api.request(Method::POST, &path)).await.is(401);
    second
        .download(JobId(987_654), "")
        .await
        .fails_as_forbidden();
    let (bare, needing) = claim_two_jobs(&farm, None).await;
    assert_eq!(needing.payload["dependencies"], json!([]));
    needing.download(bare.id, "").await.is(404);
}
