//! Scripts in containers of a real engine.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _, Write as _};
use std::time::Duration;

use serde_json::{Value, json};
use slipway_test_engine::{docker, remove_image, shell_image};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::{Repository, is_sleeping, runner, runner_with_name, until};
use crate::fake_coordinator::{FakeCoordinator, FakeJob, SECRET, job_token, until_empty};

pub(super) fn script(image: &str, commands: &[&str], artifacts: Value) -> Value {
    let mut spec = json!({"kind": "script", "image": image, "commands": commands});
    if !artifacts.is_null() {
        spec["artifacts"] = artifacts;
    }
    spec
}

pub(super) fn trace(held: &FakeJob) -> String {
    String::from_utf8_lossy(&held.trace).into_owned()
}

pub(super) fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The names and contents in an archive. The name of a directory ends with a slash.
pub(super) fn unzipped(bytes: &[u8]) -> BTreeMap<String, String> {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut files = BTreeMap::new();
    for position in 0..zip.len() {
        let mut entry = zip.by_index(position).unwrap();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        files.insert(entry.name().unwrap().into_owned(), content);
    }
    files
}

/// Adds to a payload that the job needs another job, which has artifacts.
pub(super) fn needing(mut job: Value, id: i64) -> Value {
    job["depends_on_builds"] = json!([{
        "id": id, "name": "first", "stage": "build", "ref": "main", "sha": "a".repeat(40),
        "tag": false, "status": "success", "token": job_token(id), "project_id": 1,
        "project_name": "api", "artifacts_file": {"filename": "artifacts.zip", "size": 1},
    }]);
    job
}

#[tokio::test]
async fn commands_run_in_the_checkout_and_matching_artifacts_are_uploaded() {
    let repository = Repository::with("FROM scratch\n");
    let fake = FakeCoordinator::start();
    let name = format!("test-{}", rand::random::<u64>());
    let runner = runner_with_name(&fake, &name).await;
    let commands = [
        "pwd; ls",
        "mkdir -p out/deep/empty; echo \"$GREETING\" >out/greeting.txt; ln -s greeting.txt out/link",
        "ln out/greeting.txt out/deep/same.txt; echo no >out/deep/left.o; echo o >one.log",
        "echo first; echo second >&2; echo third; echo \"the password: $PASSWORD\"",
    ];
    let rules = json!({
        "paths": ["out/**/*.txt", "out/link", "out/deep/empty", "*.log", "nothing/*"],
        "name": "result", "expire_in": "7 days",
    });
    let spec = script(shell_image(), &commands, rules);
    let more = repository.job(&spec);
    fake.enqueue(81, &[("GREETING", "once"), ("GREETING", "hello")], more);
    let held = fake.until_reported(81).await;
    let trace = trace(&held);
    assert_eq!(held.status, "success", "{trace}");
    let report = held.report.unwrap();
    assert_eq!((report.image, report.exit_code), (None, Some(0)));
    assert!(
        trace.contains("$ pwd; ls\n/slipway/work\nDockerfile\nbusybox\n"),
        "{trace}"
    );
    assert!(
        trace.contains("first\nsecond\nthird\nthe password: [MASKED]\n"),
        "{trace}"
    );
    assert!(!trace.contains(SECRET));
    assert!(
        trace.contains("Warning: artifacts: nothing/* matches nothing"),
        "{trace}"
    );
    let [upload] = held.uploads.as_slice() else {
        panic!("{:?}\n{trace}", held.uploads.len());
    };
    assert_eq!(upload.name, "result.zip");
    assert!(["expire_in=7+days", "expire_in=7%20days"].contains(&upload.query.as_str()));
    let expected = [
        ("one.log", "o\n"),
        ("out/deep/empty/", ""),
        ("out/deep/same.txt", "hello\n"),
        ("out/greeting.txt", "hello\n"),
        ("out/link", "greeting.txt"),
    ];
    let expected = expected.map(|(name, content)| (name.to_owned(), content.to_owned()));
    assert_eq!(unzipped(&upload.bytes), BTreeMap::from(expected));
    for phase in ["fetching", "building", "uploading"] {
        assert!(
            held.phases.iter().any(|reported| reported == phase),
            "{:?}",
            held.phases
        );
    }
    until_empty(&runner.jobs_dir()).await;
    runner.drain(&fake).await;
    let filter = format!("label=io.slipway.runner={name}");
    assert_eq!(docker(&["ps", "-aq", "--filter", &filter]), "");
}

