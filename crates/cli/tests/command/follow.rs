//! `--follow`: traces as they grow, and why jobs are pending.

use std::process::Stdio;
use std::time::Duration;

use slipway_domain::pipeline::Definition;
use slipway_domain::{FailureReason, ReportedResult, TagSet, When};
use slipway_farm::{Build, ClaimedJob};
use slipway_testkit::farm::jobs_named;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::process::Child;

use crate::fixture::{Fixture, SHA, ended, text};

const LIMIT: Duration = Duration::from_secs(30);

/// A program that follows something, and the lines that it prints.
struct Following {
    child: Child,
    stdout: Lines<BufReader<tokio::process::ChildStdout>>,
    stderr: Lines<BufReader<tokio::process::ChildStderr>>,
}

impl Following {
    fn start(fixture: &Fixture, arguments: &[&str]) -> Self {
        let mut command = fixture.command(arguments);
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
        Self {
            stdout: BufReader::new(child.stdout.take().unwrap()).lines(),
            stderr: BufReader::new(child.stderr.take().unwrap()).lines(),
            child,
        }
    }

    async fn note(&mut self) -> String {
        next(&mut self.stderr).await
    }

    async fn line(&mut self) -> String {
        next(&mut self.stdout).await
    }

    /// The exit status, and the remaining lines of standard error.
    async fn ends(mut self) -> (Option<i32>, Vec<String>) {
        let mut notes = Vec::new();
        let all = async {
            while let Some(line) = self.stderr.next_line().await.unwrap() {
                notes.push(line);
            }
            self.child.wait().await.unwrap().code()
        };
        let code = tokio::time::timeout(LIMIT, all).await.unwrap();
        (code, notes)
    }
}

async fn next<R: AsyncRead + Unpin>(lines: &mut Lines<BufReader<R>>) -> String {
    let line = tokio::time::timeout(LIMIT, lines.next_line()).await;
    line.expect("a line in time").unwrap().expect("a line")
}

async fn build_of(fixture: &Fixture, definition: Definition) -> Build {
    let project = fixture.farm.project("acme/api").await;
    fixture.farm.build_defined(&project, definition).await
}

fn job_id(job: &ClaimedJob) -> String {
    job.job.id.to_string()
}

