//! Checks 46 to 55: archives, up, down and away.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::{Value, json};
use slipway_domain::JobId;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{ApiResponse, Claim, RunnerApi, chunked_part};

on_both_back_ends!(
    check_46_an_archive_is_stored_with_its_name_and_its_end,
    check_47_an_archive_without_an_end_is_kept,
    check_48_the_token_may_be_in_the_query,
    check_49_an_upload_needs_a_file_a_token_and_a_running_job,
    check_50_the_limit_itself_is_too_large,
    check_51_a_second_archive_takes_the_place_of_the_first,
    check_52_a_finished_jobs_archive_is_fetched_as_it_was,
    check_53_what_is_not_there_is_404_and_a_wrong_token_403,
    check_54_a_removed_archive_is_gone,
    the_time_an_archive_is_kept_may_follow_it,
    check_55_a_later_stage_is_told_of_the_archives_before_it,
);

const FORBIDDEN: &str = "403 Forbidden";
const NOT_FOUND: &str = "404 Not Found";

/// Uploads with a form of one's own, with no token in a header.
async fn upload_form(claim: &Claim, query: &str, form: Form) -> ApiResponse {
    let path = format!("/builds/{}/artifacts?{query}", claim.id);
    let api = &claim.runner.api;
    api.send(api.request(Method::POST, &path).multipart(form))
        .await
}

fn zip_form() -> Form {
    Form::new().part("file", chunked_part("a.zip", b"PK zip"))
}

async fn check_46_an_archive_is_stored_with_its_name_and_its_end(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    // More than one buffer of anything on its way.
    let content = vec![7; 300 << 10];
    let answer = claim.upload("expire_in=7+days", "a.zip", &content).await;
    let job = answer.is(201).json();
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
    let off = end - farm.clock.now() - TimeDelta::days(7);
    assert!(off.abs() < TimeDelta::minutes(1), "{end}");
    // Until then it is there, and no longer.
    farm.advance(7 * 86_400 - 60);
    assert!(claim.download().await.is(200).body == content);
    farm.advance(120);
    claim.download().await.is_error(404, NOT_FOUND);
}

async fn check_47_an_archive_without_an_end_is_kept(backend: Backend) {
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

async fn check_48_the_token_may_be_in_the_query(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let query = format!("token={}", claim.token);
    let job = upload_form(&claim, &query, zip_form()).await.is(201).json();
    assert_eq!(job["artifacts_file"]["filename"], "a.zip");
    // It wins over the header, for better and for worse.
    let mut stranger = claim.clone();
    stranger.token = "nope".to_owned();
    stranger.upload(&query, "b.zip", b"b").await.is(201);
    let answer = claim.upload("token=nope", "c.zip", b"c").await;
    answer.is_error(403, FORBIDDEN);
    // So may a field of the form, with the time it is kept.
    let form = Form::new()
        .text("token", claim.token.clone())
        .text("expire_in", "1 day")
        .part("file", chunked_part("d.zip", b"d"));
    let job = upload_form(&claim, "", form).await.is(201).json();
    assert_eq!(job["artifacts_file"]["filename"], "d.zip");
    assert!(job["artifacts_expire_at"].is_string());
}

async fn the_time_an_archive_is_kept_may_follow_it(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let query = format!("token={}", claim.token);
    let form = |expire_in: &str| zip_form().text("expire_in", expire_in.to_owned());
    let answer = upload_form(&claim, &query, form("2 days")).await;
    let job = answer.is(201).json();
    assert!(job["artifacts_expire_at"].is_string(), "{job:#}");
    let kept = farm.artifacts(claim.id).await[0].clone();
    // What comes last counts, and one that is none leaves the archive before it in its place.
    let longer = format!("{query}&expire_in=1+day");
    upload_form(&claim, &query, form("soon")).await.is(400);
    upload_form(&claim, &longer, form("soon")).await.is(400);
    assert_eq!(farm.artifacts(claim.id).await[0].id, kept.id);
    upload_form(&claim, &longer, form("3 days")).await.is(201);
    let end = farm.artifacts(claim.id).await[0].expires_at.unwrap();
    let off = end - farm.clock.now() - TimeDelta::days(3);
    assert!(off.abs() < TimeDelta::minutes(1), "{end}");
}

async fn check_49_an_upload_needs_a_file_a_token_and_a_running_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let missing = r#"400 (Bad request) "Missing artifacts file!" not given"#;
    let by_query = format!("token={}", claim.token);
    let form = Form::new().text("other", "field");
    let answer = upload_form(&claim, &by_query, form).await;
    answer.is_error(400, missing);
    let no_form = claim.request(Method::POST, "artifacts");
    let answer = claim.runner.api.send(no_form).await;
    answer.is_error(400, missing);
    // Who has no right to send is told nothing of what it sent.
    for token in ["nope", "", &claim.runner.token] {
        let mut stranger = claim.clone();
        stranger.token = token.to_owned();
        let answer = stranger.upload("", "a.zip", b"PK zip").await;
        answer.is_error(403, FORBIDDEN);
        let no_form = stranger.request(Method::POST, "artifacts");
        let answer = claim.runner.api.send(no_form).await;
        answer.is_error(403, FORBIDDEN);
    }
    let mut nowhere = claim.clone();
    nowhere.id = JobId(987_654);
    let answer = nowhere.upload("", "a.zip", b"PK zip").await;
    answer.is_error(404, NOT_FOUND);
    assert!(farm.artifacts(claim.id).await.is_empty());
    claim.patch("0-5", "hello").await.is(202);
    claim.succeed().await;
    let answer = claim.upload("", "a.zip", b"PK zip").await;
    answer.is_error(403, "403 Forbidden  - Build is not running!");
    farm.erase(claim.id).await;
    let answer = claim.upload("", "a.zip", b"PK zip").await;
    answer.is_error(403, "403 Forbidden  - Build has been erased!");
    assert!(farm.artifacts(claim.id).await.is_empty());
}