#[tokio::test]
async fn artifacts_of_needed_jobs_are_unpacked_for_scripts_and_image_builds() {
    let repository =
        Repository::with("FROM scratch\nCOPY busybox /bin/sh\nCOPY made/x /\nRUN test -s /x\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let archive = zipped(&[("made/x", "from before\n"), ("Dockerfile.not", "")]);
    fake.change(|state| state.artifacts.insert(1, archive));
    let spec = script(shell_image(), &["cat made/x"], Value::Null);
    fake.enqueue(82, &[], needing(repository.job(&spec), 1));
    let image = json!({"kind": "image_build", "no_cache": true});
    fake.enqueue(83, &[], needing(repository.job(&image), 1));
    for id in [82, 83] {
        let held = fake.until_reported(id).await;
        assert_eq!(held.status, "success", "{}", trace(&held));
    }
    let held = fake.until_reported(82).await;
    assert!(trace(&held).contains("$ cat made/x\nfrom before\n"));
    assert!(held.uploads.is_empty());
    runner.drain(&fake).await;
}

#[tokio::test]
async fn everything_that_a_job_packs_is_unpacked_for_the_next_one() {
    let repository = Repository::with("FROM scratch\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let commands = [
        "mkdir -p venv/bin o/empty o/real/sub; chmod 750 o/empty",
        "ln -s /usr/bin/python3 venv/bin/python; ln -s ../../.. venv/up; ln -s nothing venv/none",
        "echo 1 >'o/dev-foo\\x2dbar.swap'; echo 2 >'o/c:x'; echo 3 >\"o/$(printf 'latin-\\351')\"",
        "echo 4 >o/exec; chmod 755 o/exec; ln o/exec o/again; touch -d '1975-01-02 03:04:05' o/exec",
        "echo 5 >o/late; touch -d '2200-01-02 03:04:05' o/late; touch -d '2001-02-03 04:05:06' o/c:x",
        "echo f >o/real/sub/f; ln -s real o/lnk; rm Dockerfile; mkdir Dockerfile; echo >Dockerfile/f",
    ];
    let rules = json!({"paths": ["venv", "o", "o/lnk/sub/f", "Dockerfile/"]});
    let spec = script(shell_image(), &commands, rules);
    fake.enqueue(151, &[], repository.job(&spec));
    let held = fake.until_reported(151).await;
    assert_eq!(held.status, "success", "{}", trace(&held));
    let archive = held.uploads[0].bytes.clone();
    fake.change(|state| state.artifacts.insert(1, archive));
    let checks = [
        "test \"$(readlink venv/bin/python)\" = /usr/bin/python3",
        "test \"$(readlink venv/up)\" = ../../..; test \"$(readlink venv/none)\" = nothing",
        "test \"$(cat 'o/dev-foo\\x2dbar.swap' o/c:x \"o/$(printf 'latin-\\351')\" | tr -d '\\n')\" = 123",
        "test -d o/empty; test -x o/exec; test ! -x o/late; test \"$(cat o/again)\" = 4",
        "test \"$(stat -c %Y o/exec)\" = 157863845; test \"$(stat -c %Y o/again)\" = 157863845",
        "test \"$(stat -c %Y o/late)\" = 7258215845; test \"$(stat -c %Y o/c:x)\" = 981173106",
        "test \"$(readlink o/lnk)\" = real; cat o/lnk/sub/f; test -f Dockerfile/f",
    ];
    let spec = script(shell_image(), &checks, Value::Null);
    fake.enqueue(152, &[], needing(repository.job(&spec), 1));
    let held = fake.until_reported(152).await;
    assert_eq!(held.status, "success", "{}", trace(&held));
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_job_fails_if_something_requested_by_name_cannot_be_kept() {
    let repository = Repository::with("FROM scratch\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let make = "echo >file; mkfifo pipe; ln -s nowhere lnk";
    for (id, path, words, uploads) in [
        (180, "nothing/here", "nothing/here does not exist", 1),
        (181, "file/below", "file/below does not exist", 1),
        (182, "pipe", "pipe is a pipe or a device", 1),
        (183, "lnk/sub/f", "lnk/sub/f does not exist", 1),
    ] {
        let spec = script(shell_image(), &[make], json!({"paths": ["file", path]}));
        fake.enqueue(id, &[], repository.job(&spec));
        let held = fake.until_reported(id).await;
        let report = held.report.clone().unwrap();
        assert_eq!(
            report.failure_reason.as_deref(),
            Some("job_failed"),
            "{path}"
        );
        let message = report.failure_message.unwrap();
        assert!(message.contains(words), "{message}");
        // What could be kept is there for people to look at.
        assert_eq!(held.uploads.len(), uploads, "{path}");
    }
    // After a failure, the first reason stays.
    let rules = json!({"paths": ["file", "nothing"], "when": "always"});
    let spec = script(shell_image(), &[make, "exit 4"], rules);
    fake.enqueue(185, &[], repository.job(&spec));
    let held = fake.until_reported(185).await;
    let message = held.report.clone().unwrap().failure_message.unwrap();
    assert!(message.contains("exited with 4"), "{message}");
    assert_eq!(held.uploads.len(), 1);
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_hostile_archive_fails_the_job_and_writes_nothing_outside() {
    let repository = Repository::with("FROM scratch\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let spec = script(shell_image(), &["echo never"], Value::Null);
    let archives = [
        (1, zipped(&[("../../../slipped", "harm")]), "leads out of"),
        (2, b"not a zip at all".to_vec(), "cannot be read"),
    ];
    for (id, archive, words) in archives {
        fake.change(|state| state.artifacts.insert(id, archive));
        fake.enqueue(90 + id, &[], needing(repository.job(&spec), id));
        let held = fake.until_reported(90 + id).await;
        let report = held.report.clone().unwrap();
        assert_eq!(report.failure_reason.as_deref(), Some("job_failed"));
        let message = report.failure_message.unwrap();
        assert!(message.contains("the artifacts of first"), "{message}");
        assert!(message.contains(words), "{message}");
        assert!(!trace(&held).contains("never"));
    }
    // A missing archive has its own message.
    fake.enqueue(93, &[], needing(repository.job(&spec), 3));
    let report = fake.until_reported(93).await.report.unwrap();
    assert!(report.failure_message.unwrap().contains("no longer exist"));
    let jobs_dir = runner.jobs_dir();
    until_empty(&jobs_dir).await;
    assert!(!jobs_dir.parent().unwrap().join("slipped").exists());
    assert!(!jobs_dir.join("slipped").exists());
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_failing_command_is_named_and_artifacts_follow_their_when_rule() {
    let repository = Repository::with("FROM scratch\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let commands = ["echo why >log", "echo here; (exit 3)", "echo never"];
    for (id, when) in [(101, "on_failure"), (102, "always"), (103, "on_success")] {
        let rules = json!({"paths": ["log"], "when": when});
        let spec = script(shell_image(), &commands, rules);
        fake.enqueue(id, &[], repository.job(&spec));
        let held = fake.until_reported(id).await;
        let report = held.report.clone().unwrap();
        assert_eq!(report.failure_reason.as_deref(), Some("job_failed"));
        assert_eq!(report.exit_code, Some(3));
        let message = report.failure_message.unwrap();
        assert_eq!(message, "the command `echo here; (exit 3)` exited with 3");
        let trace = trace(&held);
        assert!(trace.contains(&format!("Failed: {message}\n")), "{trace}");
        assert!(!trace.contains("never"), "{trace}");
        let uploads = match when {
            "on_success" => 0,
            _ => 1,
        };
        assert_eq!(held.uploads.len(), uploads, "{when}");
    }
    runner.drain(&fake).await;
}

#[tokio::test]
async fn unusable_images_have_distinct_failures() {
    let registry =
        std::env::var("SLIPWAY_TEST_REGISTRY").expect("SLIPWAY_TEST_REGISTRY is not set");
    let repository = Repository::with("FROM scratch\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    slipway_test_engine::build(
        "slipway-test/bare:1",
        "FROM scratch\nCOPY busybox /bin/tool\n",
    );
    let mut without_image = script("x", &["true"], Value::Null);
    without_image.as_object_mut().unwrap().remove("image");
    fake.enqueue(111, &[], repository.job(&without_image));
    let missing = format!("{registry}/none/such:1");
    let spec = script(&missing, &["true"], Value::Null);
    fake.enqueue(112, &[], repository.job(&spec));
    let spec = script("slipway-test/bare:1", &["true"], Value::Null);
    fake.enqueue(113, &[], repository.job(&spec));
    // The engine must not be sent to an address that the runner may not connect to.
    let spec = script("169.254.169.254/tools:1", &["true"], Value::Null);
    fake.enqueue(114, &[], repository.job(&spec));
    for (id, reason, words) in [
        (111, "unsupported", "--script-image"),
        (114, "base_image_unavailable", "SLIPWAY_ALLOW_NET"),
        (112, "base_image_unavailable", missing.as_str()),
        (113, "job_failed", "has no sh"),
    ] {
        let report = fake.until_reported(id).await.report.unwrap();
        assert_eq!(report.failure_reason.as_deref(), Some(reason), "{id}");
        assert_eq!(report.exit_code, None, "{id}");
        let message = report.failure_message.unwrap();
        assert!(message.contains(words), "{message}");
    }
    runner.drain(&fake).await;
}

#[tokio::test]
async fn an_image_that_the_engine_lacks_is_pulled() {
    let registry =
        std::env::var("SLIPWAY_TEST_REGISTRY").expect("SLIPWAY_TEST_REGISTRY is not set");
    let repository = Repository::with("FROM scratch\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let name = format!("{registry}/story/shell{}", rand::random::<u32>());
    docker(&["tag", shell_image(), &name]);
    docker(&["push", "-q", &name]);
    remove_image(&name);
    let spec = script(&name, &["echo pulled"], Value::Null);
    fake.enqueue(121, &[], repository.job(&spec));
    let held = fake.until_reported(121).await;
    let trace = trace(&held);
    assert_eq!(held.status, "success", "{trace}");
    assert!(trace.contains(&format!("Pulling {name}\n")), "{trace}");
    remove_image(&name);
    runner.drain(&fake).await;
}

/// Runs alone because it asserts a bound of two seconds; see `.config/nextest.toml`.
mod timing {
    #[tokio::test]
    async fn cancel_kills_the_running_script_within_two_seconds() {
        super::cancel_kills_the_running_script().await;
    }
}

async fn cancel_kills_the_running_script() {
    let seconds = format!("8{:07}", rand::random::<u32>() % 10_000_000);
    let repository = Repository::with("FROM scratch\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let sleep = format!("sleep {seconds}");
    let rules = json!({"paths": ["Dockerfile"], "when": "always"});
    let spec = script(shell_image(), &[&sleep], rules);
    fake.enqueue(131, &[], repository.job(&spec));
    until(Duration::from_secs(60), || is_sleeping(&seconds)).await;
    fake.change(|state| {
        if let Some(job) = state.jobs.get_mut(&131) {
            job.status = "canceled".to_owned();
        }
    });
    until(Duration::from_secs(2), || !is_sleeping(&seconds)).await;
    until_empty(&runner.jobs_dir()).await;
    let held = fake
        .until(131, |held| !held.reports_after_cancel.is_empty())
        .await;
    assert!(held.uploads.is_empty() && held.report.is_none());
    // The exit code of a killed script is not reported.
    assert_eq!(held.reports_after_cancel[0].exit_code, None);
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_script_that_exceeds_its_time_limit_is_killed() {
    let seconds = format!("9{:07}", rand::random::<u32>() % 10_000_000);
    let repository = Repository::with("FROM scratch\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let sleep = format!("sleep {seconds}");
    let mut job = repository.job(&script(shell_image(), &[&sleep], Value::Null));
    job["timeout"] = json!(2);
    fake.enqueue(135, &[], job);
    let report = fake.until_reported(135).await.report.unwrap();
    assert_eq!(report.failure_reason.as_deref(), Some("timed_out"));
    assert!(!is_sleeping(&seconds));
    runner.drain(&fake).await;
}

#[tokio::test]
async fn an_upload_is_retried_after_5xx_and_a_refusal_fails_the_job() {
    let repository = Repository::with("FROM scratch\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let rules = json!({"paths": ["Dockerfile"]});
    let spec = script(shell_image(), &["true"], rules);
    fake.change(|state| state.upload_answers.extend([502, 503]));
    fake.enqueue(141, &[], repository.job(&spec));
    let held = fake.until_reported(141).await;
    assert_eq!((held.status.as_str(), held.uploads.len()), ("success", 1));
    fake.change(|state| state.upload_answers.extend([413]));
    fake.enqueue(142, &[], repository.job(&spec));
    let report = fake.until_reported(142).await.report.unwrap();
    let message = report.failure_message.unwrap();
    assert!(message.contains("exceeds the size limit"), "{message}");
    runner.drain(&fake).await;
}

#[tokio::test]
async fn containers_of_an_earlier_process_are_deleted_at_start() {
    let name = format!("test-{}", rand::random::<u64>());
    let label = format!("io.slipway.runner={name}");
    let container = format!("slipway-{name}-job-1");
    let named = ["create", "--name", &container, "--label", &label];
    let leftover = docker(&[&named[..], &[shell_image(), "sh"]].concat());
    let fake = FakeCoordinator::start();
    let runner = runner_with_name(&fake, &name).await;
    fake.until_polled().await;
    let filter = format!("label={label}");
    assert_eq!(
        docker(&["ps", "-aq", "--filter", &filter]),
        "",
        "{leftover}"
    );
    runner.drain(&fake).await;
}
