//! Reading traces.
//!
//! See `docs/protocols/gitlab-builds-v3.md#trace`.

use serde_json::json;
use slipway_domain::JobId;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::{build_path, send};
use crate::fixture::Fixture;

on_both_back_ends!(
    trace_is_returned_as_raw_bytes,
    missing_trace_returns_404,
    job_token_is_masked_in_the_trace,
);

async fn trace_is_returned_as_raw_bytes(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let claim = fixture.running_build().await;
    let bytes: &[u8] = b"\x1b[32mgreen\x1b[0m\r\n\xff\xfe";
    claim.patch("0-18", bytes.to_vec()).await.is(202);
    let path = build_path(claim.id, "/trace");
    let expected = format!("infile; filename=\"{}.log\"", claim.id);
    // While the build runs, and after it has finished.
    for _ in 0..2 {
        let response = fixture.reporter.get(&path).await.is(200);
        assert_eq!(response.header("content-type"), Some("text/plain"));
        let disposition = response.header("content-disposition");
        assert_eq!(disposition, Some(expected.as_str()));
        assert_eq!(response.body, bytes);
        claim.put(json!({"state": "success"})).await;
    }
}

async fn missing_trace_returns_404(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let claim = fixture.finished_build("success").await;
    for id in [claim.id, JobId(424_242)] {
        let response = fixture.developer.get(&build_path(id, "/trace")).await;
        response.fails_with(404, "404 Not Found");
    }
}

async fn job_token_is_masked_in_the_trace(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let claim = fixture.running_build().await;
    let token = claim.token.as_str();
    let text = format!("before {token} after {token}");
    // The chunks end inside the token.
    let mut offset = 0;
    for chunk in text.as_bytes().chunks(10) {
        let range = format!("{offset}-{}", offset + chunk.len());
        claim.patch(&range, chunk.to_vec()).await.is(202);
        offset += chunk.len();
    }
    let masked = text.replace(token, &"x".repeat(token.len()));
    assert_ne!(masked, text);
    let path = build_path(claim.id, "/trace");
    assert_eq!(fixture.developer.get(&path).await.body, masked);
    // The native API masks whole traces and ranges, too.
    let native = |range: &'static str| {
        let url = fixture.farm.url(&format!("/v1/jobs/{}/trace", claim.id));
        let request = fixture
            .farm
            .http
            .get(url)
            .bearer_auth(&fixture.developer.token);
        send(request.header("Range", range))
    };
    assert_eq!(native("bytes=0-").await.is(206).body, masked);
    assert_eq!(native("bytes=15-30").await.is(206).body, masked[15..=30]);
    assert_eq!(native("bytes=-5").await.is(206).body, "xxxxx");
    // The stored bytes are the ones that were sent: the checksum of the runner matches.
    let sum = json!({"length": text.len(), "crc32": crc32fast::hash(text.as_bytes())});
    let end = json!({"state": "success", "trace_sum": sum});
    claim.put(end).await.is(200);
}
