//! The trace line in which the commands of an image build report the pushed image.
//!
//! See `docs/protocols/runner-v1.md#pushed-images`.

use serde_json::json;
use slipway_domain::JobSpec;
use slipway_domain::pipeline::Definition;
use slipway_farm::Content;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{Claim, RunnerApi};

on_both_back_ends!(
    image_line_in_the_trace_is_recorded_as_an_artifact,
    other_trace_lines_and_failed_jobs_record_no_image,
    image_in_the_final_update_takes_precedence_over_the_trace,
    image_line_is_found_beyond_the_limit_of_the_trace,
);

const REPOSITORY: &str = "registry.test/acme/api";

/// Claims a job that pushes an image under two tags.
async fn claim_image_build(farm: &TestFarm) -> Claim {
    let project = farm.project("acme/api").await;
    let mut definition = Definition::single_image();
    if let JobSpec::ImageBuild(image) = &mut definition.jobs[0].spec {
        image.repository = REPOSITORY.parse().ok();
        image.tags = vec!["v1".to_owned(), "latest".to_owned()];
    }
    farm.build_defined(&project, definition).await;
    RunnerApi::new(farm)
        .register_runner(farm)
        .await
        .claim()
        .await
}

fn digest(byte: &str) -> String {
    format!("sha256:{}", byte.repeat(32))
}

/// The line that the job's last command prints for a digest.
fn image_line(claim: &Claim, digest: &str) -> String {
    let commands = claim.payload["commands"].as_str().unwrap();
    let last = commands.lines().last().unwrap();
    let words = last.strip_prefix("echo \"").unwrap();
    let words = words.strip_suffix('"').unwrap();
    words
        .replace("$slipway_digest", digest)
        .replace("$slipway_size", "1234")
}

async fn recorded_image(farm: &TestFarm, claim: &Claim) -> Option<(Content, u64)> {
    let mut artifacts = farm.artifacts(claim.id).await.into_iter();
    artifacts
        .next()
        .map(|artifact| (artifact.content, artifact.size_bytes))
}

fn image(digest: &str) -> Content {
    Content::Image {
        details: Default::default(),
        reference: format!("{REPOSITORY}:v1"),
        digest: digest.to_owned(),
        tags: vec!["v1".to_owned(), "latest".to_owned()],
    }
}

async fn image_line_in_the_trace_is_recorded_as_an_artifact(backend: Backend) {
    let farm = TestFarm::start_with(backend, |config| {
        config.registry = Some("registry.test".to_owned());
    })
    .await;
    // Versions from 1.3 on send chunks and then the whole trace; older ones send only the whole.
    for sends_chunks in [true, false] {
        let claim = claim_image_build(&farm).await;
        let line = image_line(&claim, &digest("0a"));
        let trace = format!("$ echo \"…\"\n{line}\nBuild succeeded\n");
        if sends_chunks {
            let (first, second) = trace.split_at(trace.len() / 2);
            let range = format!("0-{}", first.len());
            claim.patch(&range, first.to_owned()).await.is(202);
            let range = format!("{}-{}", first.len(), trace.len());
            claim.patch(&range, second.to_owned()).await.is(202);
        }
        let end = json!({"state": "success", "trace": trace});
        claim.put(end).await.is(200);
        let recorded = recorded_image(&farm, &claim).await;
        assert_eq!(recorded, Some((image(&digest("0a")), 1234)));
    }
}

async fn other_trace_lines_and_failed_jobs_record_no_image(backend: Backend) {
    let farm = TestFarm::start_with(backend, |config| {
        config.registry = Some("registry.test".to_owned());
    })
    .await;
    let other = image_line(&claim_image_build(&farm).await, &digest("0a"));
    for (state, content) in [
        ("success", "nothing"),
        ("success", "another job's"),
        ("success", "far from the end"),
        ("failed", "right"),
    ] {
        let claim = claim_image_build(&farm).await;
        let right = image_line(&claim, &digest("0a"));
        let trace = match content {
            "nothing" => "Build succeeded\n".to_owned(),
            "another job's" => other.clone(),
            "far from the end" => format!("{right}\n{}", "and more\n".repeat(10_000)),
            _ => right,
        };
        let end = json!({"state": state, "trace": trace});
        claim.put(end).await.is(200);
        assert_eq!(recorded_image(&farm, &claim).await, None, "{content}");
        let expected = if state == "success" {
            "succeeded"
        } else {
            state
        };
        assert_eq!(farm.job(claim.id).await.state.name(), expected);
    }
}

async fn image_in_the_final_update_takes_precedence_over_the_trace(backend: Backend) {
    let farm = TestFarm::start_with(backend, |config| {
        config.registry = Some("registry.test".to_owned());
    })
    .await;
    let claim = claim_image_build(&farm).await;
    let end = json!({
        "state": "success", "trace": image_line(&claim, &digest("0a")),
        "image": {
            "reference": format!("{REPOSITORY}:v1"), "tags": ["v1", "latest"],
            "digest": digest("0b"), "size_bytes": 7,
        },
    });
    claim.put(end).await.is(200);
    let recorded = recorded_image(&farm, &claim).await;
    assert_eq!(recorded, Some((image(&digest("0b")), 7)));
}

async fn image_line_is_found_beyond_the_limit_of_the_trace(backend: Backend) {
    let farm = TestFarm::start_with(backend, |config| {
        config.registry = Some("registry.test".to_owned());
        config.limits.max_trace_bytes = 4000;
    })
    .await;
    let claim = claim_image_build(&farm).await;
    let line = image_line(&claim, &digest("0a"));
    let trace = format!("{}{line}\nBuild succeeded\n", "more\n".repeat(2000));
    let mut at = 0;
    for bytes in trace.as_bytes().chunks(3000) {
        let range = format!("{at}-{}", at + bytes.len());
        claim.patch(&range, bytes.to_vec()).await.is(202);
        at += bytes.len();
    }
    claim.put(json!({"state": "success"})).await.is(200);
    let recorded = recorded_image(&farm, &claim).await;
    assert_eq!(recorded, Some((image(&digest("0a")), 1234)));
}
