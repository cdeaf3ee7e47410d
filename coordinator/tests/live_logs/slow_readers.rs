//! Readers that are too slow are disconnected and can resume; runners and other readers do not wait for
//! them.
//!
//! See `docs/protocols/harmont.md#slow-readers`.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use slipway_farm::TraceEvent;
use slipway_testkit::{Backend, on_both_back_ends, wait_until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::fixture::Fixture;
use crate::log_stream::{Frame, LIMIT, LogStream, joined_text};

on_both_back_ends!(
    reader_that_falls_behind_gets_a_comment_and_can_resume,
    slow_reader_of_the_native_stream_gets_a_lagged_event,
    reader_that_takes_nothing_for_too_long_is_disconnected,
    reader_of_the_history_is_never_too_slow,
    one_large_append_disconnects_no_reader,
    connection_of_a_client_that_reads_nothing_is_closed,
);

/// How far readers may fall behind: more than one piece of [`large_output`], less than the rest of it.
const MAX_LAG: u64 = 8 << 20;

/// Output that is larger than the network buffers between coordinator and client.
fn large_output() -> Vec<Vec<u8>> {
    let line = "x".repeat(1023) + "\n";
    vec![line.repeat(4 << 10).into_bytes(); 8]
}

async fn reader_that_falls_behind_gets_a_comment_and_can_resume(backend: Backend) {
    let fixture = Fixture::with(backend, |config| {
        config.limits.max_reader_lag_bytes = MAX_LAG
    })
    .await;
    let mut job = fixture.start_job().await;
    let mut slow = fixture.follow(&job).await;
    slow.history().await;
    let mut quick = fixture.follow(&job).await;
    quick.history().await;
    let mut received = 0;
    for piece in large_output() {
        job.append(&piece).await;
        // A reader that keeps up is not disconnected.
        while received < job.written.len() as u64 {
            received = quick.next_chunk().await["seq"].as_u64().unwrap();
        }
    }
    let mut chunks = Vec::new();
    let comment = loop {
        match slow.next_frame().await {
            Some(Frame::Chunk(_, chunk)) => chunks.push(chunk),
            Some(Frame::Comment(comment)) => break comment,
            other => panic!("{other:?}"),
        }
    };
    assert!(comment.contains("too slow"), "{comment}");
    assert_eq!(slow.next_frame().await, None);
    let mut received = joined_text(&chunks, 0);
    assert!(received.len() < job.written.len());

    let from = received.len() as u64;
    let again = fixture.log_request_of(&job).header("Last-Event-ID", from);
    let mut again = LogStream::open(again).await;
    job.succeed().await;
    received.push_str(&joined_text(&again.read_to_end().await, from));
    assert!(received.as_bytes() == job.written);
    quick.expect_done(LIMIT).await;
}

async fn slow_reader_of_the_native_stream_gets_a_lagged_event(backend: Backend) {
    let fixture = Fixture::with(backend, |config| {
        config.limits.max_reader_lag_bytes = MAX_LAG
    })
    .await;
    let mut job = fixture.start_job().await;
    let path = format!("/v1/jobs/{}/trace/stream", job.claim.id);
    let request = fixture.farm.http.get(fixture.farm.url(&path));
    let request = request.bearer_auth(&fixture.farm.admin_token);
    job.append("a").await;
    let mut response = request.send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    for piece in large_output() {
        job.append(&piece).await;
    }
    let mut text = Vec::new();
    while let Some(piece) = response.chunk().await.unwrap() {
        text.extend_from_slice(&piece);
    }
    let text = String::from_utf8(text).unwrap();
    let mut events = text.trim_end().rsplit("\n\n");
    let lagged = events.next().unwrap();
    assert!(lagged.ends_with("event: lagged\ndata: {}"), "{lagged}");
    let last = events.next().unwrap();
    assert_eq!(lagged.lines().next(), last.lines().next());
}

async fn reader_that_takes_nothing_for_too_long_is_disconnected(backend: Backend) {
    let second = Duration::from_secs(1);
    let fixture = Fixture::with(backend, |config| config.limits.slow_reader_s = second).await;
    let mut job = fixture.start_job().await;
    job.append("a").await;
    let mut events = pin!(fixture.farm.farm().follow_trace(job.claim.id, 0));
    let first = events.try_next().await.unwrap();
    assert!(matches!(first, Some(TraceEvent::Piece(_))));
    let began = Instant::now();
    wait_until(LIMIT, "the limit has passed", async || {
        began.elapsed() > second
    })
    .await;
    let next = events.try_next().await.unwrap();
    assert!(matches!(next, Some(TraceEvent::Lagged)), "{next:?}");
    assert!(events.try_next().await.unwrap().is_none());
}

async fn reader_of_the_history_is_never_too_slow(backend: Backend) {
    let fixture = Fixture::with(backend, |config| {
        config.limits.max_reader_lag_bytes = MAX_LAG
    })
    .await;
    let mut job = fixture.start_job().await;
    for piece in large_output() {
        job.append(&piece).await;
    }
    let mut reader = fixture.follow(&job).await;
    let history = reader.history().await;
    assert!(joined_text(&history, 0).as_bytes() == job.written);
    job.append("on").await;
    assert_eq!(reader.next_chunk().await["content"], "on");
}

async fn one_large_append_disconnects_no_reader(backend: Backend) {
    let small = |config: &mut slipway_coordinator::Config| {
        config.limits.max_reader_lag_bytes = 1 << 20;
    };
    let fixture = Fixture::with(backend, small).await;
    let mut job = fixture.start_job().await;
    let mut reader = fixture.follow(&job).await;
    reader.history().await;
    // A single append exceeds the lag limit while the reader is waiting for output.
    job.append(&large_output().concat()[..4 << 20]).await;
    let mut chunks = Vec::new();
    while chunks
        .last()
        .is_none_or(|chunk: &serde_json::Value| chunk["seq"] != 4 << 20)
    {
        chunks.push(reader.next_chunk().await);
    }
    assert!(joined_text(&chunks, 0).as_bytes() == job.written);
}

async fn connection_of_a_client_that_reads_nothing_is_closed(backend: Backend) {
    let second = Duration::from_secs(1);
    let fixture = Fixture::with(backend, |config| config.limits.slow_reader_s = second).await;
    let mut job = fixture.start_job().await;
    for piece in large_output() {
        job.append(&piece).await;
    }
    let request = fixture.log_request_of(&job).build().unwrap();
    let address = (
        request.url().host_str().unwrap(),
        request.url().port().unwrap(),
    );
    let mut client = TcpStream::connect(address).await.unwrap();
    let (path, query) = (request.url().path(), request.url().query().unwrap());
    let head = format!("GET {path}?{query} HTTP/1.1\r\nHost: farm\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    // The client reads nothing, so only the kernel's table shows whether the server has closed.
    let (server, client_port) = (
        client.peer_addr().unwrap().port(),
        client.local_addr().unwrap().port(),
    );
    let ends = format!(":{server:04X} 0100007F:{client_port:04X} ");
    let is_open = || {
        std::fs::read_to_string("/proc/net/tcp")
            .unwrap()
            .contains(&ends)
    };
    assert!(is_open());
    wait_until(LIMIT, "the connection is closed", async || !is_open()).await;
}
