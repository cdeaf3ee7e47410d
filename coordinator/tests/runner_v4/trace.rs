//! Trace chunks and their ranges.
//!
//! See `docs/protocols/runner-v4.md#traces`.

use reqwest::Method;
use slipway_domain::JobId;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::Claim;

on_both_back_ends!(
    first_chunk_returns_202_with_the_stored_length,
    next_chunk_is_appended,
    repeated_chunk_returns_416_and_is_not_stored,
    chunk_beyond_the_stored_length_returns_416,
    end_of_the_content_range_is_ignored,
    chunk_without_valid_content_range_is_a_bad_request,
    chunk_with_wrong_token_or_unknown_job_is_forbidden,
    chunk_with_debug_trace_is_accepted,
    character_may_be_split_between_chunks,
    chunk_of_one_mebibyte_is_accepted,
);

async fn first_chunk_returns_202_with_the_stored_length(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let response = claim
        .patch("0-4", "hello")
        .await
        .has_job_status(202, "running");
    assert_eq!(response.header("range"), Some("0-5"));
    assert_eq!(response.header("x-gitlab-trace-update-interval"), Some("3"));
    assert_eq!(farm.trace(claim.id).await, b"hello");
}

/// Claims a job and stores ten bytes of trace.
async fn claim_with_ten_bytes(farm: &TestFarm) -> Claim {
    let claim = Claim::of_new_build(farm).await;
    claim.patch("0-4", "hello").await.is(202);
    let response = claim
        .patch("5-9", "world")
        .await
        .has_job_status(202, "running");
    assert_eq!(response.header("range"), Some("0-10"));
    claim
}

async fn next_chunk_is_appended(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = claim_with_ten_bytes(&farm).await;
    assert_eq!(farm.trace(claim.id).await, b"helloworld");
}

async fn repeated_chunk_returns_416_and_is_not_stored(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = claim_with_ten_bytes(&farm).await;
    for bytes in ["world", "WORLD"] {
        let response = claim.patch("5-9", bytes).await.is(416);
        assert_eq!(response.header("range"), Some("0-10"));
    }
    assert_eq!(farm.trace(claim.id).await, b"helloworld");
}

async fn chunk_beyond_the_stored_length_returns_416(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = claim_with_ten_bytes(&farm).await;
    let response = claim.patch("20-24", "later").await.is(416);
    assert_eq!(response.header("range"), Some("0-10"));
    assert_eq!(farm.trace(claim.id).await, b"helloworld");
}

async fn end_of_the_content_range_is_ignored(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = claim_with_ten_bytes(&farm).await;
    let response = claim.patch("10-15", "again").await.is(202);
    assert_eq!(response.header("range"), Some("0-15"));
    assert_eq!(farm.trace(claim.id).await, b"helloworldagain");
}

async fn chunk_without_valid_content_range_is_a_bad_request(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let request = claim.request(Method::PATCH, "/trace").body("hello");
    claim.runner.api.send(request).await.is(400);
    for range in ["", "x", "5", "-5", "a-b"] {
        claim.patch(range, "hello").await.is(400);
    }
    assert!(farm.trace(claim.id).await.is_empty());
}

async fn chunk_with_wrong_token_or_unknown_job_is_forbidden(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let other = Claim::of_new_build(&farm).await;
    for token in ["nope", "", &claim.runner.token, &other.token] {
        claim
            .with_token(token)
            .patch("0-4", "hello")
            .await
            .fails_as_forbidden();
    }
    let unknown = claim.with_id(JobId(987_654));
    unknown.patch("0-4", "hello").await.fails_as_forbidden();
    let request = claim.runner.api.request(Method::PATCH, "/jobs/x/trace");
    let request = request.header("JOB-TOKEN", &claim.token);
    claim.runner.api.send(request).await.fails_as_forbidden();
    assert!(farm.trace(claim.id).await.is_empty());
}

async fn chunk_with_debug_trace_is_accepted(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let request = claim
        .request(Method::PATCH, "/trace?debug_trace=true")
        .header("Content-Range", "0-4")
        .body("hello");
    claim
        .runner
        .api
        .send(request)
        .await
        .has_job_status(202, "running");
    assert_eq!(farm.trace(claim.id).await, b"hello");
}

async fn character_may_be_split_between_chunks(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let text = "grün\u{1b}[0m".as_bytes();
    claim.patch("0-2", text[..3].to_vec()).await.is(202);
    claim.patch("3-8", text[3..].to_vec()).await.is(202);
    assert_eq!(farm.trace(claim.id).await, text);
}

async fn chunk_of_one_mebibyte_is_accepted(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let text = "0123456789abcde\n".repeat(1 << 16);
    let response = claim.patch("0-1048575", text.clone()).await.is(202);
    assert_eq!(response.header("range"), Some("0-1048576"));
    assert!(farm.trace(claim.id).await == text.as_bytes());
}
