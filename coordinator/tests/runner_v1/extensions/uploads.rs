//! Files that slipway-runner uploads in pieces.
//!
//! See `docs/protocols/runner-v1.md#uploads-in-pieces`.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use slipway_domain::Role;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{ApiResponse, Claim};
use crate::raw_http::Connection;

on_both_back_ends!(
    file_in_pieces_becomes_an_artifact_at_its_end,
    upload_goes_on_where_it_stopped_after_a_restart,
    piece_at_a_wrong_offset_is_answered_with_the_right_one,
    file_with_a_wrong_checksum_is_not_published,
    wrong_checksum_keeps_the_earlier_artifact,
    end_that_is_sent_again_has_the_same_answer,
    end_before_the_last_piece_is_answered_with_the_offset,
    piece_that_breaks_off_is_not_stored,
    empty_file_is_published,
    pieces_count_against_the_limits,
    pieces_of_a_job_that_has_ended_are_deleted,
    pieces_without_progress_are_deleted_after_a_day,
    pieces_are_deleted_with_their_project,
    upload_needs_the_token_of_its_running_job,
    uploads_of_two_jobs_with_one_id_are_separate,
    invalid_uploads_are_refused,
    number_of_uploads_of_a_job_is_limited,
);

const UPLOAD: &str = "5f9d3c1e-0a70-4b1e-8a35-6f7a30b4f001";

impl Claim {
    async fn offset(&self, upload: &str) -> ApiResponse {
        let request = self.request(Method::GET, &format!("uploads/{upload}"));
        self.runner.api.send(request).await
    }

    async fn piece(&self, upload: &str, start: u64, bytes: &[u8]) -> ApiResponse {
        let range = format!("{start}-{}", start + bytes.len() as u64);
        self.piece_of(upload, &range, bytes).await
    }

    async fn piece_of(&self, upload: &str, range: &str, bytes: &[u8]) -> ApiResponse {
        let request = self
            .request(Method::PATCH, &format!("uploads/{upload}"))
            .header("Content-Type", "application/octet-stream")
            .header("Content-Range", range)
            .body(bytes.to_vec());
        self.runner.api.send(request).await
    }

    async fn end(&self, upload: &str, body: &Value) -> ApiResponse {
        let request = self.request(Method::POST, &format!("uploads/{upload}"));
        self.runner.api.send(request.json(body)).await
    }
}

/// The end of an upload of `file`.
fn end_of(file: &[u8]) -> Value {
    json!({
        "size": file.len(),
        "sha256": hex::encode(Sha256::digest(file)),
        "filename": "artifacts.zip",
    })
}

/// Bytes that differ everywhere.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 7 + at / 251) as u8).collect()
}

async fn assert_no_artifact(claim: &Claim) {
    claim.download().await.is(404);
}

async fn file_in_pieces_becomes_an_artifact_at_its_end(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    assert_eq!(claim.payload["own"]["uploads_in_pieces"], true);
    let file = bytes(300_000);
    let mut start = 0;
    for piece in file.chunks(100_000) {
        let stored = claim.piece(UPLOAD, start, piece).await.is(202);
        start += piece.len() as u64;
        assert_eq!(stored.header("range"), Some(format!("0-{start}").as_str()));
        assert_no_artifact(&claim).await;
    }
    let mut end = end_of(&file);
    end["expire_in"] = "7 days".into();
    claim.end(UPLOAD, &end).await.is(201);
    assert_eq!(claim.download().await.is(200).body, file);
    // The pieces are gone.
    assert_eq!(farm.stored_blobs(), 1);
    let artifacts = farm.farm().artifacts_of(claim.id).await.unwrap();
    let artifact = &artifacts[0];
    assert_eq!(artifacts.len(), 1);
    assert_eq!(artifact.size_bytes, 300_000);
    assert!(artifact.expires_at.is_some());
}

async fn upload_goes_on_where_it_stopped_after_a_restart(backend: Backend) {
    let mut farm = TestFarm::start(backend).await;
    let mut claim = Claim::of_new_build(&farm).await;
    let file = bytes(50_000);
    claim.piece(UPLOAD, 0, &file[..20_000]).await.is(202);
    farm.restart().await;
    claim.runner.api.base = farm.url("");
    let held = claim.offset(UPLOAD).await.is(200);
    assert_eq!(held.header("range"), Some("0-20000"));
    claim.piece(UPLOAD, 20_000, &file[20_000..]).await.is(202);
    claim.end(UPLOAD, &end_of(&file)).await.is(201);
    assert_eq!(claim.download().await.is(200).body, file);
}