async fn check_50_the_limit_itself_is_too_large(backend: Backend) {
    let limit = 100_000;
    let farm = TestFarm::start_with(backend, |config| {
        config.limits.max_artifact_bytes = limit as u64;
    })
    .await;
    let claim = Claim::of_new_build(&farm).await;
    for size in [limit, limit + 1, limit * 50] {
        let answer = claim.upload("", "a.zip", &vec![1; size]).await;
        answer.is_error(413, "413 Request Entity Too Large");
    }
    assert!(farm.artifacts(claim.id).await.is_empty());
    let answer = claim.upload("", "a.zip", &vec![1; limit - 1]).await;
    assert_eq!(answer.is(201).json()["artifacts_file"]["size"], limit - 1);
}

async fn check_51_a_second_archive_takes_the_place_of_the_first(backend: Backend) {
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
    let answer = claim.download().await.is(200);
    assert_eq!(answer.body, "the second");
    let disposition = answer.header("content-disposition");
    assert_eq!(disposition, Some("attachment; filename=b.zip"));
    assert_eq!(farm.artifacts(claim.id).await.len(), 1);
}

async fn check_52_a_finished_jobs_archive_is_fetched_as_it_was(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    claim.upload("", "a.zip", &content).await.is(201);
    claim.succeed().await;
    let answer = claim.download().await.is(200);
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("content-disposition", "attachment; filename=a.zip"),
        ("content-transfer-encoding", "binary"),
        ("content-length", "800000"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    assert!(answer.body == content);
}

async fn check_53_what_is_not_there_is_404_and_a_wrong_token_403(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.download().await.is_error(404, NOT_FOUND);
    let mut nowhere = claim.clone();
    nowhere.id = JobId(987_654);
    nowhere.download().await.is_error(404, NOT_FOUND);
    let other = Claim::of_new_build(&farm).await;
    for with_file in [false, true] {
        for token in ["nope", "", &claim.runner.token, &other.token] {
            let mut stranger = claim.clone();
            stranger.token = token.to_owned();
            let answer = stranger.download().await;
            answer.is_error(403, FORBIDDEN);
        }
        if !with_file {
            claim.upload("", "a.zip", b"PK zip").await.is(201);
        }
    }
    claim.succeed().await;
    farm.erase(claim.id).await;
    let answer = claim.download().await;
    answer.is_error(403, "403 Forbidden  - Build has been erased!");
}

async fn check_54_a_removed_archive_is_gone(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.upload("", "a.zip", b"PK zip").await.is(201);
    claim.succeed().await;
    let remove = async |claim: &Claim| {
        let request = claim.request(Method::DELETE, "artifacts");
        claim.runner.api.send(request).await
    };
    let mut stranger = claim.clone();
    stranger.token = "nope".to_owned();
    remove(&stranger).await.is_error(403, FORBIDDEN);
    claim.download().await.is(200);
    remove(&claim).await.is(200);
    claim.download().await.is_error(404, NOT_FOUND);
    remove(&claim).await.is(200);
}

async fn check_55_a_later_stage_is_told_of_the_archives_before_it(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let jobs: [(&str, &[&str]); 2] = [("first", &[]), ("second", &["first"])];
    farm.build_of(&project, &jobs).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let first = runner.claim().await;
    assert_eq!(first.payload["name"], "first");
    runner.expect_no_job().await;
    first.upload("", "a.zip", b"PK zip").await.is(201);
    first.succeed().await;
    let second = runner.claim().await;
    assert_eq!(second.payload["name"], "second");
    let entries = second.payload["depends_on_builds"].as_array().unwrap();
    assert_eq!(entries.len(), 1);
    let entry = &entries[0];
    assert_eq!(entry["id"], first.id.0);
    assert_eq!(entry["name"], "first");
    assert_eq!(entry["status"], "success");
    assert_eq!(
        entry["artifacts_file"],
        json!({"filename": "a.zip", "size": 6})
    );
    let mut fetching = first.clone();
    fetching.token = entry["token"].as_str().unwrap().to_owned();
    assert_eq!(fetching.download().await.is(200).body, "PK zip");
    // It opens that archive and nothing else.
    let answer = fetching.patch("0-1", "x").await;
    answer.is_text_error(403, FORBIDDEN);
    fetching.id = second.id;
    fetching.download().await.is_error(403, FORBIDDEN);
}
