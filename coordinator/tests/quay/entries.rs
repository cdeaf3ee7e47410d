//! What the log of a build is made of: phases, steps, lines and errors, over all attempts.

use serde_json::Value;
use serde_json::json;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::client::Claim;
use crate::support::{L, World, enter};

on_both_back_ends!(
    phases_stand_where_the_trace_was,
    steps_are_commands,
    a_phase_is_told_once,
    a_failure_is_told_with_its_cause,
    a_failure_of_the_farm_is_not_told_of_in_detail,
    another_attempt_goes_on_behind_the_first,
    what_is_said_after_the_end_is_not_told,
    every_entry_is_found_from_every_start,
    entries_that_were_told_stay,
    a_trace_that_is_sent_as_a_whole_keeps_its_phases,
);

/// A client that reads what is new, as clients do; nothing that it read changes.
struct Reader<'a> {
    world: &'a World,
    id: &'a str,
    read: Vec<Value>,
}

impl Reader<'_> {
    /// What is new, in short.
    async fn news(&mut self) -> Vec<String> {
        let start = self.read.len();
        let all = self.log(0).await;
        assert_eq!(all[..start], self.read, "what was read has changed");
        let new = self.log(start).await;
        assert_eq!(all[start..], new);
        self.read = all;
        new.iter().map(short).collect()
    }

    async fn log(&self, start: usize) -> Vec<Value> {
        let path = format!("{L}{}/logs?start={start}", self.id);
        let log = self.world.r.get(&path).await.is(200).json();
        let logs = log["logs"].as_array().unwrap();
        assert_eq!(log["total"], start + logs.len());
        logs.clone()
    }
}

/// An entry as `type: message`.
fn short(entry: &Value) -> String {
    let message = entry["message"].as_str().unwrap();
    match entry["type"].as_str() {
        Some(kind) => format!("{kind}: {message}"),
        None => message.to_owned(),
    }
}

fn reader<'a>(world: &'a World, id: &'a str) -> Reader<'a> {
    let read = Vec::new();
    Reader { world, id, read }
}

/// Appends to a trace that has `held` bytes; gives how many it has then.
async fn say(claim: &Claim, held: usize, text: &str) -> usize {
    let end = held + text.len();
    claim
        .patch(&format!("{held}-{end}"), text.to_owned())
        .await
        .is(202);
    end
}

async fn phases_stand_where_the_trace_was(backend: Backend) {
    let world = World::start(backend).await;
    let (id, claim) = world.claimed().await;
    let mut log = reader(&world, &id);
    assert_eq!(log.news().await, ["phase: build-scheduled"]);
    let held = say(&claim, 0, "fetching from here\nhalf a").await;
    assert_eq!(log.news().await, ["fetching from here\n"]);
    enter(&claim, "fetching").await.is(200);
    enter(&claim, "pulling").await.is(200);
    assert_eq!(log.news().await, ["phase: unpacking", "phase: pulling"]);
    let held = say(&claim, held, " line").await;
    assert!(log.news().await.is_empty());
    let held = say(&claim, held, "\nnext\n").await;
    assert_eq!(log.news().await, ["half a line\n", "next\n"]);
    enter(&claim, "building").await.is(200);
    say(&claim, held, "one\ntwo\nwithout end").await;
    assert_eq!(log.news().await, ["phase: building", "one\n", "two\n"]);
    enter(&claim, "pushing").await.is(200);
    claim.succeed().await;
    let end = ["phase: pushing", "without end", "phase: complete"];
    assert_eq!(log.news().await, end);
}

async fn steps_are_commands(backend: Backend) {
    let world = World::start(backend).await;
    let (id, claim) = world.in_phase("building").await;
    let text = "Step 1/2 : FROM scratch\n\u{1b}[1mStep 2/2 : LABEL a=b\u{1b}[0m\r\nStep by step\n";
    say(&claim, 0, text).await;
    let expected = [
        "phase: build-scheduled",
        "phase: building",
        "command: Step 1/2 : FROM scratch",
        "command: \u{1b}[1mStep 2/2 : LABEL a=b\u{1b}[0m",
        "Step by step\n",
    ];
    assert_eq!(reader(&world, &id).news().await, expected);
}

async fn a_phase_is_told_once(backend: Backend) {
    let world = World::start(backend).await;
    let (id, claim) = world.in_phase("pushing").await;
    let mut log = reader(&world, &id);
    let expected = ["phase: build-scheduled", "phase: pushing"];
    assert_eq!(log.news().await, expected);
    for phase in ["pushing", "uploading", "building"] {
        enter(&claim, phase).await.is(200);
        assert!(log.news().await.is_empty(), "{phase}");
    }
}

/// Ends a job with a failure.
async fn fail(claim: &Claim, reason: &str) {
    let mut body = json!({"state": "failed", "failure_reason": reason});
    body["failure_message"] = "`make` answered 2".into();
    claim.put(body).await.is(200);
}

async fn a_failure_is_told_with_its_cause(backend: Backend) {
    let world = World::start(backend).await;
    let (id, claim) = world.in_phase("building").await;
    fail(&claim, "build_failed").await;
    assert_eq!(world.phase(&id).await, "error");
    let log = world.whole_log(&id).await;
    let [.., phase, error] = &log[..] else {
        panic!("{log:?}");
    };
    assert_eq!(short(phase), "phase: error");
    assert_eq!(error["type"], "error");
    assert!(error["message"].as_str().unwrap().ends_with('.'));
    let data = error["data"].as_object().unwrap();
    assert_eq!(data["error_code"], "io.quay.builder.builderror");
    assert_eq!(data["base_error"], "`make` answered 2");
    assert_eq!(data["internal_error"], false);
    assert_eq!(data["datetime"], phase["data"]["datetime"]);
}

