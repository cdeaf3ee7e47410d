//! Trace chunks and their ranges.
//!
//! See `docs/protocols/runner-v1.md#traces`.

use reqwest::Method;
use slipway_domain::JobId;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{ApiResponse, Claim, RunnerApi};
use crate::cut_trace::{cut, numbered_lines};

on_both_back_ends!(
    first_chunk_returns_202_with_the_stored_length,
    next_chunk_is_appended,
    chunk_beyond_the_stored_length_returns_416_with_that_length,
    overlapping_chunk_returns_416_and_is_not_stored,
    empty_chunk_renews_the_lease,
    chunk_without_content_range_is_a_bad_request,
    chunk_requires_the_job_token,
    stored_length_is_counted_in_bytes,
    chunk_of_an_erased_job_is_forbidden,
    chunk_repeated_after_a_lost_response_returns_416_with_the_stored_length,
    two_simultaneous_first_chunks_are_stored_once,
    unreadable_content_range_is_a_bad_request,
    trace_beyond_the_limit_keeps_its_beginning_and_its_end,
);

/// Claims a job and stores `hello world` as its trace.
async fn claim_with_eleven_bytes(farm: &TestFarm) -> Claim {
    let claim = Claim::of_new_build(farm).await;
    claim.patch("0-5", "hello").await.is(202);
    claim.patch("5-11", " world").await.is(202);
    claim
}

#[track_caller]
fn assert_accepted(response: ApiResponse, status: &str, range: &str) {
    let response = response.is(202);
    assert_eq!(response.header("Build-Status"), Some(status));
    assert_eq!(response.header("Range"), Some(range));
}

#[track_caller]
fn assert_refused(response: ApiResponse, range: &str) {
    let response = response.fails_with_text(416, "416 Range Not Satisfiable");
    assert_eq!(response.header("Range"), Some(range));
}

async fn first_chunk_returns_202_with_the_stored_length(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    assert_accepted(claim.patch("0-5", "hello").await, "running", "0-5");
    assert_eq!(farm.trace(claim.id).await, b"hello");
}

async fn next_chunk_is_appended(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.patch("0-5", "hello").await.is(202);
    assert_accepted(claim.patch("5-11", " world").await, "running", "0-11");
    assert_eq!(farm.trace(claim.id).await, b"hello world");
}

async fn chunk_beyond_the_stored_length_returns_416_with_that_length(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = claim_with_eleven_bytes(&farm).await;
    assert_refused(claim.patch("15-20", "again").await, "0-11");
    assert_eq!(farm.trace(claim.id).await, b"hello world");
    // An empty trace is reported with length 0.
    let fresh = Claim::of_new_build(&farm).await;
    assert_refused(fresh.patch("5-10", "again").await, "0-0");
}

async fn overlapping_chunk_returns_416_and_is_not_stored(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = claim_with_eleven_bytes(&farm).await;
    assert_refused(claim.patch("8-20", "rld and more").await, "0-11");
    assert_eq!(farm.trace(claim.id).await, b"hello world");
}

async fn empty_chunk_renews_the_lease(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = claim_with_eleven_bytes(&farm).await;
    // Two leases pass in total, but the job is never silent for a whole one.
    for _ in 0..3 {
        farm.advance(60);
        assert_accepted(claim.patch("11-11", "").await, "running", "0-11");
        farm.expire_leases().await;
    }
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
    assert_refused(claim.patch("10-10", "").await, "0-11");
    assert_eq!(farm.trace(claim.id).await, b"hello world");
}

async fn chunk_without_content_range_is_a_bad_request(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let request = claim.request(Method::PATCH, "trace.txt").body("hello");
    let response = claim.runner.api.send(request).await;
    response.fails_with_text(400, "400 Missing header Content-Range");
    assert_eq!(farm.trace(claim.id).await, b"");
}

async fn chunk_requires_the_job_token(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let other = Claim::of_new_build(&farm).await;
    let runner_token = claim.runner.token.clone();
    for token in ["nope", "", &other.token, &runner_token] {
        let response = claim.with_token(token).patch("0-5", "hello").await;
        response.fails_with_text(403, "403 Forbidden");
    }
    let unknown = claim.with_id(JobId(987_654));
    let response = unknown.patch("0-5", "hello").await;
    response.fails_with_text(404, "404 Not Found");
    // The token is checked before the range.
    let path = format!("/builds/{}/trace.txt", claim.id);
    let response = claim.runner.api.empty(Method::PATCH, &path).await;
    response.fails_with_text(403, "403 Forbidden");
    assert_eq!(farm.trace(claim.id).await, b"");
    assert_eq!(farm.trace(other.id).await, b"");
}