async fn piece_at_a_wrong_offset_is_answered_with_the_right_one(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let unknown = claim.offset(UPLOAD).await.is(200);
    assert_eq!(unknown.header("range"), Some("0-0"));
    let file = bytes(3000);
    claim.piece(UPLOAD, 0, &file[..1000]).await.is(202);
    // A repeated piece, one in between, and one after a gap.
    for start in [0, 500, 2000] {
        let at = start as usize;
        let refused = claim
            .piece(UPLOAD, start, &file[at..at + 1000])
            .await
            .is(416);
        assert_eq!(refused.header("range"), Some("0-1000"), "{start}");
    }
    claim.piece(UPLOAD, 1000, &file[1000..]).await.is(202);
    claim.end(UPLOAD, &end_of(&file)).await.is(201);
    assert_eq!(claim.download().await.is(200).body, file);
    assert_eq!(farm.stored_blobs(), 1);
}

async fn file_with_a_wrong_checksum_is_not_published(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let file = bytes(1000);
    claim.piece(UPLOAD, 0, &file).await.is(202);
    let mut end = end_of(&file);
    end["sha256"] = "0".repeat(64).into();
    claim.end(UPLOAD, &end).await.is(422);
    assert_no_artifact(&claim).await;
    // Nothing of it is left: the file is sent again from the beginning.
    assert_eq!(farm.stored_blobs(), 0);
    let held = claim.offset(UPLOAD).await.is(200);
    assert_eq!(held.header("range"), Some("0-0"));
    claim.piece(UPLOAD, 0, &file).await.is(202);
    claim.end(UPLOAD, &end_of(&file)).await.is(201);
    assert_eq!(claim.download().await.is(200).body, file);
}

async fn wrong_checksum_keeps_the_earlier_artifact(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.upload("", "artifacts.zip", b"earlier").await.is(201);
    claim.piece(UPLOAD, 0, b"later").await.is(202);
    assert_eq!(claim.download().await.is(200).body, b"earlier"[..]);
    claim.end(UPLOAD, &end_of(b"other")).await.is(422);
    assert_eq!(claim.download().await.is(200).body, b"earlier"[..]);
    claim.piece(UPLOAD, 0, b"later").await.is(202);
    claim.end(UPLOAD, &end_of(b"later")).await.is(201);
    assert_eq!(claim.download().await.is(200).body, b"later"[..]);
    assert_eq!(farm.stored_blobs(), 1);
}

async fn end_that_is_sent_again_has_the_same_answer(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.piece(UPLOAD, 0, b"content").await.is(202);
    let end = end_of(b"content");
    let (first, second) = tokio::join!(claim.end(UPLOAD, &end), claim.end(UPLOAD, &end));
    // Two at once may disturb each other, but then one is sent again.
    assert!(
        first.status == 201 || second.status == 201,
        "{first:?} {second:?}"
    );
    claim.end(UPLOAD, &end).await.is(201);
    claim.end(UPLOAD, &end_of(b"another")).await.is(422);
    assert_eq!(claim.download().await.is(200).body, b"content"[..]);
    assert_eq!(farm.stored_blobs(), 1);
    let held = claim.offset(UPLOAD).await.is(200);
    assert_eq!(held.header("range"), Some("0-7"));
}

async fn end_before_the_last_piece_is_answered_with_the_offset(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.piece(UPLOAD, 0, b"con").await.is(202);
    let early = claim.end(UPLOAD, &end_of(b"content")).await.is(416);
    assert_eq!(early.header("range"), Some("0-3"));
    assert_no_artifact(&claim).await;
    claim.piece(UPLOAD, 3, b"tent").await.is(202);
    claim.end(UPLOAD, &end_of(b"content")).await.is(201);
}

