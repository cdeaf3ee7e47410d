//! Checks 25 to 34: traces by ranges.

use reqwest::Method;
use slipway_domain::JobId;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::Claim;

on_both_back_ends!(
    check_25_a_first_piece_is_stored,
    check_26_a_second_piece_follows,
    check_27_a_piece_that_is_there_is_not_stored_again,
    check_28_a_piece_that_leaves_a_gap_is_not_stored,
    check_29_the_end_of_a_range_is_not_looked_at,
    check_30_a_piece_says_where_it_belongs,
    check_31_a_wrong_token_and_an_unknown_job_are_forbidden,
    check_32_a_trace_of_a_debugged_job_is_taken,
    check_33_a_character_may_come_in_two_pieces,
    check_34_a_mebibyte_is_taken,
    a_trace_that_is_too_long_is_cut_without_a_word,
);

async fn check_25_a_first_piece_is_stored(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let answer = claim
        .patch("0-4", "hello")
        .await
        .is_with_job_status(202, "running");
    assert_eq!(answer.header("range"), Some("0-5"));
    assert_eq!(answer.header("x-gitlab-trace-update-interval"), Some("3"));
    assert_eq!(farm.trace(claim.id).await, b"hello");
}

/// A job with ten bytes of trace.
async fn with_ten(farm: &TestFarm) -> Claim {
    let claim = Claim::of_new_build(farm).await;
    claim.patch("0-4", "hello").await.is(202);
    let answer = claim
        .patch("5-9", "world")
        .await
        .is_with_job_status(202, "running");
    assert_eq!(answer.header("range"), Some("0-10"));
    claim
}

async fn check_26_a_second_piece_follows(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = with_ten(&farm).await;
    assert_eq!(farm.trace(claim.id).await, b"helloworld");
}

async fn check_27_a_piece_that_is_there_is_not_stored_again(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = with_ten(&farm).await;
    for bytes in ["world", "WORLD"] {
        let answer = claim.patch("5-9", bytes).await.is(416);
        assert_eq!(answer.header("range"), Some("0-10"));
    }
    assert_eq!(farm.trace(claim.id).await, b"helloworld");
}

async fn check_28_a_piece_that_leaves_a_gap_is_not_stored(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = with_ten(&farm).await;
    let answer = claim.patch("20-24", "later").await.is(416);
    assert_eq!(answer.header("range"), Some("0-10"));
    assert_eq!(farm.trace(claim.id).await, b"helloworld");
}

async fn check_29_the_end_of_a_range_is_not_looked_at(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = with_ten(&farm).await;
    let answer = claim.patch("10-15", "again").await.is(202);
    assert_eq!(answer.header("range"), Some("0-15"));
    assert_eq!(farm.trace(claim.id).await, b"helloworldagain");
}

async fn check_30_a_piece_says_where_it_belongs(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let request = claim.request(Method::PATCH, "/trace").body("hello");
    claim.runner.api.send(request).await.is(400);
    for range in ["", "x", "5", "-5", "a-b"] {
        claim.patch(range, "hello").await.is(400);
    }
    assert!(farm.trace(claim.id).await.is_empty());
}

async fn check_31_a_wrong_token_and_an_unknown_job_are_forbidden(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let other = Claim::of_new_build(&farm).await;
    for token in ["nope", "", &claim.runner.token, &other.token] {
        claim
            .with_token(token)
            .patch("0-4", "hello")
            .await
            .is_forbidden();
    }
    let mut unknown = claim.clone();
    unknown.id = JobId(987_654);
    unknown.patch("0-4", "hello").await.is_forbidden();
    let request = claim.runner.api.request(Method::PATCH, "/jobs/x/trace");
    let request = request.header("JOB-TOKEN", &claim.token);
    claim.runner.api.send(request).await.is_forbidden();
    assert!(farm.trace(claim.id).await.is_empty());
}

async fn check_32_a_trace_of_a_debugged_job_is_taken(backend: Backend) {
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
        .is_with_job_status(202, "running");
    assert_eq!(farm.trace(claim.id).await, b"hello");
}

async fn check_33_a_character_may_come_in_two_pieces(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let text = "grün\u{1b}[0m".as_bytes();
    claim.patch("0-2", text[..3].to_vec()).await.is(202);
    claim.patch("3-8", text[3..].to_vec()).await.is(202);
    assert_eq!(farm.trace(claim.id).await, text);
}

async fn check_34_a_mebibyte_is_taken(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let text = "0123456789abcde\n".repeat(1 << 16);
    let answer = claim.patch("0-1048575", text.clone()).await.is(202);
    assert_eq!(answer.header("range"), Some("0-1048576"));
    assert!(farm.trace(claim.id).await == text.as_bytes());
}

async fn a_trace_that_is_too_long_is_cut_without_a_word(backend: Backend) {
    let farm = TestFarm::start_with(backend, |config| {
        config.limits.max_trace_bytes = 8;
    })
    .await;
    let claim = Claim::of_new_build(&farm).await;
    claim.patch("0-4", "hello").await.is(202);
    let answer = claim.patch("5-9", "world").await.is(202);
    assert_eq!(answer.header("range"), Some("0-10"));
    claim.patch("10-14", "again").await.is(202);
    assert_eq!(farm.trace(claim.id).await, b"hellowor");
    // What never was sent is still missed.
    claim.patch("3-4", "lo").await.is(416);
}
