//! Checks 79, 81 and 82: no gap, no repetition, and nothing missing at the end; and all who follow
//! a trace follow the same.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::support::{Frame, LIMIT, Reader, Work, Yard, text};

on_both_back_ends!(
    check_79_what_is_sent_twice_at_once_is_told_once,
    check_81_whoever_comes_while_it_is_written_gets_each_byte_once,
    check_82_an_end_that_is_seen_has_its_last_words_stored,
    a_long_trace_is_told_whole_to_those_at_its_beginning_and_at_its_end,
    a_trace_that_is_replaced_goes_on_where_its_readers_are,
    a_token_in_it_is_shown_to_nobody_who_follows,
    all_dialects_follow_the_same,
);

async fn check_79_what_is_sent_twice_at_once_is_told_once(backend: Backend) {
    let yard = Yard::new(backend).await;
    let work = yard.work().await;
    let mut reader = yard.follow(&work).await;
    reader.history().await;
    let one = work.claim.patch("0-2", "one");
    let two = work.claim.patch("0-2", "two");
    let (one, two) = tokio::join!(one, two);
    let first = if one.status == 202 { "one" } else { "two" };
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 416]);
    work.claim.patch("3-3", "!").await.is(202);
    work.succeed().await;
    let mut told = String::new();
    while let Some(Frame::Chunk(_, chunk)) = reader.next().await {
        told.push_str(chunk["content"].as_str().unwrap());
    }
    assert_eq!(told, format!("{first}!"));
}

