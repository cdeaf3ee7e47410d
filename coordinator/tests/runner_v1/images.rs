//! The image that a stock runner pushed, told in the last line of its commands.

use serde_json::json;
use slipway_domain::JobSpec;
use slipway_domain::pipeline::Definition;
use slipway_farm::Content;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{Claim, RunnerApi};

on_both_back_ends!(
    the_last_line_of_a_stock_runners_trace_tells_of_its_image,
    what_is_not_that_line_tells_of_nothing,
    an_image_that_is_reported_counts_before_any_line,
);

const REPOSITORY: &str = "registry.test/acme/api";

/// A claimed job that pushes an image under two tags.
async fn claimed(farm: &TestFarm) -> Claim {
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

/// What the job's last command prints for a digest.
fn line(claim: &Claim, digest: &str) -> String {
    let commands = claim.payload["commands"].as_str().unwrap();
    let last = commands.lines().last().unwrap();
    let words = last.strip_prefix("echo \"").unwrap();
    let words = words.strip_suffix('"').unwrap();
    words
        .replace("$slipway_digest", digest)
        .replace("$slipway_size", "1234")
}

async fn image_of(farm: &TestFarm, claim: &Claim) -> Option<(Content, u64)> {
    let mut made = farm.artifacts(claim.id).await.into_iter();
    made.next()
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

async fn the_last_line_of_a_stock_runners_trace_tells_of_its_image(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    // Sent in pieces and as a whole, as versions from 1.3 on do it, and as a whole alone.
    for has_pieces in [true, false] {
        let claim = claimed(&farm).await;
        let told = line(&claim, &digest("0a"));
        let trace = format!("$ echo \"…\"\n{told}\nBuild succeeded\n");
        if has_pieces {
            let (first, second) = trace.split_at(trace.len() / 2);
            let range = format!("0-{}", first.len());
            claim.patch(&range, first.to_owned()).await.is(202);
            let range = format!("{}-{}", first.len(), trace.len());
            claim.patch(&range, second.to_owned()).await.is(202);
        }
        let end = json!({"state": "success", "trace": trace});
        claim.put(end).await.is(200);
        let made = image_of(&farm, &claim).await;
        assert_eq!(made, Some((image(&digest("0a")), 1234)));
    }
}

async fn what_is_not_that_line_tells_of_nothing(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let other = line(&claimed(&farm).await, &digest("0a"));
    for (state, words) in [
        ("success", "nothing"),
        ("success", "another job's"),
        ("success", "far from the end"),
        ("failed", "right"),
    ] {
        let claim = claimed(&farm).await;
        let right = line(&claim, &digest("0a"));
        let trace = match words {
            "nothing" => "Build succeeded\n".to_owned(),
            "another job's" => other.clone(),
            "far from the end" => format!("{right}\n{}", "and more\n".repeat(10_000)),
            _ => right,
        };
        let end = json!({"state": state, "trace": trace});
        claim.put(end).await.is(200);
        assert_eq!(image_of(&farm, &claim).await, None, "{words}");
        let expected = if state == "success" {
            "succeeded"
        } else {
            state
        };
        assert_eq!(farm.job(claim.id).await.state.name(), expected);
    }
}

async fn an_image_that_is_reported_counts_before_any_line(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = claimed(&farm).await;
    let end = json!({
        "state": "success", "trace": line(&claim, &digest("0a")),
        "image": {
            "reference": format!("{REPOSITORY}:v1"), "tags": ["v1", "latest"],
            "digest": digest("0b"), "size_bytes": 7,
        },
    });
    claim.put(end).await.is(200);
    let made = image_of(&farm, &claim).await;
    assert_eq!(made, Some((image(&digest("0b")), 7)));
}