#[tokio::test]
async fn following_prints_the_trace_and_exits_with_the_result() {
    let fixture = Fixture::logged_in().await;
    fixture.farm.project("acme/api").await;
    let runner = fixture.runner().await;
    let failed = ReportedResult::Failed(FailureReason::BuildFailed);
    for (result, code) in [(ReportedResult::Succeeded, 0), (failed, 1)] {
        let follow = ["build", "acme/api", "--sha", SHA, "--follow"];
        let child = fixture.command(&follow).spawn().unwrap();
        let job = fixture.claim(&runner).await;
        fixture.append(&job, 0, "one\n").await;
        fixture.append(&job, 4, "two\n").await;
        fixture.end(&runner, job.job.id, result).await;
        let output = ended(child).await;
        assert_eq!(text(&output.stdout), "one\ntwo\n");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let id = job.job.id.to_string();
        let stored = fixture.run(&["logs", &id]).await;
        assert_eq!(text(&stored.stdout), "one\ntwo\n");
        let followed = fixture.run(&["logs", "-f", &id]).await;
        assert_eq!(followed.status.code(), Some(code));
        let lines = fixture.run(&["logs", "--json", &id]).await;
        assert!(
            text(&lines.stdout).contains(r#""text":"one\n"#),
            "{lines:?}"
        );
    }
}

#[tokio::test]
async fn show_and_logs_count_what_is_missing_of_a_trace_beyond_the_limit() {
    let fixture = Fixture::logged_in_with(|config| config.limits.max_trace_bytes = 40).await;
    let build = build_of(&fixture, jobs_named(&[("api", &[])])).await;
    let runner = fixture.runner().await;
    let job = fixture.claim(&runner).await;
    fixture.append(&job, 0, "line of twenty bytes\n").await;
    fixture
        .append(&job, 21, "line of twenty bytes\nthe end\n")
        .await;
    let ended = ReportedResult::Succeeded;
    fixture.end(&runner, job.job.id, ended).await;
    let id = job_id(&job);
    let uuid = build.uuid.to_string();
    for arguments in [
        &["logs", &id][..],
        &["logs", "-f", &id],
        &["logs", &uuid],
        &["logs", "-f", &uuid],
    ] {
        let output = fixture.run(arguments).await;
        let trace = text(&output.stdout);
        assert!(
            trace.ends_with(": 12 bytes are missing here]\nthe end\n"),
            "{trace}"
        );
        let note = format!("The trace of job api ({id}) exceeds the limit of the farm: 12 bytes");
        let notes = text(&output.stderr);
        assert_eq!(notes.matches(&note).count(), 1, "{arguments:?} {notes}");
    }
    let shown = text(&fixture.run(&["show", &uuid]).await.stdout);
    let (_, cut) = shown.split_once("CUT TRACE OF").unwrap();
    let row = cut.lines().nth(1).unwrap();
    assert!(row.starts_with("api ") && row.ends_with(" 12"), "{shown}");
}

#[tokio::test]
async fn the_reason_of_a_pending_job_is_printed_at_once_and_when_it_changes() {
    let fixture = Fixture::logged_in().await;
    let mut definition = jobs_named(&[("api", &[])]);
    definition.jobs[0].tags = TagSet::from_list("arm64").unwrap();
    let build = build_of(&fixture, definition).await;
    let job = fixture.farm.jobs(&build).await[0].id.to_string();
    let id = build.uuid.to_string();
    let mut of_build = Following::start(&fixture, &["logs", "-f", &id]);
    let mut of_job = Following::start(&fixture, &["logs", "-f", &job]);
    let mut json = Following::start(&fixture, &["--json", "logs", "-f", &id]);
    let first = format!("Job api ({job}) is pending: no runner serves this project");
    assert_eq!(of_build.note().await, first);
    assert_eq!(of_job.note().await, first);
    let line: serde_json::Value = serde_json::from_str(&json.line().await).unwrap();
    assert_eq!(line["job"].to_string(), job);
    assert_eq!(line["pending"]["code"], "no_runner_for_project");
    fixture.runner().await;
    for following in [&mut of_build, &mut of_job] {
        let changed = following.note().await;
        assert!(changed.contains("lacks arm64"), "{changed}");
    }
    let line: serde_json::Value = serde_json::from_str(&json.line().await).unwrap();
    assert_eq!(line["pending"]["code"], "no_runner_has_tags");
    let canceled = fixture.run(&["cancel", &id]).await;
    assert_eq!(canceled.status.code(), Some(0));
    for following in [of_build, of_job] {
        assert_eq!(following.ends().await.0, Some(1));
    }
}

#[tokio::test]
async fn a_running_job_is_followed_while_another_one_is_pending_or_silent() {
    let fixture = Fixture::logged_in().await;
    let runner = fixture.runner().await;
    let mut definition = jobs_named(&[("stuck", &[]), ("one", &[]), ("two", &[])]);
    definition.jobs[0].tags = TagSet::from_list("arm64").unwrap();
    let build = build_of(&fixture, definition).await;
    let id = build.uuid.to_string();
    let mut following = Following::start(&fixture, &["logs", "-f", &id]);
    let reason = following.note().await;
    assert!(reason.starts_with("Job stuck ("), "{reason}");
    let (one, two) = (fixture.claim(&runner).await, fixture.claim(&runner).await);
    fixture.append(&one, 0, "first of one\n").await;
    assert_eq!(following.line().await, "first of one");
    // `one` is silent but has not finished.
    fixture.append(&two, 0, "first of two\n").await;
    assert_eq!(following.line().await, "first of two");
    fixture.append(&one, 13, "second of one\n").await;
    assert_eq!(following.line().await, "second of one");
    for job in [&one, &two] {
        fixture
            .end(&runner, job.job.id, ReportedResult::Succeeded)
            .await;
    }
    let stuck = fixture.farm.jobs(&build).await[0].id.to_string();
    let canceled = fixture.run(&["cancel", &stuck]).await;
    assert_eq!(canceled.status.code(), Some(0));
    let (code, notes) = following.ends().await;
    assert_eq!(code, Some(1));
    let titles: Vec<&str> = notes
        .iter()
        .filter_map(|note| note.strip_prefix("==> ")?.split(' ').next())
        .collect();
    assert!(titles.starts_with(&["one", "two", "one"]), "{notes:?}");
    // When all jobs have finished, their traces are printed in order and as a whole.
    let output = fixture.run(&["logs", "-f", &id]).await;
    assert_eq!(
        text(&output.stdout),
        "first of one\nsecond of one\nfirst of two\n"
    );
}

#[tokio::test]
async fn following_ends_although_a_manual_job_was_not_started() {
    let fixture = Fixture::logged_in().await;
    let runner = fixture.runner().await;
    let mut definition = jobs_named(&[("api", &[]), ("deploy", &["api"]), ("after", &["deploy"])]);
    definition.jobs[1].when = When::Manual;
    let build = build_of(&fixture, definition).await;
    let id = build.uuid.to_string();
    let following = Following::start(&fixture, &["logs", "-f", &id]);
    let job = fixture.claim(&runner).await;
    fixture.append(&job, 0, "built\n").await;
    fixture
        .end(&runner, job.job.id, ReportedResult::Succeeded)
        .await;
    let (code, notes) = following.ends().await;
    assert_eq!(code, Some(0), "{notes:?}");
    let deploy = fixture.farm.jobs(&build).await[1].id.to_string();
    let last = notes.last().unwrap();
    assert!(
        last.ends_with(&format!("run `slipway play {deploy}`")),
        "{last}"
    );
    // Following the manual job itself waits for it, and says so.
    let mut following = Following::start(&fixture, &["logs", "-f", &deploy]);
    let reason = following.note().await;
    assert!(reason.contains("is manual"), "{reason}");
    let played = fixture.run(&["play", &deploy]).await;
    assert_eq!(played.status.code(), Some(0), "{played:?}");
    let job = fixture.claim(&runner).await;
    assert_eq!(job_id(&job), deploy);
    fixture.append(&job, 0, "deployed\n").await;
    assert_eq!(following.line().await, "deployed");
    fixture
        .end(&runner, job.job.id, ReportedResult::Succeeded)
        .await;
    assert_eq!(following.ends().await.0, Some(0));
}
