//! Checks 72 to 78 and 80: what a stream says, where it goes on, and how it ends.

use std::time::Duration;

use slipway_testkit::{Backend, on_both_back_ends};

use crate::support::{Frame, LIMIT, Reader, SECOND, Yard, seqs, text};

on_both_back_ends!(
    check_72_other_credentials_are_passed_over,
    check_73_history_comes_first_and_then_what_is_new,
    check_74_a_stream_goes_on_after_any_number,
    check_75_nought_and_nonsense_replay_everything,
    check_76_a_job_without_output_has_an_empty_history,
    check_77_the_end_comes_with_the_job_and_is_the_last,
    check_77_a_job_that_never_began_has_an_empty_history_and_an_end,
    check_78_silence_is_broken_by_comments,
    check_80_bytes_that_are_no_text_are_replaced,
    a_character_comes_whole_however_it_was_sent,
    pages_of_the_list_may_follow,
    the_stream_of_a_job_that_is_removed_ends,
);

async fn check_72_other_credentials_are_passed_over(backend: Backend) {
    let yard = Yard::new(backend).await;
    let work = yard.work().await;
    let request = yard.ask_for(&work).bearer_auth("nobody's");
    let request = request.header("PRIVATE-TOKEN", "nobody's");
    assert!(Reader::of(request).await.history().await.is_empty());
}

async fn check_73_history_comes_first_and_then_what_is_new(backend: Backend) {
    let yard = Yard::new(backend).await;
    let mut work = yard.work().await;
    for text in ["a", "b", "c"] {
        work.say(text).await;
    }
    let mut reader = yard.follow(&work).await;
    let history = reader.history().await;
    assert_eq!(seqs(&history), [1, 2, 3]);
    assert_eq!(text(&history, 0), "abc");
    assert_eq!(history[0]["stream_kind"], 0);
    assert!(history[0]["ts"].as_i64().unwrap() > 1 << 53);
    assert!(reader.raw.starts_with(b"event: history\ndata: "));
    work.say("d").await;
    let chunk = reader.chunk().await;
    assert_eq!((&chunk["seq"], &chunk["content"]), (&4.into(), &"d".into()));
    assert!(chunk["ts"].as_i64().unwrap() >= history[2]["ts"].as_i64().unwrap());
    assert!(
        String::from_utf8(reader.raw)
            .unwrap()
            .contains("id: 4\nevent: chunk\ndata: {\"seq\":4,")
    );
}

async fn check_74_a_stream_goes_on_after_any_number(backend: Backend) {
    let yard = Yard::new(backend).await;
    let mut work = yard.work().await;
    for text in ["a", "b", "c"] {
        work.say(text).await;
    }
    let header = |value: &str| yard.ask_for(&work).header("Last-Event-ID", value);
    let query = |value: &str| yard.ask_for(&work).query(&[("last_event_id", value)]);
    let both = query("1").header("Last-Event-ID", "2");
    for request in [header("2"), query("2"), both] {
        assert_eq!(seqs(&Reader::of(request).await.history().await), [3]);
    }
    // From within a chunk, and from where nothing is yet.
    work.say("defg").await;
    for (from, rest) in [("5", "fg"), ("7", ""), ("9", "")] {
        let mut reader = Reader::of(yard.ask_for(&work).header("Last-Event-ID", from)).await;
        let history = reader.history().await;
        assert_eq!(text(&history, from.parse().unwrap()), rest);
    }
}

async fn check_75_nought_and_nonsense_replay_everything(backend: Backend) {
    let yard = Yard::new(backend).await;
    let mut work = yard.work().await;
    // The number of a chunk is that of the byte after it, so that nothing has the number 0, and 0
    // leaves nothing out.
    work.say("a").await;
    work.say("b").await;
    for value in ["0", "x", "-1", "1.5"] {
        let request = yard.ask_for(&work).header("Last-Event-ID", value);
        assert_eq!(seqs(&Reader::of(request).await.history().await), [1, 2]);
    }
    let mut reader = yard.follow(&work).await;
    assert_eq!(seqs(&reader.history().await), [1, 2]);
}

async fn check_76_a_job_without_output_has_an_empty_history(backend: Backend) {
    let yard = Yard::new(backend).await;
    let mut work = yard.work().await;
    let mut reader = yard.follow(&work).await;
    assert!(reader.history().await.is_empty());
    assert_eq!(reader.raw, b"event: history\ndata: {\"chunks\":[]}\n\n");
    work.say("first\n").await;
    assert_eq!(reader.chunk().await["content"], "first\n");
}

