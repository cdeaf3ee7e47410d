//! The entries of a log: phases, commands, output and errors of all attempts.
//!
//! See `docs/protocols/quay.md#log-entries`.

use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::BUILDS;
use crate::client::Claim;
use crate::fixture::{Fixture, report_phase};

on_both_back_ends!(
    phases_keep_their_place_in_the_output,
    step_lines_are_commands,
    line_has_the_time_of_its_header,
    each_phase_has_one_entry,
    failed_build_has_an_error_entry_with_its_cause,
    internal_failure_has_an_error_entry_without_its_cause,
    next_attempt_is_appended_to_the_log,
    output_after_the_end_is_left_out,
    every_start_returns_the_same_entries,
    returned_entries_never_change,
    replaced_trace_keeps_its_phases,
);

/// Reads the new entries of a log as clients do, and asserts that earlier entries do not change.
struct LogReader<'a> {
    fixture: &'a Fixture,
    id: &'a str,
    read: Vec<Value>,
}

impl LogReader<'_> {
    /// The entries that were added since the last call, each as [`summary`].
    async fn new_entries(&mut self) -> Vec<String> {
        let start = self.read.len();
        let all = self.entries_from(0).await;
        assert_eq!(all[..start], self.read, "earlier entries have changed");
        let new = self.entries_from(start).await;
        assert_eq!(all[start..], new);
        self.read = all;
        new.iter().map(summary).collect()
    }

    async fn entries_from(&self, start: usize) -> Vec<Value> {
        let path = format!("{BUILDS}{}/logs?start={start}", self.id);
        let log = self.fixture.reader.get(&path).await.is(200).json();
        let logs = log["logs"].as_array().unwrap();
        assert_eq!(log["total"], start + logs.len());
        logs.clone()
    }
}

/// An entry as `type: message`.
fn summary(entry: &Value) -> String {
    let message = entry["message"].as_str().unwrap();
    match entry["type"].as_str() {
        Some(kind) => format!("{kind}: {message}"),
        None => message.to_owned(),
    }
}

fn log_reader<'a>(fixture: &'a Fixture, id: &'a str) -> LogReader<'a> {
    let read = Vec::new();
    LogReader { fixture, id, read }
}

/// Appends to a trace of `length` bytes and returns its new length.
async fn append(claim: &Claim, length: usize, text: &str) -> usize {
    let end = length + text.len();
    claim
        .patch(&format!("{length}-{end}"), text.to_owned())
        .await
        .is(202);
    end
}

async fn phases_keep_their_place_in_the_output(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, claim) = fixture.claimed_build().await;
    let mut log = log_reader(&fixture, &id);
    assert_eq!(log.new_entries().await, ["phase: build-scheduled"]);
    let length = append(&claim, 0, "fetching from here\nhalf a").await;
    assert_eq!(log.new_entries().await, ["fetching from here\n"]);
    report_phase(&claim, "fetching").await.is(200);
    report_phase(&claim, "pulling").await.is(200);
    assert_eq!(
        log.new_entries().await,
        ["phase: unpacking", "phase: pulling"]
    );
    let length = append(&claim, length, " line").await;
    assert!(log.new_entries().await.is_empty());
    let length = append(&claim, length, "\nnext\n").await;
    assert_eq!(log.new_entries().await, ["half a line\n", "next\n"]);
    report_phase(&claim, "building").await.is(200);
    append(&claim, length, "one\ntwo\nwithout end").await;
    assert_eq!(
        log.new_entries().await,
        ["phase: building", "one\n", "two\n"]
    );
    report_phase(&claim, "pushing").await.is(200);
    claim.succeed().await;
    let end = ["phase: pushing", "without end", "phase: complete"];
    assert_eq!(log.new_entries().await, end);
}