/// Follows a job, and begins again after so many chunks, from where it was.
async fn restless(yard: &Yard, work: &Work, stay: usize) -> String {
    let mut told = String::new();
    loop {
        let from = told.len() as u64;
        let request = yard.ask_for(work).header("Last-Event-ID", from);
        let mut reader = Reader::of(request).await;
        let mut chunks = reader.history().await;
        let mut is_done = false;
        for _ in 0..stay {
            match reader.next().await {
                Some(Frame::Chunk(_, chunk)) => chunks.push(chunk),
                Some(Frame::Done) => {
                    is_done = true;
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        told.push_str(&text(&chunks, from));
        if is_done {
            return told;
        }
    }
}

async fn check_81_whoever_comes_while_it_is_written_gets_each_byte_once(backend: Backend) {
    let yard = Yard::new(backend).await;
    let mut work = yard.work().await;
    let copy = work.copy();
    let readers = [1, 2, 5, 40, 400, 2000].map(|stay| restless(&yard, &copy, stay));
    let writer = async {
        for number in 0..1000 {
            work.say(format!("{number}é\n")).await;
        }
        work.succeed().await;
    };
    let (told, ()) = tokio::join!(join_all(readers), writer);
    for told in told {
        assert!(told.as_bytes() == work.said);
    }
}

async fn check_82_an_end_that_is_seen_has_its_last_words_stored(backend: Backend) {
    let yard = Yard::new(backend).await;
    for round in 0..5 {
        let mut work = yard.work().await;
        let path = format!("/v1/jobs/{}", work.claim.id);
        let copy = work.copy();
        let watcher = async {
            loop {
                let job = yard.native(Method::GET, &path).await.is(200).json();
                if job["state"] == "succeeded" {
                    break;
                }
            }
            let chunks = yard.follow(&copy).await.rest().await;
            text(&chunks, 0)
        };
        let writer = async {
            for number in 0..20 {
                work.say(format!("{round} {number}\n")).await;
            }
            work.succeed().await;
        };
        let (told, ()) = tokio::join!(watcher, writer);
        assert_eq!(told.as_bytes(), work.said);
    }
}

async fn a_long_trace_is_told_whole_to_those_at_its_beginning_and_at_its_end(backend: Backend) {
    let yard = Yard::new(backend).await;
    let mut work = yard.work().await;
    // More than is kept for those who follow, cut within characters.
    let line = "0123456789 € abcdefghijklmnopqrstuvwxyz 𝄞\n";
    let long = line.repeat(150_000);
    let mut pieces = long.as_bytes().chunks(700_001);
    work.say(pieces.next().unwrap()).await;
    let copy = work.copy();
    let early = async { text(&yard.follow(&copy).await.rest().await, 0) };
    let writer = async {
        for piece in pieces {
            work.say(piece).await;
        }
        let late = yard.follow(&work).await;
        let middle = yard.ask_for(&work).header("Last-Event-ID", 3 << 20);
        let middle = Reader::of(middle).await;
        work.succeed().await;
        (late, middle)
    };
    let (early, (mut late, mut middle)) = tokio::join!(early, writer);
    assert!(early == long);
    assert!(text(&late.rest().await, 0) == long);
    let told: String = middle
        .rest()
        .await
        .iter()
        .map(|c| c["content"].as_str().unwrap().to_owned())
        .collect();
    let rest = String::from_utf8_lossy(&long.as_bytes()[3 << 20..]).into_owned();
    assert!(told == rest);
}

async fn a_trace_that_is_replaced_goes_on_where_its_readers_are(backend: Backend) {
    let yard = Yard::new(backend).await;
    let mut work = yard.work().await;
    work.say("one\ntwo\n").await;
    let mut reader = yard.follow(&work).await;
    assert_eq!(text(&reader.history().await, 0), "one\ntwo\n");
    // The last report of a stock runner holds the whole trace.
    let whole = "one\nTWO\nthree\n";
    let body = json!({"state": "running", "trace": whole});
    work.claim.put(body).await.is(200);
    assert_eq!(reader.chunk().await["content"], "three\n");
    work.claim
        .put(json!({"state": "success", "trace": whole}))
        .await
        .is(200);
    reader.done(LIMIT).await;
    assert_eq!(text(&yard.follow(&work).await.rest().await, 0), whole);
}

async fn a_token_in_it_is_shown_to_nobody_who_follows(backend: Backend) {
    let yard = Yard::new(backend).await;
    let mut work = yard.work().await;
    let mut reader = yard.follow(&work).await;
    reader.history().await;
    let token = work.claim.token.clone();
    let clear = format!("a {} b\n", "x".repeat(token.len()));
    for part in format!("a {token} b\n").as_bytes().chunks(2) {
        work.say(part).await;
    }
    work.succeed().await;
    let mut told = String::new();
    while let Some(Frame::Chunk(_, chunk)) = reader.next().await {
        told.push_str(chunk["content"].as_str().unwrap());
    }
    assert_eq!(told, clear);
    assert_eq!(text(&yard.follow(&work).await.rest().await, 0), clear);
}

async fn all_dialects_follow_the_same(backend: Backend) {
    let yard = Yard::new(backend).await;
    let mut work = yard.work().await;
    let get = |path: String| {
        let request = yard.farm.http.get(yard.farm.url(&path));
        request.bearer_auth(&yard.farm.admin_token)
    };
    let native = get(format!("/v1/jobs/{}/trace/stream", work.claim.id));
    let conveyor = get(format!("/logs/{}", work.build.uuid));
    let copy = work.copy();
    let writer = async {
        for number in 0..100 {
            work.say(format!("line {number} ü\n")).await;
        }
        work.succeed().await;
    };
    let (native, conveyor, ours, ()) = tokio::join!(
        Yard::send(native),
        Yard::send(conveyor),
        async { yard.follow(&copy).await.rest().await },
        writer
    );
    assert!(conveyor.is(200).body == work.said);
    assert!(text(&ours, 0).as_bytes() == work.said);
    let native = native.is(200);
    let events = std::str::from_utf8(&native.body).unwrap().split("\n\n");
    let chunks = events.filter(|event| event.contains("event: chunk"));
    let told = chunks.map(|event| {
        let data = event.lines().find_map(|line| line.strip_prefix("data: "));
        let data: Value = serde_json::from_str(data.unwrap()).unwrap();
        STANDARD.decode(data["base64"].as_str().unwrap()).unwrap()
    });
    let told: Vec<Vec<u8>> = told.collect();
    assert!(told.concat() == work.said);
}