async fn piece_that_breaks_off_is_not_stored(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.piece(UPLOAD, 0, b"con").await.is(202);
    let mut connection = Connection::to(&claim.runner.api).await;
    let head = format!(
        "PATCH /ci/api/v1/builds/{}/uploads/{UPLOAD} HTTP/1.1\r\nHost: farm.test\r\nBUILD-TOKEN: {}\r\n\
         Content-Range: 3-1003\r\nContent-Length: 1000\r\n\r\nonly a part",
        claim.id, claim.token
    );
    connection.send(&head).await;
    connection.close_and_read_rest().await;
    // A body that has another length than its range is not stored either.
    for range in ["3-4", "3-1000"] {
        claim.piece_of(UPLOAD, range, b"tent").await.is(400);
    }
    let held = claim.offset(UPLOAD).await.is(200);
    assert_eq!(held.header("range"), Some("0-3"));
    claim.piece(UPLOAD, 3, b"tent").await.is(202);
    claim.end(UPLOAD, &end_of(b"content")).await.is(201);
    assert_eq!(claim.download().await.is(200).body, b"content"[..]);
}

async fn empty_file_is_published(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.end(UPLOAD, &end_of(b"")).await.is(201);
    assert_eq!(claim.download().await.is(200).body, b""[..]);
}

async fn pieces_count_against_the_limits(backend: Backend) {
    let farm = TestFarm::start_with(backend, |config| {
        config.limits.max_artifact_bytes = 700;
        config.limits.max_project_bytes = 1000;
    })
    .await;
    let claim = Claim::of_new_build(&farm).await;
    claim.piece(UPLOAD, 0, &[b'x'; 500]).await.is(202);
    // The limit of a file is exclusive, as for other uploads.
    claim.piece(UPLOAD, 500, &[b'x'; 200]).await.is(413);
    claim.piece(UPLOAD, 500, &[b'x'; 199]).await.is(202);
    let other = "5f9d3c1e-0a70-4b1e-8a35-6f7a30b4f002";
    let full = claim.piece(other, 0, &[b'x'; 400]).await.is(413);
    let text = String::from_utf8_lossy(&full.body).into_owned();
    assert!(
        text.contains("files of this project have reached their limit"),
        "{text}"
    );
    // What is stored already becomes an artifact without more space.
    claim.end(UPLOAD, &end_of(&[b'x'; 699])).await.is(201);
    claim.piece(other, 0, &[b'x'; 301]).await.is(202);
    claim.piece(other, 301, b"x").await.is(413);
    // An ordinary upload counts the pieces as well.
    claim
        .upload("artifact_type=junit&artifact_format=gzip", "a.gz", b"x")
        .await
        .is(413);
}

async fn pieces_of_a_job_that_has_ended_are_deleted(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.piece(UPLOAD, 0, b"never finished").await.is(202);
    farm.farm().expire_artifact_uploads().await.unwrap();
    assert_eq!(farm.stored_blobs(), 1);
    claim.succeed().await;
    claim.piece(UPLOAD, 14, b"late").await.is(403);
    claim.end(UPLOAD, &end_of(b"never finished")).await.is(403);
    farm.farm().expire_artifact_uploads().await.unwrap();
    assert_eq!(farm.stored_blobs(), 0);
}

async fn pieces_without_progress_are_deleted_after_a_day(backend: Backend) {
    let farm = TestFarm::start_with(backend, |config| {
        config.limits.stock_lease_s = Duration::from_secs(7 * 24 * 3600);
    })
    .await;
    let claim = Claim::of_new_build(&farm).await;
    claim.piece(UPLOAD, 0, b"begun").await.is(202);
    farm.advance(24 * 3600 - 60);
    farm.farm().expire_artifact_uploads().await.unwrap();
    assert_eq!(farm.stored_blobs(), 1);
    farm.advance(120);
    farm.farm().expire_artifact_uploads().await.unwrap();
    assert_eq!(farm.stored_blobs(), 0);
    let held = claim.offset(UPLOAD).await.is(200);
    assert_eq!(held.header("range"), Some("0-0"));
}

async fn pieces_are_deleted_with_their_project(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.piece(UPLOAD, 0, b"begun").await.is(202);
    let admin = farm.admin().await;
    let (namespace, name) = ("acme".parse().unwrap(), "api".parse().unwrap());
    let owner = farm
        .farm()
        .project(&admin, &namespace, &name, Role::Owner)
        .await
        .unwrap();
    farm.farm().delete_project(&owner).await.unwrap();
    assert_eq!(farm.stored_blobs(), 0);
}

