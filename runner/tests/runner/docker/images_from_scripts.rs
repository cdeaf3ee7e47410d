//! Script containers that are saved as images, and jobs that continue in them.

use serde_json::{Value, json};
use slipway_test_engine::{docker, pull, remove_image, shell_image};

use super::scripts::{needing, script, trace, zipped};
use super::{Repository, runner, runner_with_name};
use crate::fake_coordinator::{FakeCoordinator, SECRET, until_empty};

fn registry() -> String {
    std::env::var("SLIPWAY_TEST_REGISTRY").expect("the registry is not set")
}

/// The spec of a script that continues in the image of another job.
fn continuing_in(image: &str, commands: &[&str]) -> Value {
    let mut spec = script(image, commands, Value::Null);
    spec["image_of"] = json!("first");
    spec["goes_on"] = json!(true);
    spec
}

#[tokio::test]
async fn a_job_continues_in_the_saved_container_of_another_job() {
    let repository = Repository::with("FROM scratch\n");
    let fake = FakeCoordinator::start();
    let name = format!("test-{}", rand::random::<u64>());
    let runner = runner_with_name(&fake, &name).await;
    let saved = format!("{}/story/saved{}", registry(), rand::random::<u64>());
    let commands = ["echo \"$GREETING\" | tee made; test -n \"$PASSWORD\"; mkdir /other"];
    let mut spec = script(shell_image(), &commands, Value::Null);
    spec["keep"] = json!(format!("{saved}:1"));
    fake.enqueue(1, &[("GREETING", "it's me")], repository.job(&spec));
    let held = fake.until_reported(1).await;
    let text = trace(&held);
    assert_eq!(held.status, "success", "{text}");
    assert!(text.contains("it's me\n"), "{text}");
    let image = held.report.unwrap().image.unwrap();
    assert_eq!(
        image.reference.as_deref(),
        Some(format!("{saved}:1").as_str())
    );
    assert_eq!(image.tags, ["1"]);

    let by_digest = format!("{saved}@{}", image.digest);
    let commands = [
        "pwd; ls; cat made later; ls -d /other",
        "echo \"<$GREETING>\"",
    ];
    fake.change(|state| state.artifacts.insert(1, zipped(&[("later", "needed\n")])));
    // The commit does not exist, and must not be fetched.
    let mut job = needing(repository.job(&continuing_in(&by_digest, &commands)), 1);
    job["sha"] = json!("f".repeat(40));
    fake.enqueue(2, &[], job);
    let held = fake.until_reported(2).await;
    let text = trace(&held);
    assert_eq!(held.status, "success", "{text}");
    assert!(text.contains(&format!("Pulling {by_digest}\n")), "{text}");
    let expected = "/slipway/work\nDockerfile\nbusybox\nlater\nmade\nit's me\nneeded\n/other\n";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("\n<>\n"), "{text}");

    // Both jobs have been cleaned up.
    until_empty(&runner.jobs_dir()).await;
    runner.drain(&fake).await;
    let filter = format!("label=io.slipway.runner={name}");
    assert_eq!(docker(&["ps", "-aq", "--filter", &filter]), "");
    assert_eq!(docker(&["images", "-q", "--filter", &filter]), "");

    // The image contains neither variables nor secrets.
    pull(&by_digest);
    let all = docker(&["image", "inspect", &by_digest]);
    for word in ["GREETING", "PASSWORD", "CI_", SECRET] {
        assert!(!all.contains(word), "{word} is in {all}");
    }
    let format = "{{json .Config.Entrypoint}} {{json .Config.Cmd}}";
    let commands = docker(&["image", "inspect", "--format", format, &by_digest]);
    // Newer engines store an empty entry point as null.
    assert_eq!(commands.replace("null", "[]"), r#"[] ["sh"]"#);
    let files = docker(&[
        "run",
        "--rm",
        &by_digest,
        "sh",
        "-c",
        "cat /slipway/[a-v]*; pwd",
    ]);
    assert_eq!(files, "/slipway/work");
    remove_image(&by_digest);
}

#[tokio::test]
async fn a_refused_push_fails_the_job_and_a_failed_script_is_not_saved() {
    let closed = std::env::var("SLIPWAY_TEST_AUTH_REGISTRY").expect("the registry is not set");
    let repository = Repository::with("FROM scratch\n");
    let fake = FakeCoordinator::start();
    let name = format!("test-{}", rand::random::<u64>());
    let runner = runner_with_name(&fake, &name).await;
    let rules = json!({"paths": ["made"], "when": "always"});
    let mut spec = script(shell_image(), &["echo x >made"], rules);
    spec["keep"] = json!(format!("{closed}/story/saved:1"));
    fake.enqueue(1, &[], repository.job(&spec));
    spec["commands"] = json!(["exit 3"]);
    fake.enqueue(2, &[], repository.job(&spec));
    let held = fake.until_reported(1).await;
    let report = held.report.clone().unwrap();
    let text = trace(&held);
    assert_eq!(
        report.failure_reason.as_deref(),
        Some("push_refused"),
        "{text}"
    );
    let message = report.failure_message.unwrap();
    assert!(message.contains(&closed), "{message}");
    // The commands succeeded, so their artifacts are uploaded.
    assert_eq!((report.exit_code, report.image), (Some(0), None));
    assert_eq!(held.uploads.len(), 1);
    let held = fake.until_reported(2).await;
    assert_eq!(held.report.as_ref().unwrap().exit_code, Some(3));
    assert!(!trace(&held).contains("Saving"), "{}", trace(&held));
    until_empty(&runner.jobs_dir()).await;
    let filter = format!("label=io.slipway.runner={name}");
    assert_eq!(docker(&["images", "-q", "--filter", &filter]), "");
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_script_whose_image_was_never_pushed_fails_with_base_image_unavailable() {
    let repository = Repository::with("FROM scratch\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let mut spec = continuing_in("x", &["true"]);
    spec.as_object_mut().unwrap().remove("image");
    fake.enqueue(1, &[], repository.job(&spec));
    let digest = format!("sha256:{}", "0a".repeat(32));
    let gone = format!("{}/story/none@{digest}", registry());
    fake.enqueue(2, &[], repository.job(&continuing_in(&gone, &["true"])));
    for (id, words) in [(1, "no image of first"), (2, gone.as_str())] {
        let report = fake.until_reported(id).await.report.unwrap();
        let reason = report.failure_reason.as_deref();
        assert_eq!(reason, Some("base_image_unavailable"));
        let message = report.failure_message.unwrap();
        assert!(message.contains(words), "{message}");
    }
    runner.drain(&fake).await;
}
