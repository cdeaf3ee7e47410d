//! Traces of gitlab-runner 18.7 and later, which begins each line with a header.
//!
//! See `docs/protocols/runner-v4.md#line-headers`.

use reqwest::Method;
use serde_json::json;
use slipway_domain::JobSpec;
use slipway_domain::pipeline::Definition;
use slipway_farm::Content;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{ApiResponse, Claim, RunnerApi};

on_both_back_ends!(
    headers_are_not_part_of_the_trace_wherever_chunks_end,
    ranges_of_a_trace_count_its_text,
    image_line_with_a_header_is_recorded_as_an_artifact,
    line_that_resembles_a_header_is_kept_in_other_traces,
);

const RAW: &str = "2026-01-02T03:04:05.123456Z 00O Running with gitlab-runner 18.11.4\n\
    2026-01-02T03:04:05.223456Z 00O section_start:1:prepare\r\u{1b}[0K\n\
    2026-01-02T03:04:05.323456Z 00O+Preparing\n\
    2026-01-02T03:04:06.123456Z 01E error: ü\n\
    2026-01-02T03:04:06.123456Z 01O 10%\r\n\
    2026-01-02T03:04:07.123456Z 01O+100%\r\n\
    2026-01-02T03:04:08.123456Z 01O \n\
    2026-01-02T03:04:09.123456789Z ffO 2026-01-02T03:04:05.123456Z 00O quoted\n\
    a notice\n\
    2026-01-02T03:04:10.123456Z 00O end\n";

const TEXT: &str = "Running with gitlab-runner 18.11.4\n\
    section_start:1:prepare\r\u{1b}[0KPreparing\n\
    error: ü\n10%\r100%\r\n\n\
    2026-01-02T03:04:05.123456Z 00O quoted\n\
    a notice\nend\n";

/// Sends `raw` in chunks of `size` bytes.
async fn send(claim: &Claim, raw: &str, size: usize) {
    let mut start = 0;
    for chunk in raw.as_bytes().chunks(size) {
        let end = start + chunk.len();
        let range = format!("{start}-{}", end - 1);
        let response = claim.patch(&range, chunk.to_vec()).await.is(202);
        assert_eq!(response.header("range").unwrap(), format!("0-{end}"));
        start = end;
    }
}

/// Reports success with the length and checksum of what was sent.
async fn succeed(claim: &Claim, raw: &str) {
    let checksum = format!("crc32:{:08x}", crc32fast::hash(raw.as_bytes()));
    let output = json!({"checksum": checksum, "bytesize": raw.len()});
    let end = json!({"state": "success", "output": output});
    claim.put(end).await.is(200);
}

async fn native_trace(farm: &TestFarm, claim: &Claim, range: Option<&str>) -> ApiResponse {
    let url = farm.url(&format!("/v1/jobs/{}/trace", claim.id));
    let request = farm.http.request(Method::GET, url);
    let request = request.bearer_auth(&farm.admin_token);
    ApiResponse::to(match range {
        Some(range) => request.header("Range", range),
        None => request,
    })
    .await
}

async fn headers_are_not_part_of_the_trace_wherever_chunks_end(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    for size in [RAW.len(), 5, 31, 33, 68] {
        let claim = Claim::of_new_build(&farm).await;
        send(&claim, RAW, size).await;
        // A line break after which nothing is expected is shown at once.
        let shown = String::from_utf8(farm.trace(claim.id).await).unwrap();
        assert_eq!(shown, TEXT, "{size}");
        let again = claim.patch("0-1", "20").await.is(416);
        assert_eq!(again.header("range").unwrap(), format!("0-{}", RAW.len()));
        succeed(&claim, RAW).await;
        let shown = String::from_utf8(farm.trace(claim.id).await).unwrap();
        assert_eq!(shown, TEXT, "{size}");
        let details = farm.farm().job_details(claim.id).await;
        assert!(!details.unwrap().trace_incomplete);
    }
}

async fn ranges_of_a_trace_count_its_text(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    send(&claim, RAW, 40).await;
    succeed(&claim, RAW).await;
    assert_eq!(native_trace(&farm, &claim, None).await.is(200).body, TEXT);
    let size = TEXT.len();
    for from in [0, 1, 34, 35, 60, size - 1] {
        let part = native_trace(&farm, &claim, Some(&format!("bytes={from}-"))).await;
        let part = part.is(206);
        assert_eq!(part.body, TEXT.as_bytes()[from..]);
        let expected = format!("bytes {from}-{}/{size}", size - 1);
        assert_eq!(part.header("content-range"), Some(expected.as_str()));
    }
    native_trace(&farm, &claim, Some(&format!("bytes={size}-")))
        .await
        .is(416);
}

async fn image_line_with_a_header_is_recorded_as_an_artifact(backend: Backend) {
    let farm = TestFarm::start_with(backend, |config| {
        config.registry = Some("registry.test".to_owned());
    })
    .await;
    let project = farm.project("acme/api").await;
    let mut definition = Definition::single_image();
    if let JobSpec::ImageBuild(image) = &mut definition.jobs[0].spec {
        image.repository = "registry.test/acme/api".parse().ok();
        image.tags = vec!["v1".to_owned()];
    }
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    for size in [7, 4096] {
        farm.build_defined(&project, definition.clone()).await;
        let claim = runner.claim().await;
        let script = claim.payload["steps"][0]["script"].as_array().unwrap();
        let last = script.last().unwrap().as_str().unwrap();
        let words = last.strip_prefix("echo \"").unwrap();
        let digest = format!("sha256:{}", "0a".repeat(32));
        let line = words.trim_end_matches('"');
        let line = line.replace("$slipway_digest", &digest);
        let line = line.replace("$slipway_size", "1234");
        let raw = format!(
            "2026-01-02T03:04:05.123456Z 00O Running\n\
             2026-01-02T03:04:06.123456Z 01O {line}\n\
             2026-01-02T03:04:07.123456Z 00O Job succeeded\n"
        );
        send(&claim, &raw, size).await;
        succeed(&claim, &raw).await;
        let made = farm.artifacts(claim.id).await;
        let Content::Image {
            digest: recorded, ..
        } = &made[0].content
        else {
            panic!("{made:?}");
        };
        assert_eq!((recorded, made[0].size_bytes), (&digest, 1234));
    }
}

async fn line_that_resembles_a_header_is_kept_in_other_traces(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let text = "Running with gitlab-runner 14.7.1\n2026-01-02T03:04:05.123456Z 00O quoted\n";
    let claim = Claim::of_new_build(&farm).await;
    send(&claim, text, 50).await;
    succeed(&claim, text).await;
    assert_eq!(farm.trace(claim.id).await, text.as_bytes());
    // A trace may consist of what looks like the beginning of a header.
    let claim = Claim::of_new_build(&farm).await;
    send(&claim, "2026-", 5).await;
    succeed(&claim, "2026-").await;
    assert_eq!(farm.trace(claim.id).await, b"2026-");
}