async fn upload_needs_the_token_of_its_running_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let other = Claim::of_new_build(&farm).await;
    for stranger in [
        claim.with_token("x"),
        claim.with_token(""),
        other.with_id(claim.id),
    ] {
        stranger.offset(UPLOAD).await.is(403);
        stranger.piece(UPLOAD, 0, b"x").await.is(403);
        stranger.end(UPLOAD, &end_of(b"x")).await.is(403);
    }
    // A job that does not exist looks the same.
    let unknown = claim
        .with_id(slipway_domain::JobId(999))
        .offset(UPLOAD)
        .await
        .is(403);
    assert_eq!(
        unknown.body,
        claim.with_token("x").offset(UPLOAD).await.body
    );
    assert_eq!(farm.stored_blobs(), 0);
}

async fn uploads_of_two_jobs_with_one_id_are_separate(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let (one, other) = (
        Claim::of_new_build(&farm).await,
        Claim::of_new_build(&farm).await,
    );
    one.piece(UPLOAD, 0, b"of one").await.is(202);
    let held = other.offset(UPLOAD).await.is(200);
    assert_eq!(held.header("range"), Some("0-0"));
    other.piece(UPLOAD, 0, b"of the other").await.is(202);
    one.end(UPLOAD, &end_of(b"of one")).await.is(201);
    other.end(UPLOAD, &end_of(b"of the other")).await.is(201);
    assert_eq!(one.download().await.body, b"of one"[..]);
    assert_eq!(other.download().await.body, b"of the other"[..]);
}

async fn invalid_uploads_are_refused(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.offset("not-a-uuid").await.is(404);
    for range in ["x", "5", "-1", "7-3", "0-99999999999999999999999"] {
        claim.piece_of(UPLOAD, range, b"x").await.is(400);
    }
    let far = u64::MAX - 1;
    claim
        .piece_of(UPLOAD, &format!("{far}-{}", u64::MAX), b"x")
        .await
        .is(416);
    claim
        .piece_of(UPLOAD, &format!("0-{}", u64::MAX), b"x")
        .await
        .is(413);
    let request = claim
        .request(Method::PATCH, &format!("uploads/{UPLOAD}"))
        .body("x");
    claim.runner.api.send(request).await.is(400);
    for wrong in [
        json!({}),
        json!({"size": 0}),
        json!({"size": 0, "sha256": "x"}),
        json!({"size": -1, "sha256": "0".repeat(64)}),
        json!({"size": 0, "sha256": "0".repeat(64), "expire_in": "soon"}),
        json!({"size": 0, "sha256": "0".repeat(64), "artifact_type": "../x", "artifact_format": "raw"}),
    ] {
        claim.end(UPLOAD, &wrong).await.is(400);
    }
    assert_eq!(farm.stored_blobs(), 0);
}

async fn number_of_uploads_of_a_job_is_limited(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let id = |number: u32| format!("5f9d3c1e-0a70-4b1e-8a35-{number:012}");
    for number in 0..64 {
        claim.piece(&id(number), 0, b"x").await.is(202);
    }
    claim.piece(&id(64), 0, b"x").await.is(400);
    claim.piece(&id(0), 1, b"y").await.is(202);
    assert_eq!(farm.stored_blobs(), 65);
}

mod s3 {
    use super::*;

    #[tokio::test]
    async fn file_in_pieces_is_stored_in_a_bucket() {
        let farm = TestFarm::start_with(Backend::Sqlite, |config| {
            let bucket = std::env::var("SLIPWAY_TEST_S3").expect("SLIPWAY_TEST_S3 names a bucket");
            config.blob_url = Some(bucket.parse().unwrap());
        })
        .await;
        let claim = Claim::of_new_build(&farm).await;
        let file = bytes(9 << 20);
        let (first, rest) = file.split_at(5 << 20);
        claim.piece(UPLOAD, 0, first).await.is(202);
        claim.piece(UPLOAD, 0, first).await.is(416);
        claim.piece(UPLOAD, first.len() as u64, rest).await.is(202);
        claim.end(UPLOAD, &end_of(b"other")).await.is(416);
        claim.end(UPLOAD, &end_of(&file)).await.is(201);
        assert!(claim.download().await.is(200).body == file);
    }
}
