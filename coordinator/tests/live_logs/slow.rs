//! A reader that is too slow is cut off, told so, and goes on where it was; nobody waits for it.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use slipway_farm::TraceEvent;
use slipway_testkit::{Backend, on_both_back_ends, wait_until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Frame, LIMIT, Reader, Yard, text};

on_both_back_ends!(
    a_reader_that_falls_behind_is_told_so_and_goes_on,
    a_client_of_the_native_stream_is_told_so,
    a_reader_that_takes_nothing_for_too_long_is_cut_off,
    a_reader_of_old_words_is_never_behind,
    one_long_append_cuts_off_nobody,
    a_client_that_takes_nothing_at_all_is_hung_up_on,
);

/// More than one piece of the flood, and less than what is left of it.
const LAG: u64 = 8 << 20;

/// More than the buffers between the two ends take.
fn flood() -> Vec<Vec<u8>> {
    let line = "x".repeat(1023) + "\n";
    vec![line.repeat(4 << 10).into_bytes(); 8]
}

async fn a_reader_that_falls_behind_is_told_so_and_goes_on(backend: Backend) {
    let yard = Yard::with(backend, |config| config.limits.max_reader_lag_bytes = LAG).await;
    let mut work = yard.work().await;
    let mut slow = yard.follow(&work).await;
    slow.history().await;
    let mut quick = yard.follow(&work).await;
    quick.history().await;
    let mut heard = 0;
    for piece in flood() {
        work.say(&piece).await;
        // One that keeps up is not cut off.
        while heard < work.said.len() as u64 {
            heard = quick.chunk().await["seq"].as_u64().unwrap();
        }
    }
    let mut chunks = Vec::new();
    let comment = loop {
        match slow.next().await {
            Some(Frame::Chunk(_, chunk)) => chunks.push(chunk),
            Some(Frame::Comment(comment)) => break comment,
            other => panic!("{other:?}"),
        }
    };
    assert!(comment.contains("too slow"), "{comment}");
    assert_eq!(slow.next().await, None);
    let mut told = text(&chunks, 0);
    assert!(told.len() < work.said.len());

    let from = told.len() as u64;
    let again = yard.ask_for(&work).header("Last-Event-ID", from);
    let mut again = Reader::of(again).await;
    work.succeed().await;
    told.push_str(&text(&again.rest().await, from));
    assert!(told.as_bytes() == work.said);
    quick.done(LIMIT).await;
}

async fn a_client_of_the_native_stream_is_told_so(backend: Backend) {
    let yard = Yard::with(backend, |config| config.limits.max_reader_lag_bytes = LAG).await;
    let mut work = yard.work().await;
    let path = format!("/v1/jobs/{}/trace/stream", work.claim.id);
    let request = yard.farm.http.get(yard.farm.url(&path));
    let request = request.bearer_auth(&yard.farm.admin_token);
    work.say("a").await;
    let mut answer = request.send().await.unwrap();
    assert!(answer.chunk().await.unwrap().is_some());
    for piece in flood() {
        work.say(&piece).await;
    }
    let mut text = Vec::new();
    while let Some(piece) = answer.chunk().await.unwrap() {
        text.extend_from_slice(&piece);
    }
    let text = String::from_utf8(text).unwrap();
    let mut events = text.trim_end().rsplit("\n\n");
    let lagged = events.next().unwrap();
    assert!(lagged.ends_with("event: lagged\ndata: {}"), "{lagged}");
    let last = events.next().unwrap();
    assert_eq!(lagged.lines().next(), last.lines().next());
}

async fn a_reader_that_takes_nothing_for_too_long_is_cut_off(backend: Backend) {
    let second = Duration::from_secs(1);
    let yard = Yard::with(backend, |config| config.limits.slow_reader_s = second).await;
    let mut work = yard.work().await;
    work.say("a").await;
    let mut events = pin!(yard.farm.farm().follow_trace(work.claim.id, 0));
    let first = events.try_next().await.unwrap();
    assert!(matches!(first, Some(TraceEvent::Piece(_))));
    let began = Instant::now();
    wait_until(LIMIT, "it is too long", async || began.elapsed() > second).await;
    let next = events.try_next().await.unwrap();
    assert!(matches!(next, Some(TraceEvent::Lagged)), "{next:?}");
    assert!(events.try_next().await.unwrap().is_none());
}

async fn a_reader_of_old_words_is_never_behind(backend: Backend) {
    let yard = Yard::with(backend, |config| config.limits.max_reader_lag_bytes = LAG).await;
    let mut work = yard.work().await;
    for piece in flood() {
        work.say(&piece).await;
    }
    let mut reader = yard.follow(&work).await;
    let history = reader.history().await;
    assert!(text(&history, 0).as_bytes() == work.said);
    work.say("on").await;
    assert_eq!(reader.chunk().await["content"], "on");
}

async fn one_long_append_cuts_off_nobody(backend: Backend) {
    let small = |config: &mut slipway_coordinator::Config| {
        config.limits.max_reader_lag_bytes = 1 << 20;
    };
    let yard = Yard::with(backend, small).await;
    let mut work = yard.work().await;
    let mut reader = yard.follow(&work).await;
    reader.history().await;
    // It waits for more, and what comes is more than it may be behind.
    work.say(&flood().concat()[..4 << 20]).await;
    let mut chunks = Vec::new();
    while chunks
        .last()
        .is_none_or(|chunk: &serde_json::Value| chunk["seq"] != 4 << 20)
    {
        chunks.push(reader.chunk().await);
    }
    assert!(text(&chunks, 0).as_bytes() == work.said);
}

async fn a_client_that_takes_nothing_at_all_is_hung_up_on(backend: Backend) {
    let second = Duration::from_secs(1);
    let yard = Yard::with(backend, |config| config.limits.slow_reader_s = second).await;
    let mut work = yard.work().await;
    for piece in flood() {
        work.say(&piece).await;
    }
    let request = yard.ask_for(&work).build().unwrap();
    let address = (
        request.url().host_str().unwrap(),
        request.url().port().unwrap(),
    );
    let mut client = TcpStream::connect(address).await.unwrap();
    let (path, query) = (request.url().path(), request.url().query().unwrap());
    let head = format!("GET {path}?{query} HTTP/1.1\r\nHost: farm\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    // Nothing is read: what the system knows of the other end is all there is to see.
    let (server, client_port) = (
        client.peer_addr().unwrap().port(),
        client.local_addr().unwrap().port(),
    );
    let ends = format!(":{server:04X} 0100007F:{client_port:04X} ");
    let is_there = || {
        std::fs::read_to_string("/proc/net/tcp")
            .unwrap()
            .contains(&ends)
    };
    assert!(is_there());
    wait_until(LIMIT, "the connection is gone", async || !is_there()).await;
}
