//! Complete logs: every reader receives each byte once, in every API.
//!
//! See `docs/protocols/harmont.md#delivery`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends, wait_until};

use crate::client::ApiResponse;
use crate::fixture::{Fixture, RunningJob};
use crate::log_stream::{Frame, LIMIT, LogStream, joined_text};

on_both_back_ends!(
    chunk_sent_twice_at_once_is_delivered_once,
    reconnecting_readers_receive_each_byte_once,
    finished_job_has_its_complete_log_in_a_new_stream,
    long_log_is_complete_from_every_starting_point,
    replaced_trace_continues_at_the_offset_of_its_readers,
    job_token_in_the_log_is_masked,
    all_apis_stream_the_same_log,
    runners_are_told_while_somebody_follows,
);

async fn runners_are_told_while_somebody_follows(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let job = fixture.start_job().await;
    let followed = |answer: &ApiResponse| answer.header("slipway-trace-followed").is_some();
    assert!(!followed(&job.claim.patch("0-2", "one").await.is(202)));
    let mut reader = fixture.follow(&job).await;
    reader.history().await;
    assert!(followed(&job.claim.patch("3-5", "two").await.is(202)));
    drop(reader);
    wait_until(LIMIT, "the follower is gone", async || {
        !followed(&job.claim.patch("6-6", "").await.is(202))
    })
    .await;
    job.succeed().await;
}

async fn chunk_sent_twice_at_once_is_delivered_once(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let job = fixture.start_job().await;
    let mut reader = fixture.follow(&job).await;
    reader.history().await;
    let one = job.claim.patch("0-2", "one");
    let two = job.claim.patch("0-2", "two");
    let (one, two) = tokio::join!(one, two);
    let first = if one.status == 202 { "one" } else { "two" };
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 416]);
    job.claim.patch("3-3", "!").await.is(202);
    job.succeed().await;
    let mut received = String::new();
    while let Some(Frame::Chunk(_, chunk)) = reader.next_frame().await {
        received.push_str(chunk["content"].as_str().unwrap());
    }
    assert_eq!(received, format!("{first}!"));
}

