//! The program `slipway` against a real farm.

#![expect(clippy::unwrap_used, reason = "a test fails on an unexpected value")]

mod directory;
mod fixture;
mod follow;
mod login;

use slipway_domain::{BuildStep, ImageDetails, ReportedResult};
use slipway_farm::{Ended, MadeImage, Report};
use tokio::io::AsyncWriteExt;

use crate::fixture::{Fixture, SHA, text};

#[tokio::test]
async fn without_a_login_or_a_farm_the_error_says_what_to_do() {
    let fixture = Fixture::new().await;
    let output = fixture.run(&["queue"]).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("slipway login"), "{output:?}");
    let mut command = fixture.command(&["queue"]);
    command
        .env("SLIPWAY_URL", "http://127.0.0.1:1")
        .env("SLIPWAY_TOKEN", "slpat-1");
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(3));
    let error = text(&output.stderr);
    assert!(
        error.contains("cannot reach") && error.lines().count() == 1,
        "{error}"
    );
    assert_eq!(fixture.run(&["show", "7"]).await.status.code(), Some(2));
}

#[tokio::test]
async fn a_build_is_created_listed_canceled_and_retried() {
    let fixture = Fixture::logged_in().await;
    let source = "https://git.example/acme/api";
    let created = fixture
        .run(&["projects", "create", "acme/api", "--repo", source])
        .await;
    assert_eq!(created.status.code(), Some(0), "{created:?}");
    assert!(text(&created.stdout).contains(source));
    let listed = fixture.run(&["projects"]).await;
    assert!(text(&listed.stdout).contains("acme/api"));
    let shown = fixture.json(&["projects", "show", "acme/api"]).await;
    assert_eq!(shown["default_branch"], "main");
    let missing = fixture.run(&["projects", "show", "acme/none"]).await;
    assert_eq!(text(&missing.stderr), "slipway: no such project\n");

    let build = fixture.json(&["build", "acme/api", "--sha", SHA]).await;
    let id = build["id"].as_str().unwrap();
    let job = build["jobs"][0]["id"].to_string();
    let listed = fixture.run(&["builds", "acme/api"]).await;
    assert!(text(&listed.stdout).contains(id));
    let queue = fixture.run(&["queue"]).await;
    assert!(text(&queue.stdout).contains("no runner serves this project"));
    let canceled = fixture.json(&["cancel", &job]).await;
    assert_eq!(canceled["state"], "canceled");
    let again = fixture.json(&["retry", id]).await;
    assert_eq!(again["state"], "pending");
    fixture.runner().await;
    let runners = fixture.run(&["runners"]).await;
    assert!(text(&runners.stdout).contains("test-runner"));
    assert_eq!(
        fixture.json(&["artifacts", id]).await,
        serde_json::json!([])
    );
    let shown = fixture.run(&["show", id]).await;
    assert!(text(&shown.stdout).contains("canceled"));
}

#[tokio::test]
async fn show_prints_the_images_and_the_slowest_steps() {
    let fixture = Fixture::logged_in().await;
    let project = fixture.farm.project("acme/api").await;
    let build = fixture.farm.build(&project).await;
    let runner = fixture.runner().await;
    let job = fixture.claim(&runner).await.job.id;
    let steps = (1..=8).map(|number| BuildStep {
        name: format!("[{number}/8] RUN step{number}"),
        duration_ms: number * 1100,
        cached: number == 8,
        failed: false,
    });
    let image = MadeImage {
        reference: Some("r.example/acme/api:v1".to_owned()),
        digest: "sha256:0a1b".to_owned(),
        tags: vec!["v1".to_owned()],
        size_bytes: 20 * 1024,
        details: ImageDetails {
            platform: Some("linux/arm64".parse().unwrap()),
            ..ImageDetails::default()
        },
    };
    let ended = Ended {
        result: ReportedResult::Succeeded,
        message: None,
        trace: None,
        image: Some(image),
        exit_code: None,
        build_steps: steps.collect(),
    };
    let report = Report {
        ended: Some(ended),
        ..Report::default()
    };
    fixture
        .farm
        .farm()
        .report(&runner, job, report)
        .await
        .unwrap();
    let shown = fixture.run(&["show", &build.uuid.to_string()]).await;
    let shown = text(&shown.stdout);
    let image = "image     r.example/acme/api:v1  linux/arm64  20 KiB  sha256:0a1b\n";
    assert!(shown.contains(image), "{shown}");
    let (_, slowest) = shown.split_once("SLOWEST STEPS OF").unwrap();
    let slowest: Vec<&str> = slowest.lines().skip(1).collect();
    assert_eq!(slowest.len(), 5, "{shown}");
    // Cached steps took no time in this build.
    assert!(slowest[0].ends_with("7.700s  [7/8] RUN step7"), "{shown}");
    assert!(slowest[4].ends_with("3.300s  [3/8] RUN step3"), "{shown}");
}

#[tokio::test]
async fn passwords_are_read_from_standard_input_and_never_printed() {
    let fixture = Fixture::logged_in().await;
    fixture.farm.user("ann").await;
    for (arguments, input, code) in [
        (&["password"][..], "open sesame, please\n", 0),
        (&["password"], "open sesame, please\n", 3),
        (&["password"], "not the old one\nquite another one\n", 3),
        (&["password"], "open sesame, please\nquite another one\n", 0),
        (&["password", "--user", "ann"], "too short\n", 3),
        (&["password", "--user", "ann"], "a password of ann", 0),
    ] {
        let mut child = fixture.command(arguments).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        assert_eq!(output.status.code(), Some(code), "{input}: {output:?}");
        let printed = [output.stdout, output.stderr].concat();
        for secret in input.lines() {
            assert!(!text(&printed).contains(secret), "{printed:?}");
        }
    }
    for (user, password) in [("root", "quite another one"), ("ann", "a password of ann")] {
        let signed_in = fixture
            .farm
            .farm()
            .sign_in(user, password, [127, 0, 0, 1].into())
            .await;
        assert_eq!(signed_in.unwrap().0.name.as_str(), user);
    }
}
