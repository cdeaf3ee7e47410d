//! Streams that start after an earlier one.
//!
//! See `docs/protocols/harmont.md#resume`.

use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::Fixture;
use crate::log_stream::{LogStream, joined_text, seqs};

on_both_back_ends!(
    stream_resumes_after_the_last_event_id,
    zero_and_invalid_last_event_ids_replay_everything,
);

async fn stream_resumes_after_the_last_event_id(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut job = fixture.start_job().await;
    for text in ["a", "b", "c"] {
        job.append(text).await;
    }
    let header = |value: &str| fixture.log_request_of(&job).header("Last-Event-ID", value);
    let query = |value: &str| {
        fixture
            .log_request_of(&job)
            .query(&[("last_event_id", value)])
    };
    let both = query("1").header("Last-Event-ID", "2");
    for request in [header("2"), query("2"), both] {
        assert_eq!(seqs(&LogStream::open(request).await.history().await), [3]);
    }
    // From inside a chunk, from the end, and from beyond the end.
    job.append("defg").await;
    for (from, rest) in [("5", "fg"), ("7", ""), ("9", "")] {
        let mut reader =
            LogStream::open(fixture.log_request_of(&job).header("Last-Event-ID", from)).await;
        let history = reader.history().await;
        assert_eq!(joined_text(&history, from.parse().unwrap()), rest);
    }
}

async fn zero_and_invalid_last_event_ids_replay_everything(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut job = fixture.start_job().await;
    // A chunk is numbered by its last byte, counted from 1. So no chunk has the number 0, and resuming
    // after 0 skips nothing.
    job.append("a").await;
    job.append("b").await;
    for value in ["0", "x", "-1", "1.5"] {
        let request = fixture.log_request_of(&job).header("Last-Event-ID", value);
        assert_eq!(
            seqs(&LogStream::open(request).await.history().await),
            [1, 2]
        );
    }
    let mut reader = fixture.follow(&job).await;
    assert_eq!(seqs(&reader.history().await), [1, 2]);
}