/// Reads the log of a job, and reconnects after every `chunks_per_connection` chunks where it stopped.
async fn read_with_reconnects(
    fixture: &Fixture,
    job: &RunningJob,
    chunks_per_connection: usize,
) -> String {
    let mut received = String::new();
    loop {
        let from = received.len() as u64;
        let request = fixture.log_request_of(job).header("Last-Event-ID", from);
        let mut reader = LogStream::open(request).await;
        let mut chunks = reader.history().await;
        let mut is_done = false;
        for _ in 0..chunks_per_connection {
            match reader.next_frame().await {
                Some(Frame::Chunk(_, chunk)) => chunks.push(chunk),
                Some(Frame::Done) => {
                    is_done = true;
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        received.push_str(&joined_text(&chunks, from));
        if is_done {
            return received;
        }
    }
}

async fn reconnecting_readers_receive_each_byte_once(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut job = fixture.start_job().await;
    let copy = job.clone();
    let readers = [1, 2, 5, 40, 400, 2000]
        .map(|chunks_per_connection| read_with_reconnects(&fixture, &copy, chunks_per_connection));
    let writer = async {
        for number in 0..1000 {
            job.append(format!("{number}é\n")).await;
        }
        job.succeed().await;
    };
    let (received, ()) = tokio::join!(join_all(readers), writer);
    for received in received {
        assert!(received.as_bytes() == job.written);
    }
}

async fn finished_job_has_its_complete_log_in_a_new_stream(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    for round in 0..5 {
        let mut job = fixture.start_job().await;
        let path = format!("/v1/jobs/{}", job.claim.id);
        let copy = job.clone();
        let watcher = async {
            loop {
                let job = fixture.native_api(Method::GET, &path).await.is(200).json();
                if job["state"] == "succeeded" {
                    break;
                }
            }
            let chunks = fixture.follow(&copy).await.read_to_end().await;
            joined_text(&chunks, 0)
        };
        let writer = async {
            for number in 0..20 {
                job.append(format!("{round} {number}\n")).await;
            }
            job.succeed().await;
        };
        let (received, ()) = tokio::join!(watcher, writer);
        assert_eq!(received.as_bytes(), job.written);
    }
}

async fn long_log_is_complete_from_every_starting_point(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut job = fixture.start_job().await;
    // More than is kept in memory for readers, in pieces that split characters.
    let line = "0123456789 € abcdefghijklmnopqrstuvwxyz 𝄞\n";
    let long = line.repeat(150_000);
    let mut pieces = long.as_bytes().chunks(700_001);
    job.append(pieces.next().unwrap()).await;
    let copy = job.clone();
    let early = async { joined_text(&fixture.follow(&copy).await.read_to_end().await, 0) };
    let writer = async {
        for piece in pieces {
            job.append(piece).await;
        }
        let late = fixture.follow(&job).await;
        let middle = fixture
            .log_request_of(&job)
            .header("Last-Event-ID", 3 << 20);
        let middle = LogStream::open(middle).await;
        job.succeed().await;
        (late, middle)
    };
    let (early, (mut late, mut middle)) = tokio::join!(early, writer);
    assert!(early == long);
    assert!(joined_text(&late.read_to_end().await, 0) == long);
    let received: String = middle
        .read_to_end()
        .await
        .iter()
        .map(|c| c["content"].as_str().unwrap().to_owned())
        .collect();
    let rest = String::from_utf8_lossy(&long.as_bytes()[3 << 20..]).into_owned();
    assert!(received == rest);
}

async fn replaced_trace_continues_at_the_offset_of_its_readers(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut job = fixture.start_job().await;
    job.append("one\ntwo\n").await;
    let mut reader = fixture.follow(&job).await;
    assert_eq!(joined_text(&reader.history().await, 0), "one\ntwo\n");
    // The final update of a stock runner contains the whole trace.
    let whole = "one\nTWO\nthree\n";
    let body = json!({"state": "running", "trace": whole});
    job.claim.put(body).await.is(200);
    assert_eq!(reader.next_chunk().await["content"], "three\n");
    job.claim
        .put(json!({"state": "success", "trace": whole}))
        .await
        .is(200);
    reader.expect_done(LIMIT).await;
    assert_eq!(
        joined_text(&fixture.follow(&job).await.read_to_end().await, 0),
        whole
    );
}

async fn job_token_in_the_log_is_masked(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut job = fixture.start_job().await;
    let mut reader = fixture.follow(&job).await;
    reader.history().await;
    let token = job.claim.token.clone();
    let clear = format!("a {} b\n", "x".repeat(token.len()));
    for part in format!("a {token} b\n").as_bytes().chunks(2) {
        job.append(part).await;
    }
    job.succeed().await;
    let mut received = String::new();
    while let Some(Frame::Chunk(_, chunk)) = reader.next_frame().await {
        received.push_str(chunk["content"].as_str().unwrap());
    }
    assert_eq!(received, clear);
    assert_eq!(
        joined_text(&fixture.follow(&job).await.read_to_end().await, 0),
        clear
    );
}

async fn all_apis_stream_the_same_log(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut job = fixture.start_job().await;
    let get = |path: String| {
        let request = fixture.farm.http.get(fixture.farm.url(&path));
        request.bearer_auth(&fixture.farm.admin_token)
    };
    let native = get(format!("/v1/jobs/{}/trace/stream", job.claim.id));
    let conveyor = get(format!("/logs/{}", job.build.uuid));
    let copy = job.clone();
    let writer = async {
        for number in 0..100 {
            job.append(format!("line {number} ü\n")).await;
        }
        job.succeed().await;
    };
    let (native, conveyor, ours, ()) = tokio::join!(
        Fixture::send(native),
        Fixture::send(conveyor),
        async { fixture.follow(&copy).await.read_to_end().await },
        writer
    );
    assert!(conveyor.is(200).body == job.written);
    assert!(joined_text(&ours, 0).as_bytes() == job.written);
    let native = native.is(200);
    let events = std::str::from_utf8(&native.body).unwrap().split("\n\n");
    let chunks = events.filter(|event| event.contains("event: chunk"));
    let received = chunks.map(|event| {
        let data = event.lines().find_map(|line| line.strip_prefix("data: "));
        let data: Value = serde_json::from_str(data.unwrap()).unwrap();
        STANDARD.decode(data["base64"].as_str().unwrap()).unwrap()
    });
    let received: Vec<Vec<u8>> = received.collect();
    assert!(received.concat() == job.written);
}