async fn a_failure_of_the_farm_is_not_told_of_in_detail(backend: Backend) {
    let world = World::start(backend).await;
    let (id, claim) = world.in_phase("building").await;
    fail(&claim, "runner_fault").await;
    assert_eq!(world.phase(&id).await, "internalerror");
    let error = world.whole_log(&id).await.pop().unwrap();
    assert_eq!(error["data"]["error_code"], "io.quay.builder.buildrunerror");
    assert_eq!(error["data"]["internal_error"], true);
    assert_eq!(error["data"].get("base_error"), None);
}

async fn another_attempt_goes_on_behind_the_first(backend: Backend) {
    let world = World::start(backend).await;
    let (id, claim) = world.in_phase("building").await;
    let mut log = reader(&world, &id);
    say(&claim, 0, "first\nhalf").await;
    log.news().await;
    fail(&claim, "runner_fault").await;
    let lost = ["half", "phase: internalerror"];
    assert_eq!(log.news().await[..2], lost);
    let claim = world.runner().await.claim().await;
    assert_eq!(log.news().await, ["phase: build-scheduled"]);
    say(&claim, 0, "second\n").await;
    assert_eq!(log.news().await, ["second\n"]);
    // When the last one fails, nothing tries again.
    fail(&claim, "runner_fault").await;
    assert_eq!(log.news().await[0], "phase: internalerror");
    let claim = world.runner().await.claim().await;
    fail(&claim, "runner_fault").await;
    assert_eq!(world.phase(&id).await, "error");
    let end = log.news().await;
    assert_eq!(end[..2], ["phase: build-scheduled", "phase: error"]);
    assert_eq!(end.len(), 3);
    assert!(end[2].starts_with("error: "), "{end:?}");
}

async fn what_is_said_after_the_end_is_not_told(backend: Backend) {
    let world = World::start(backend).await;
    let (id, claim) = world.in_phase("building").await;
    let mut log = reader(&world, &id);
    let held = say(&claim, 0, "before\nunfi").await;
    world.a.delete(&format!("{L}{id}")).await.is(204);
    let told = log.news().await;
    assert_eq!(told[2..], ["before\n", "unfi"]);
    say(&claim, held, "nished\nafter\n").await;
    assert!(log.news().await.is_empty());
}

async fn every_entry_is_found_from_every_start(backend: Backend) {
    let world = World::start(backend).await;
    let (id, claim) = world.in_phase("fetching").await;
    let mut held = 0;
    for piece in ["a\n", "b", "b", "b\nc\n\n", "d\nlong", "er\n", "e"] {
        held = say(&claim, held, piece).await;
    }
    enter(&claim, "building").await.is(200);
    for piece in ["nd\n", "\n", "Step 1/1 : FROM scratch\n", "last"] {
        held = say(&claim, held, piece).await;
    }
    claim.succeed().await;
    let expected = [
        "phase: build-scheduled",
        "phase: unpacking",
        "a\n",
        "bbb\n",
        "c\n",
        "\n",
        "d\n",
        "longer\n",
        "phase: building",
        "end\n",
        "\n",
        "command: Step 1/1 : FROM scratch",
        "last",
        "phase: complete",
    ];
    let log = reader(&world, &id);
    for start in 0..=expected.len() {
        let found: Vec<String> = log.log(start).await.iter().map(short).collect();
        assert_eq!(found, expected[start..], "{start}");
    }
}

async fn entries_that_were_told_stay(backend: Backend) {
    let world = World::start(backend).await;
    let (id, claim) = world.in_phase("building").await;
    let mut log = reader(&world, &id);
    say(&claim, 0, "first\n").await;
    log.news().await;
    world.farm.advance(3600);
    assert_eq!(world.farm.expire_leases().await, 1);
    assert_eq!(log.news().await[0], "phase: internalerror");
    let again = world.runner().await.claim().await;
    say(&again, 0, "second\n").await;
    assert_eq!(log.news().await, ["phase: build-scheduled", "second\n"]);
    // The one that was lost comes back and goes on talking.
    say(&claim, 6, "late\n").await;
    assert!(log.news().await.is_empty());
    again.succeed().await;
    assert_eq!(log.news().await, ["phase: complete"]);
}

async fn a_trace_that_is_sent_as_a_whole_keeps_its_phases(backend: Backend) {
    let world = World::start(backend).await;
    let (id, claim) = world.claimed().await;
    let mut log = reader(&world, &id);
    say(&claim, 0, "a\n").await;
    enter(&claim, "building").await.is(200);
    let expected = ["phase: build-scheduled", "a\n", "phase: building"];
    assert_eq!(log.news().await, expected);
    // Now a phase begins in the middle of what is stored in one piece, which came just now.
    let body = json!({"state": "running", "trace": "a\nb\nc"});
    claim.put(body).await.is(200);
    let mut again = reader(&world, &id);
    assert_eq!(again.news().await, [&expected[..], &["b\n"]].concat());
    claim.succeed().await;
    assert_eq!(again.news().await, ["c", "phase: complete"]);
}