async fn stored_length_is_counted_in_bytes(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let twice: &[u8] = b"\xc3\xa9\xc3\xa9";
    assert_accepted(claim.patch("0-4", twice).await, "running", "0-4");
    assert_refused(claim.patch("2-6", twice).await, "0-4");
    assert_accepted(claim.patch("4-8", twice).await, "running", "0-8");
    assert_eq!(farm.trace(claim.id).await, [twice, twice].concat());
}

async fn chunk_of_an_erased_job_is_forbidden(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = claim_with_eleven_bytes(&farm).await;
    claim.succeed().await;
    farm.erase(claim.id).await;
    for (range, body) in [("0-5", "hello"), ("11-12", "!"), ("0-0", "")] {
        let response = claim.patch(range, body).await;
        response.fails_with_text(403, "403 Forbidden  - Build has been erased!");
    }
    assert_eq!(farm.trace(claim.id).await, b"");
}

async fn chunk_repeated_after_a_lost_response_returns_416_with_the_stored_length(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.patch("0-5", "hello").await.is(202);
    // The 202 was lost, so the client sends the same bytes again together with newer ones.
    assert_refused(claim.patch("0-11", "hello world").await, "0-5");
    assert_accepted(claim.patch("5-11", " world").await, "running", "0-11");
    assert_eq!(farm.trace(claim.id).await, b"hello world");
}

async fn two_simultaneous_first_chunks_are_stored_once(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for _ in 0..5 {
        let one = Claim::of_new_build(&farm).await;
        let mut two = one.clone();
        two.runner.api = RunnerApi::new(&farm);
        let responses = tokio::join!(one.patch("0-5", "hello"), two.patch("0-5", "HELLO"));
        let (accepted, refused, trace) = match responses.0.status {
            202 => (responses.0, responses.1, b"hello"),
            _ => (responses.1, responses.0, b"HELLO"),
        };
        assert_eq!(accepted.is(202).header("Range"), Some("0-5"));
        assert_eq!(refused.is(416).header("Range"), Some("0-5"));
        assert_eq!(farm.trace(one.id).await, trace);
    }
}

async fn unreadable_content_range_is_a_bad_request(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let message = "400 (Bad request) Content-Range must be START-END, in bytes";
    for range in [
        "",
        "0",
        "-",
        "0-",
        "-5",
        "a-b",
        "0-x",
        "x-5",
        "0,5",
        "bytes=0-5",
        "0-5-9",
        "1.0-5",
        "18446744073709551616-5",
        "0x0-5",
    ] {
        let response = claim.patch(range, "hello").await;
        assert_eq!(response.status, 400, "{range:?}: {response:?}");
        response.fails_with_text(400, message);
    }
    let response = claim.patch("18446744073709551615-5", "hello").await;
    assert_eq!(response.is(416).header("Range"), Some("0-0"));
    let request = claim.request(Method::PATCH, "trace.txt");
    let request = request.header("Content-Range", &b"0-\xff5"[..]);
    let response = claim.runner.api.send(request.body("hello")).await;
    response.fails_with_text(400, message);
    assert_eq!(farm.trace(claim.id).await, b"");
    // The end of the range is ignored; the body length counts.
    claim.patch("0-999999", "hello").await.is(202);
    assert_eq!(farm.trace(claim.id).await, b"hello");
}

async fn trace_beyond_the_limit_keeps_its_beginning_and_its_end(backend: Backend) {
    let farm = TestFarm::start_with(backend, |config| {
        config.limits.max_trace_bytes = 400;
    })
    .await;
    let text = numbered_lines(100);
    let expected = cut(text.as_bytes(), 400);
    // Runners up to 1.2 only send the whole trace, later ones chunks and then the whole trace.
    for (sends_chunks, sends_whole) in [(true, false), (false, true), (true, true)] {
        let claim = Claim::of_new_build(&farm).await;
        if sends_chunks {
            let mut at = 0;
            for bytes in text.as_bytes().chunks(150) {
                let range = format!("{at}-{}", at + bytes.len());
                at += bytes.len();
                let response = claim.patch(&range, bytes.to_vec()).await;
                assert_accepted(response, "running", &format!("0-{at}"));
            }
            assert_eq!(farm.trace(claim.id).await, expected.running);
            assert_refused(claim.patch("400-402", "no").await, &format!("0-{at}"));
        }
        let end = if sends_whole {
            serde_json::json!({"state": "failed", "trace": text})
        } else {
            serde_json::json!({"state": "failed"})
        };
        claim.put(end).await.is(200);
        let trace = farm.trace(claim.id).await;
        assert_eq!(
            String::from_utf8_lossy(&trace),
            String::from_utf8_lossy(&expected.ended)
        );
    }
}
