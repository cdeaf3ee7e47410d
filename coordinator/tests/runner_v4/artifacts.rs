//! Checks 43 to 49: files up and down.

use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::json;
use slipway_domain::JobId;
use slipway_farm::Content;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{Claim, RunnerApi, chunked_part};

on_both_back_ends!(
    check_43_an_archive_is_taken,
    check_44_what_it_is_may_be_told_after_it,
    check_45_a_job_has_one_file_of_each_type,
    check_46_what_is_too_large_is_not_taken,
    check_47_only_a_running_job_takes_a_file,
    check_48_a_job_that_needs_it_fetches_an_archive,
    check_49_nobody_else_fetches_it,
);

const ARCHIVE: &str = "artifact_format=zip&artifact_type=archive&expire_in=1+week";

/// Kind, name, whether it has an end, and size of all files of a job.
async fn files(farm: &TestFarm, claim: &Claim) -> Vec<(String, String, bool, u64)> {
    let made = farm.artifacts(claim.id).await.into_iter();
    let told = made.map(|artifact| {
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
    told.collect()
}

fn archive(name: &str, is_kept: bool, size: u64) -> (String, String, bool, u64) {
    ("archive".to_owned(), name.to_owned(), !is_kept, size)
}

async fn check_43_an_archive_is_taken(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let answer = claim.upload(ARCHIVE, "artifacts.zip", b"PK zip").await;
    assert_eq!(answer.is(201).body, "201");
    let expected = [archive("artifacts.zip", false, 6)];
    assert_eq!(files(&farm, &claim).await, expected);
}

async fn check_44_what_it_is_may_be_told_after_it(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let form = Form::new()
        .part("file", chunked_part("artifacts.zip", b"PK zip"))
        .text("artifact_type", "archive")
        .text("artifact_format", "zip")
        .text("expire_in", "1 week");
    claim.upload_form("", form).await.is(201);
    let expected = [archive("artifacts.zip", false, 6)];
    assert_eq!(files(&farm, &claim).await, expected);
    // What the query says goes before it.
    let form = Form::new()
        .part("file", chunked_part("junit.xml.gz", b"gz"))
        .text("artifact_type", "archive")
        .text("artifact_format", "zip");
    let query = "artifact_type=junit&artifact_format=gzip";
    claim.upload_form(query, form).await.is(201);
    assert_eq!(files(&farm, &claim).await[1].0, "junit");
}

async fn check_45_a_job_has_one_file_of_each_type(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.upload(ARCHIVE, "a.zip", b"PK zip").await.is(201);
    let stored = farm.stored_blobs();
    claim.upload(ARCHIVE, "a.zip", b"PK zip").await.is(201);
    claim.upload(ARCHIVE, "a.zip", b"PK other").await.is(400);
    // Neither left anything behind.
    assert_eq!(farm.stored_blobs(), stored);
    for (kind, format) in [("junit", "gzip"), ("metadata", "gzip"), ("dotenv", "raw")] {
        let query = format!("artifact_type={kind}&artifact_format={format}");
        claim.upload(&query, "file", b"bytes").await.is(201);
    }
    let kinds: Vec<String> = files(&farm, &claim)
        .await
        .into_iter()
        .map(|f| f.0)
        .collect();
    assert_eq!(kinds, ["archive", "junit", "metadata", "dotenv"]);
    for unfit in [
        "artifact_type=archive&artifact_format=gzip",
        "artifact_type=junit&artifact_format=rar",
        "artifact_type=..&artifact_format=raw",
    ] {
        claim.upload(unfit, "file", b"bytes").await.is(400);
    }
    assert_eq!(files(&farm, &claim).await.len(), 4);
    let answer = claim.download(claim.id, "").await.is(200);
    assert_eq!(answer.body, "PK zip");
}

async fn check_46_what_is_too_large_is_not_taken(backend: Backend) {
    let limit = 100_000;
    let farm = TestFarm::start_with(backend, |config| {
        config.limits.max_artifact_bytes = limit as u64;
    })
    .await;
    let claim = Claim::of_new_build(&farm).await;
    let stored = farm.stored_blobs();
    let answer = claim.upload(ARCHIVE, "a.zip", &vec![1; limit * 50]).await;
    answer.is(413);
    assert!(files(&farm, &claim).await.is_empty());
    assert_eq!(farm.stored_blobs(), stored);
    let answer = claim.upload(ARCHIVE, "a.zip", &vec![1; limit - 1]).await;
    answer.is(201);
}

async fn check_47_only_a_running_job_takes_a_file(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let form = Form::new().text("artifact_type", "archive");
    claim.upload_form("", form).await.is(400);
    let request = claim.request(Method::POST, "/artifacts").body("no form");
    claim.runner.api.send(request).await.is(400);
    let stranger = claim.with_token("nope");
    stranger.upload(ARCHIVE, "a.zip", b"x").await.is_forbidden();
    claim.succeed().await;
    claim.upload(ARCHIVE, "a.zip", b"x").await.is_forbidden();
    let mut unknown = claim.clone();
    unknown.id = JobId(987_654);
    unknown.upload(ARCHIVE, "a.zip", b"x").await.is_forbidden();
    assert!(files(&farm, &claim).await.is_empty());
}

/// Two claimed jobs, of which the second needs the first, which left these bytes if any.
async fn needed(farm: &TestFarm, content: Option<&[u8]>) -> (Claim, Claim) {
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

async fn check_48_a_job_that_needs_it_fetches_an_archive(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let (first, second) = needed(&farm, Some(&content)).await;
    assert_eq!(
        second.payload["dependencies"],
        json!([{
            "id": first.id.0, "name": "first", "token": second.token,
            "artifacts_file": {"filename": "a.zip", "size": 800_000},
        }])
    );
    for query in ["", "?direct_download=true", "?direct_download=false"] {
        let answer = second.download(first.id, query).await.is(200);
        assert!(answer.body == content);
        for (name, value) in [
            ("content-type", "application/octet-stream"),
            ("content-disposition", "attachment; filename=\"a.zip\""),
            ("content-length", "800000"),
        ] {
            assert_eq!(answer.header(name), Some(value));
        }
    }
    // The job's own token is as good, though it is over.
    first.download(first.id, "").await.is(200);
    second.succeed().await;
    second.download(first.id, "").await.is_forbidden();
}

async fn check_49_nobody_else_fetches_it(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let (first, second) = needed(&farm, Some(b"PK zip")).await;
    let unrelated = Claim::of_new_build(&farm).await;
    unrelated.download(first.id, "").await.is_forbidden();
    let runner = second.with_token(&second.runner.token);
    runner.download(first.id, "").await.is_forbidden();
    let api = &second.runner.api;
    let path = format!("/jobs/{}/artifacts", first.id);
    api.send(api.request(Method::GET, &path)).await.is(401);
    api.send(api.request(Method::POST, &path)).await.is(401);
    second.download(JobId(987_654), "").await.is_forbidden();
    let (bare, needing) = needed(&farm, None).await;
    assert_eq!(needing.payload["dependencies"], json!([]));
    needing.download(bare.id, "").await.is(404);
}