async fn step_lines_are_commands(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, claim) = fixture.build_in_phase("building").await;
    let text = "Step 1/2 : FROM scratch\n\u{1b}[1mStep 2/2 : LABEL a=b\u{1b}[0m\r\nStep by step\n";
    append(&claim, 0, text).await;
    let expected = [
        "phase: build-scheduled",
        "phase: building",
        "command: Step 1/2 : FROM scratch",
        "command: \u{1b}[1mStep 2/2 : LABEL a=b\u{1b}[0m",
        "Step by step\n",
    ];
    assert_eq!(log_reader(&fixture, &id).new_entries().await, expected);
}

async fn line_has_the_time_of_its_header(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, claim) = fixture.build_in_phase("building").await;
    let (one, two) = ("2026-01-02T03:04:05.123456Z", "2026-01-02T03:04:06.654321Z");
    let text = format!("{one} 00O Step 1/1 : FROM scratch\n{two} 01E be");
    let length = append(&claim, 0, &text).await;
    let text = format!("gun\n{one} 00O 50%\r\n{two} 00O+100%\n");
    append(&claim, length, &text).await;
    let mut log = log_reader(&fixture, &id);
    let expected = [
        "phase: build-scheduled",
        "phase: building",
        "command: Step 1/1 : FROM scratch",
        "begun\n",
        "50%\r100%\n",
    ];
    assert_eq!(log.new_entries().await, expected);
    let times = log.read.iter().skip(2);
    let times: Vec<&str> = times
        .map(|entry| entry["data"]["datetime"].as_str().unwrap())
        .collect();
    let (one, two) = ("2026-01-02 03:04:05.123456", "2026-01-02 03:04:06.654321");
    assert_eq!(times, [one, two, one]);
    // A client that knows some entries reads only the rest.
    let rest = log.entries_from(4).await;
    assert_eq!(rest, log.read[4..]);
}

async fn each_phase_has_one_entry(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, claim) = fixture.build_in_phase("pushing").await;
    let mut log = log_reader(&fixture, &id);
    let expected = ["phase: build-scheduled", "phase: pushing"];
    assert_eq!(log.new_entries().await, expected);
    for phase in ["pushing", "uploading", "building"] {
        report_phase(&claim, phase).await.is(200);
        assert!(log.new_entries().await.is_empty(), "{phase}");
    }
}

/// Reports that a job failed.
async fn fail(claim: &Claim, reason: &str) {
    let mut body = json!({"state": "failed", "failure_reason": reason});
    body["failure_message"] = "`make` answered 2".into();
    claim.put(body).await.is(200);
}

async fn failed_build_has_an_error_entry_with_its_cause(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, claim) = fixture.build_in_phase("building").await;
    fail(&claim, "build_failed").await;
    assert_eq!(fixture.phase(&id).await, "error");
    let log = fixture.complete_log(&id).await;
    let [.., phase, error] = &log[..] else {
        panic!("{log:?}");
    };
    assert_eq!(summary(phase), "phase: error");
    assert_eq!(error["type"], "error");
    assert!(error["message"].as_str().unwrap().ends_with('.'));
    let data = error["data"].as_object().unwrap();
    assert_eq!(data["error_code"], "io.quay.builder.builderror");
    assert_eq!(data["base_error"], "`make` answered 2");
    assert_eq!(data["internal_error"], false);
    assert_eq!(data["datetime"], phase["data"]["datetime"]);
}

async fn internal_failure_has_an_error_entry_without_its_cause(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, claim) = fixture.build_in_phase("building").await;
    fail(&claim, "runner_fault").await;
    assert_eq!(fixture.phase(&id).await, "internalerror");
    let error = fixture.complete_log(&id).await.pop().unwrap();
    assert_eq!(error["data"]["error_code"], "io.quay.builder.buildrunerror");
    assert_eq!(error["data"]["internal_error"], true);
    assert_eq!(error["data"].get("base_error"), None);
}

