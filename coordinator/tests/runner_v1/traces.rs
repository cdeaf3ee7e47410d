//! Checks 36 to 45 and 60: traces, piece by piece.

use reqwest::Method;
use slipway_domain::JobId;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{ApiResponse, Claim};

on_both_back_ends!(
    check_36_the_first_piece_is_accepted_with_the_length_held,
    check_37_the_next_piece_goes_on_from_there,
    check_38_a_piece_beyond_the_end_is_refused_with_the_length_held,
    check_39_a_piece_that_overlaps_is_refused_whole,
    check_40_an_empty_piece_is_a_sign_of_life,
    check_41_a_piece_without_a_range_is_a_bad_request,
    check_42_a_piece_needs_the_jobs_own_token,
    check_43_lengths_are_counted_in_bytes,
    check_44_a_canceled_job_tells_its_runner_on_the_next_piece,
    check_45_an_erased_job_takes_no_piece,
    check_60_a_piece_that_is_repeated_after_a_lost_answer_goes_on_at_the_true_length,
);

/// A job whose trace is `hello world`.
async fn with_eleven_bytes(farm: &TestFarm) -> Claim {
    let claim = Claim::of_new_build(farm).await;
    claim.patch("0-5", "hello").await.is(202);
    claim.patch("5-11", " world").await.is(202);
    claim
}

#[track_caller]
fn accepted(answer: ApiResponse, status: &str, range: &str) {
    let answer = answer.is(202);
    assert_eq!(answer.header("Build-Status"), Some(status));
    assert_eq!(answer.header("Range"), Some(range));
}

#[track_caller]
fn refused(answer: ApiResponse, range: &str) {
    let answer = answer.is_text_error(416, "416 Range Not Satisfiable");
    assert_eq!(answer.header("Range"), Some(range));
}

async fn check_36_the_first_piece_is_accepted_with_the_length_held(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    accepted(claim.patch("0-5", "hello").await, "running", "0-5");
    assert_eq!(farm.trace(claim.id).await, b"hello");
}

async fn check_37_the_next_piece_goes_on_from_there(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.patch("0-5", "hello").await.is(202);
    accepted(claim.patch("5-11", " world").await, "running", "0-11");
    assert_eq!(farm.trace(claim.id).await, b"hello world");
}

async fn check_38_a_piece_beyond_the_end_is_refused_with_the_length_held(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = with_eleven_bytes(&farm).await;
    refused(claim.patch("15-20", "again").await, "0-11");
    assert_eq!(farm.trace(claim.id).await, b"hello world");
    // A trace that is empty has a length too.
    let fresh = Claim::of_new_build(&farm).await;
    refused(fresh.patch("5-10", "again").await, "0-0");
}

async fn check_39_a_piece_that_overlaps_is_refused_whole(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = with_eleven_bytes(&farm).await;
    refused(claim.patch("8-20", "rld and more").await, "0-11");
    assert_eq!(farm.trace(claim.id).await, b"hello world");
}

async fn check_40_an_empty_piece_is_a_sign_of_life(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = with_eleven_bytes(&farm).await;
    // Two leases pass, but never a whole one in silence.
    for _ in 0..3 {
        farm.advance(60);
        accepted(claim.patch("11-11", "").await, "running", "0-11");
        farm.expire_leases().await;
    }
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
    refused(claim.patch("10-10", "").await, "0-11");
    assert_eq!(farm.trace(claim.id).await, b"hello world");
}

async fn check_41_a_piece_without_a_range_is_a_bad_request(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let request = claim.request(Method::PATCH, "trace.txt").body("hello");
    let answer = claim.runner.api.send(request).await;
    answer.is_text_error(400, "400 Missing header Content-Range");
    assert_eq!(farm.trace(claim.id).await, b"");
}

async fn check_42_a_piece_needs_the_jobs_own_token(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let other = Claim::of_new_build(&farm).await;
    let runner_token = claim.runner.token.clone();
    for token in ["nope", "", &other.token, &runner_token] {
        let mut stranger = claim.clone();
        stranger.token = token.to_owned();
        let answer = stranger.patch("0-5", "hello").await;
        answer.is_text_error(403, "403 Forbidden");
    }
    let mut nowhere = claim.clone();
    nowhere.id = JobId(987_654);
    let answer = nowhere.patch("0-5", "hello").await;
    answer.is_text_error(404, "404 Not Found");
    // Who may send is decided before what is sent is looked at.
    let path = format!("/builds/{}/trace.txt", claim.id);
    let answer = claim.runner.api.empty(Method::PATCH, &path).await;
    answer.is_text_error(403, "403 Forbidden");
    assert_eq!(farm.trace(claim.id).await, b"");
    assert_eq!(farm.trace(other.id).await, b"");
}

async fn check_43_lengths_are_counted_in_bytes(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let twice: &[u8] = b"\xc3\xa9\xc3\xa9";
    accepted(claim.patch("0-4", twice).await, "running", "0-4");
    refused(claim.patch("2-6", twice).await, "0-4");
    accepted(claim.patch("4-8", twice).await, "running", "0-8");
    assert_eq!(farm.trace(claim.id).await, [twice, twice].concat());
}

async fn check_44_a_canceled_job_tells_its_runner_on_the_next_piece(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = with_eleven_bytes(&farm).await;
    farm.cancel(claim.id).await;
    accepted(claim.patch("11-12", "!").await, "canceled", "0-12");
    accepted(claim.patch("12-12", "").await, "canceled", "0-12");
    assert_eq!(farm.trace(claim.id).await, b"hello world!");
    assert_eq!(farm.job(claim.id).await.state.name(), "canceled");
}

async fn check_45_an_erased_job_takes_no_piece(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = with_eleven_bytes(&farm).await;
    claim.succeed().await;
    farm.erase(claim.id).await;
    for (range, body) in [("0-5", "hello"), ("11-12", "!"), ("0-0", "")] {
        let answer = claim.patch(range, body).await;
        answer.is_text_error(403, "403 Forbidden  - Build has been erased!");
    }
    assert_eq!(farm.trace(claim.id).await, b"");
}

async fn check_60_a_piece_that_is_repeated_after_a_lost_answer_goes_on_at_the_true_length(
    backend: Backend,
) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.patch("0-5", "hello").await.is(202);
    // The 202 is lost: the client sends the same again, and more that came meanwhile.
    refused(claim.patch("0-11", "hello world").await, "0-5");
    accepted(claim.patch("5-11", " world").await, "running", "0-11");
    assert_eq!(farm.trace(claim.id).await, b"hello world");
}
