//! The frames of a stream: history, chunks, comments and the end.
//!
//! See `docs/protocols/harmont.md#frames`.

use std::time::Duration;

use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{Fixture, SECOND};
use crate::log_stream::{Frame, LIMIT, LogStream, joined_text, seqs};

on_both_back_ends!(
    other_credentials_are_ignored,
    history_comes_first_and_then_new_chunks,
    job_without_output_has_an_empty_history,
    silence_is_broken_by_comments,
    invalid_utf8_is_replaced_in_the_stream_only,
    characters_are_never_split_between_chunks,
    cors_header_is_sent_only_to_configured_origins,
    stream_of_a_deleted_job_ends_with_done,
);

async fn other_credentials_are_ignored(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let job = fixture.start_job().await;
    let request = fixture.log_request_of(&job).bearer_auth("invalid");
    let request = request.header("PRIVATE-TOKEN", "invalid");
    assert!(LogStream::open(request).await.history().await.is_empty());
}

async fn history_comes_first_and_then_new_chunks(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut job = fixture.start_job().await;
    for text in ["a", "b", "c"] {
        job.append(text).await;
    }
    let mut reader = fixture.follow(&job).await;
    let history = reader.history().await;
    assert_eq!(seqs(&history), [1, 2, 3]);
    assert_eq!(joined_text(&history, 0), "abc");
    assert_eq!(history[0]["stream_kind"], 0);
    assert!(history[0]["ts"].as_i64().unwrap() > 1 << 53);
    assert!(reader.raw.starts_with(b"event: history\ndata: "));
    job.append("d").await;
    let chunk = reader.next_chunk().await;
    assert_eq!((&chunk["seq"], &chunk["content"]), (&4.into(), &"d".into()));
    assert!(chunk["ts"].as_i64().unwrap() >= history[2]["ts"].as_i64().unwrap());
    assert!(
        String::from_utf8(reader.raw)
            .unwrap()
            .contains("id: 4\nevent: chunk\ndata: {\"seq\":4,")
    );
}

async fn job_without_output_has_an_empty_history(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut job = fixture.start_job().await;
    let mut reader = fixture.follow(&job).await;
    assert!(reader.history().await.is_empty());
    assert_eq!(reader.raw, b"event: history\ndata: {\"chunks\":[]}\n\n");
    job.append("first\n").await;
    assert_eq!(reader.next_chunk().await["content"], "first\n");
}

async fn silence_is_broken_by_comments(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut job = fixture.start_job().await;
    let mut reader = fixture.follow(&job).await;
    reader.history().await;
    let comment = reader.next_frame_within(Duration::from_secs(18)).await;
    assert_eq!(comment, Some(Frame::Comment(String::new())));
    assert!(reader.raw.ends_with(b"\n\n:\n\n"));
    job.append("a").await;
    assert_eq!(reader.next_chunk().await["seq"], 1);
}

async fn invalid_utf8_is_replaced_in_the_stream_only(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut job = fixture.start_job().await;
    let mut reader = fixture.follow(&job).await;
    reader.history().await;
    job.append(b"\xff\xfe\n").await;
    let chunk = reader.next_chunk().await;
    assert_eq!(chunk["content"], "\u{fffd}\u{fffd}\n");
    assert_eq!(chunk["seq"], 3);
    job.append("on").await;
    assert_eq!(reader.next_chunk().await["content"], "on");
    let history = fixture.follow(&job).await.history().await;
    assert_eq!(history[0]["content"], "\u{fffd}\u{fffd}\n");
    assert_eq!(fixture.farm.trace(job.claim.id).await, b"\xff\xfe\non");
}

async fn characters_are_never_split_between_chunks(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut job = fixture.start_job().await;
    let mut reader = fixture.follow(&job).await;
    reader.history().await;
    let words = "größer 𝄞 €\n";
    for byte in words.as_bytes() {
        job.append([*byte]).await;
    }
    // An incomplete character at the end is sent once the job is finished and nothing can follow.
    job.append(b"\xe2\x82").await;
    job.succeed().await;
    let mut chunks = Vec::new();
    while let Some(Frame::Chunk(_, chunk)) = reader.next_frame_within(LIMIT).await {
        chunks.push(chunk);
    }
    let last = chunks.pop().unwrap();
    assert_eq!(last["content"], "\u{fffd}");
    assert_eq!(joined_text(&chunks, 0), words);
    let mut late = fixture.follow(&job).await;
    let history = late.history().await;
    let (last, before) = history.split_last().unwrap();
    assert_eq!(joined_text(before, 0), words);
    assert_eq!(last["seq"], words.len() + 2);
}

async fn cors_header_is_sent_only_to_configured_origins(backend: Backend) {
    let fixture = Fixture::with(backend, |config| {
        config.harmont.log_origins = vec!["https://board.example".to_owned()];
    })
    .await;
    let job = fixture.start_job().await;
    job.succeed().await;
    for (origin, echoed) in [
        ("https://board.example", Some("https://board.example")),
        ("https://other.example", None),
    ] {
        let response = Fixture::send(fixture.log_request_of(&job).header("Origin", origin)).await;
        assert_eq!(response.header("access-control-allow-origin"), echoed);
    }
}

async fn stream_of_a_deleted_job_ends_with_done(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let job = fixture.start_job().await;
    let mut reader = fixture.follow(&job).await;
    reader.history().await;
    fixture
        .native_api(reqwest::Method::DELETE, "/v1/projects/acme/web")
        .await
        .is(204);
    // A deletion is not broadcast: the stream notices it when it polls the database.
    reader.expect_done(LIMIT).await;
}

/// Tests that measure delays. They run alone: see `.config/nextest.toml`.
mod timing {
    use super::*;

    on_both_back_ends!(
        done_follows_the_end_of_the_job_within_a_second,
        job_that_never_started_has_an_empty_history_and_done,
    );

    async fn done_follows_the_end_of_the_job_within_a_second(backend: Backend) {
        let fixture = Fixture::new(backend).await;
        let mut job = fixture.start_job().await;
        let mut reader = fixture.follow(&job).await;
        reader.history().await;
        job.append("last words").await;
        assert_eq!(reader.next_chunk().await["content"], "last words");
        job.succeed().await;
        reader.expect_done(SECOND).await;
        assert!(reader.raw.ends_with(b"event: done\ndata: {}\n\n"));

        let mut late = fixture.follow(&job).await;
        let history = late.history().await;
        assert_eq!(joined_text(&history, 0), "last words");
        late.expect_done(SECOND).await;
    }

    async fn job_that_never_started_has_an_empty_history_and_done(backend: Backend) {
        let fixture = Fixture::new(backend).await;
        let build = fixture.farm.build(&fixture.project).await;
        let job = fixture.farm.jobs(&build).await.remove(0).id;
        let token = fixture.create_token(&build).await;
        let name = slipway_domain::JobUuid::of(build.uuid, job);
        let mut reader = LogStream::open(fixture.log_request(name, &token)).await;
        assert!(reader.history().await.is_empty());
        fixture.farm.cancel(job).await;
        reader.expect_done(SECOND).await;
    }
}