async fn next_attempt_is_appended_to_the_log(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, claim) = fixture.build_in_phase("building").await;
    let mut log = log_reader(&fixture, &id);
    append(&claim, 0, "first\nhalf").await;
    log.new_entries().await;
    fail(&claim, "runner_fault").await;
    let expected = ["half", "phase: internalerror"];
    assert_eq!(log.new_entries().await[..2], expected);
    let claim = fixture.register_runner().await.claim().await;
    assert_eq!(log.new_entries().await, ["phase: build-scheduled"]);
    append(&claim, 0, "second\n").await;
    assert_eq!(log.new_entries().await, ["second\n"]);
    // The last attempt is not retried.
    fail(&claim, "runner_fault").await;
    assert_eq!(log.new_entries().await[0], "phase: internalerror");
    let claim = fixture.register_runner().await.claim().await;
    fail(&claim, "runner_fault").await;
    assert_eq!(fixture.phase(&id).await, "error");
    let end = log.new_entries().await;
    assert_eq!(end[..2], ["phase: build-scheduled", "phase: error"]);
    assert_eq!(end.len(), 3);
    assert!(end[2].starts_with("error: "), "{end:?}");
}

async fn output_after_the_end_is_left_out(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, claim) = fixture.build_in_phase("building").await;
    let mut log = log_reader(&fixture, &id);
    let length = append(&claim, 0, "before\nunfi").await;
    fixture.admin.delete(&format!("{BUILDS}{id}")).await.is(204);
    let entries = log.new_entries().await;
    assert_eq!(entries[2..], ["before\n", "unfi"]);
    append(&claim, length, "nished\nafter\n").await;
    assert!(log.new_entries().await.is_empty());
}

async fn every_start_returns_the_same_entries(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, claim) = fixture.build_in_phase("fetching").await;
    let mut length = 0;
    for piece in ["a\n", "b", "b", "b\nc\n\n", "d\nlong", "er\n", "e"] {
        length = append(&claim, length, piece).await;
    }
    report_phase(&claim, "building").await.is(200);
    for piece in ["nd\n", "\n", "Step 1/1 : FROM scratch\n", "last"] {
        length = append(&claim, length, piece).await;
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
    let log = log_reader(&fixture, &id);
    for start in 0..=expected.len() {
        let found: Vec<String> = log.entries_from(start).await.iter().map(summary).collect();
        assert_eq!(found, expected[start..], "{start}");
    }
}

async fn returned_entries_never_change(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, claim) = fixture.build_in_phase("building").await;
    let mut log = log_reader(&fixture, &id);
    append(&claim, 0, "first\n").await;
    log.new_entries().await;
    fixture.farm.advance(3600);
    assert_eq!(fixture.farm.expire_leases().await, 1);
    assert_eq!(log.new_entries().await[0], "phase: internalerror");
    let again = fixture.register_runner().await.claim().await;
    append(&again, 0, "second\n").await;
    assert_eq!(
        log.new_entries().await,
        ["phase: build-scheduled", "second\n"]
    );
    // The runner of the lost attempt sends more output.
    append(&claim, 6, "late\n").await;
    assert!(log.new_entries().await.is_empty());
    again.succeed().await;
    assert_eq!(log.new_entries().await, ["phase: complete"]);
}

async fn replaced_trace_keeps_its_phases(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let (id, claim) = fixture.claimed_build().await;
    let mut log = log_reader(&fixture, &id);
    append(&claim, 0, "a\n").await;
    report_phase(&claim, "building").await.is(200);
    let expected = ["phase: build-scheduled", "a\n", "phase: building"];
    assert_eq!(log.new_entries().await, expected);
    // The trace is now stored as one new chunk, and the phase begins in the middle of it.
    let body = json!({"state": "running", "trace": "a\nb\nc"});
    claim.put(body).await.is(200);
    let mut second_reader = log_reader(&fixture, &id);
    assert_eq!(
        second_reader.new_entries().await,
        [&expected[..], &["b\n"]].concat()
    );
    claim.succeed().await;
    assert_eq!(second_reader.new_entries().await, ["c", "phase: complete"]);
}