async fn check_77_the_end_comes_with_the_job_and_is_the_last(backend: Backend) {
    let yard = Yard::new(backend).await;
    let mut work = yard.work().await;
    let mut reader = yard.follow(&work).await;
    reader.history().await;
    work.say("last words").await;
    assert_eq!(reader.chunk().await["content"], "last words");
    work.succeed().await;
    reader.done(SECOND).await;
    assert!(reader.raw.ends_with(b"event: done\ndata: {}\n\n"));

    let mut late = yard.follow(&work).await;
    let history = late.history().await;
    assert_eq!(text(&history, 0), "last words");
    late.done(SECOND).await;
}

async fn check_77_a_job_that_never_began_has_an_empty_history_and_an_end(backend: Backend) {
    let yard = Yard::new(backend).await;
    let build = yard.farm.build(&yard.project).await;
    let job = yard.farm.jobs(&build).await.remove(0).id;
    let token = yard.token(&build).await;
    let name = slipway_domain::JobUuid::of(build.uuid, job);
    let mut reader = Reader::of(yard.ask(name, &token)).await;
    assert!(reader.history().await.is_empty());
    yard.farm.cancel(job).await;
    reader.done(SECOND).await;
}

async fn check_78_silence_is_broken_by_comments(backend: Backend) {
    let yard = Yard::new(backend).await;
    let mut work = yard.work().await;
    let mut reader = yard.follow(&work).await;
    reader.history().await;
    let comment = reader.next_within(Duration::from_secs(18)).await;
    assert_eq!(comment, Some(Frame::Comment(String::new())));
    assert!(reader.raw.ends_with(b"\n\n:\n\n"));
    work.say("a").await;
    assert_eq!(reader.chunk().await["seq"], 1);
}

async fn check_80_bytes_that_are_no_text_are_replaced(backend: Backend) {
    let yard = Yard::new(backend).await;
    let mut work = yard.work().await;
    let mut reader = yard.follow(&work).await;
    reader.history().await;
    work.say(b"\xff\xfe\n").await;
    let chunk = reader.chunk().await;
    assert_eq!(chunk["content"], "\u{fffd}\u{fffd}\n");
    assert_eq!(chunk["seq"], 3);
    work.say("on").await;
    assert_eq!(reader.chunk().await["content"], "on");
    let history = yard.follow(&work).await.history().await;
    assert_eq!(history[0]["content"], "\u{fffd}\u{fffd}\n");
    assert_eq!(yard.farm.trace(work.claim.id).await, b"\xff\xfe\non");
}

async fn a_character_comes_whole_however_it_was_sent(backend: Backend) {
    let yard = Yard::new(backend).await;
    let mut work = yard.work().await;
    let mut reader = yard.follow(&work).await;
    reader.history().await;
    let words = "größer 𝄞 €\n";
    for byte in words.as_bytes() {
        work.say([*byte]).await;
    }
    // A part of one at the end of the trace is shown when nothing can come any more.
    work.say(b"\xe2\x82").await;
    work.succeed().await;
    let mut chunks = Vec::new();
    while let Some(Frame::Chunk(_, chunk)) = reader.next_within(LIMIT).await {
        chunks.push(chunk);
    }
    let last = chunks.pop().unwrap();
    assert_eq!(last["content"], "\u{fffd}");
    assert_eq!(text(&chunks, 0), words);
    let mut late = yard.follow(&work).await;
    let history = late.history().await;
    let (last, before) = history.split_last().unwrap();
    assert_eq!(text(before, 0), words);
    assert_eq!(last["seq"], words.len() + 2);
}

async fn pages_of_the_list_may_follow(backend: Backend) {
    let yard = Yard::with(backend, |config| {
        config.harmont.log_origins = vec!["https://board.example".to_owned()];
    })
    .await;
    let work = yard.work().await;
    work.succeed().await;
    for (origin, echoed) in [
        ("https://board.example", Some("https://board.example")),
        ("https://other.example", None),
    ] {
        let answer = Yard::send(yard.ask_for(&work).header("Origin", origin)).await;
        assert_eq!(answer.header("access-control-allow-origin"), echoed);
    }
}

async fn the_stream_of_a_job_that_is_removed_ends(backend: Backend) {
    let yard = Yard::new(backend).await;
    let work = yard.work().await;
    let mut reader = yard.follow(&work).await;
    reader.history().await;
    yard.native(reqwest::Method::DELETE, "/v1/projects/acme/web")
        .await
        .is(204);
    // Nobody tells of it: it is found at the next look.
    reader.done(LIMIT).await;
}
