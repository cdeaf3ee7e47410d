//! Traces beyond their limit: the head, what is missing, and the tail.
//!
//! See `docs/protocols/runner-v4.md#traces`.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{ApiResponse, Claim};
use crate::cut_trace::{cut, numbered_lines};

on_both_back_ends!(
    trace_beyond_the_limit_keeps_its_beginning_and_its_end,
    trace_at_the_limit_is_whole_and_one_byte_more_is_cut,
    ranges_beyond_the_limit_are_checked_as_before_it,
    long_line_and_split_characters_keep_their_ends,
    limits_of_a_few_bytes_keep_what_fits,
    line_headers_are_removed_from_the_tail,
    secret_across_a_cut_is_never_shown,
    parts_of_an_ended_trace_are_no_orphans,
    erasing_a_job_deletes_its_whole_trace,
    deleting_a_project_deletes_the_ends_of_its_traces,
    missing_parts_of_the_tail_are_reported,
);

async fn farm_with_limit(backend: Backend, limit: usize) -> TestFarm {
    TestFarm::start_with(backend, |config| {
        config.limits.max_trace_bytes = limit as u64;
    })
    .await
}

/// Sends a trace in pieces, each of which is accepted.
async fn send(claim: &Claim, from: usize, text: &[u8], piece: usize) {
    let mut at = from;
    for bytes in text.chunks(piece) {
        let range = format!("{at}-{}", at + bytes.len() - 1);
        let response = claim.patch(&range, bytes.to_vec()).await;
        at += bytes.len();
        let response = response.has_job_status(202, "running");
        assert_eq!(response.header("range"), Some(format!("0-{at}").as_str()));
    }
}

async fn native(farm: &TestFarm, method: Method, path: &str) -> ApiResponse {
    let request = farm.http.request(method, farm.url(path));
    ApiResponse::to(request.bearer_auth(&farm.admin_token)).await
}

async fn native_job(farm: &TestFarm, claim: &Claim) -> Value {
    let path = format!("/v1/jobs/{}", claim.id);
    native(farm, Method::GET, &path).await.is(200).json()
}

/// What a runner reports at the end of a job with this trace.
fn success(text: &[u8]) -> Value {
    let checksum = format!("crc32:{:08x}", crc32fast::hash(text));
    json!({"state": "success", "output": {"checksum": checksum, "bytesize": text.len()}})
}

fn as_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn trace_beyond_the_limit_keeps_its_beginning_and_its_end(backend: Backend) {
    let farm = farm_with_limit(backend, 400).await;
    let text = numbered_lines(200);
    let expected = cut(text.as_bytes(), 400);
    for piece in [10_000, 350, 97, 13] {
        let claim = Claim::of_new_build(&farm).await;
        send(&claim, 0, text.as_bytes(), piece).await;
        let running = farm.trace(claim.id).await;
        assert_eq!(as_text(&running), as_text(&expected.running), "{piece}");
        claim.put(success(text.as_bytes())).await.is(200);
        let ended = farm.trace(claim.id).await;
        assert_eq!(as_text(&ended), as_text(&expected.ended), "{piece}");
        let job = native_job(&farm, &claim).await;
        assert_eq!(job["trace_missing_bytes"], expected.missing, "{piece}");
        // All of it arrived.
        assert_eq!(job["trace_incomplete"], false);
        let path = format!("/v1/builds/{}", job["build"].as_str().unwrap());
        let build = native(&farm, Method::GET, &path).await.is(200).json();
        assert_eq!(build["jobs"][0]["trace_missing_bytes"], expected.missing);
        // Ranges over the borders between the parts.
        let notice = expected.running.len();
        for range in [295..305, notice - 3..notice + 3, notice + 20..ended.len()] {
            let path = format!("/v1/jobs/{}/trace", claim.id);
            let request = farm.http.get(farm.url(&path));
            let header = format!("bytes={}-{}", range.start, range.end - 1);
            let request = request.header("range", header);
            let part = ApiResponse::to(request.bearer_auth(&farm.admin_token)).await;
            assert_eq!(as_text(&part.is(206).body), as_text(&ended[range]));
        }
    }
}

async fn trace_at_the_limit_is_whole_and_one_byte_more_is_cut(backend: Backend) {
    let farm = farm_with_limit(backend, 400).await;
    let text = numbered_lines(200);
    for (length, piece) in [(300, 7), (301, 301), (400, 400), (400, 30), (301, 100)] {
        let text = &text.as_bytes()[..length];
        let claim = Claim::of_new_build(&farm).await;
        send(&claim, 0, text, piece).await;
        assert_eq!(farm.trace(claim.id).await, text[..300]);
        claim.put(success(text)).await.is(200);
        assert_eq!(as_text(&farm.trace(claim.id).await), as_text(text));
        let job = native_job(&farm, &claim).await;
        assert_eq!(job["trace_missing_bytes"], 0);
    }
    for piece in [401, 400, 1] {
        let text = &text.as_bytes()[..401];
        let claim = Claim::of_new_build(&farm).await;
        send(&claim, 0, text, piece).await;
        claim.put(success(text)).await.is(200);
        let expected = cut(text, 400);
        assert_eq!(
            as_text(&farm.trace(claim.id).await),
            as_text(&expected.ended)
        );
    }
}

async fn ranges_beyond_the_limit_are_checked_as_before_it(backend: Backend) {
    let farm = farm_with_limit(backend, 400).await;
    let text = numbered_lines(100);
    let text = text.as_bytes();
    let claim = Claim::of_new_build(&farm).await;
    send(&claim, 0, &text[..700], 100).await;
    // A repeated range, an overlapping one, and one after a gap.
    for range in ["600-699", "650-749", "800-899", "0-99"] {
        let response = claim.patch(range, text[..100].to_vec()).await.is(416);
        assert_eq!(response.header("range"), Some("0-700"), "{range}");
    }
    send(&claim, 700, &text[700..], 100).await;
    claim.put(success(text)).await.is(200);
    let trace = farm.trace(claim.id).await;
    assert_eq!(as_text(&trace), as_text(&cut(text, 400).ended));
    claim.patch("700-701", "no").await.fails_as_forbidden();
}

async fn long_line_and_split_characters_keep_their_ends(backend: Backend) {
    let farm = farm_with_limit(backend, 400).await;
    for (end, piece) in [("", 5000), ("", 99), ("\n", 99)] {
        let text = format!("{}{end}", "0123456789".repeat(200));
        let claim = Claim::of_new_build(&farm).await;
        send(&claim, 0, text.as_bytes(), piece).await;
        claim.succeed().await;
        let expected = cut(text.as_bytes(), 400);
        assert_eq!(
            as_text(&farm.trace(claim.id).await),
            as_text(&expected.ended)
        );
    }
    // 300 and the last 100 bytes are within characters of three bytes.
    let text = format!("a{}", "€".repeat(300));
    for piece in [5000, 300, 301, 7] {
        let claim = Claim::of_new_build(&farm).await;
        send(&claim, 0, text.as_bytes(), piece).await;
        claim.succeed().await;
        let trace = String::from_utf8(farm.trace(claim.id).await).unwrap();
        let (head, tail) = trace.split_once("\n[the trace").unwrap();
        assert_eq!(head, format!("a{}", "€".repeat(100)));
        let (notice, tail) = tail.split_once("]\n").unwrap();
        assert!(notice.ends_with(": 501 bytes are missing here"), "{notice}");
        assert_eq!(tail, "€".repeat(33));
    }
}

async fn limits_of_a_few_bytes_keep_what_fits(backend: Backend) {
    for limit in [0, 1, 4, 9] {
        let farm = farm_with_limit(backend, limit).await;
        for piece in [1, 3, 40] {
            let claim = Claim::of_new_build(&farm).await;
            let text = "abcdefghij\nend";
            send(&claim, 0, text.as_bytes(), piece).await;
            claim.put(success(text.as_bytes())).await.is(200);
            let trace = as_text(&farm.trace(claim.id).await);
            let kept = limit / 4;
            let mut head = text[..limit - kept].to_owned();
            if limit > 0 {
                head.push('\n');
            }
            let (tail, missing) = (&text[text.len() - kept..], text.len() - limit);
            let end = format!(": {missing} bytes are missing here]\n{tail}");
            assert!(trace.starts_with(&format!("{head}[the trace")), "{trace}");
            assert!(trace.ends_with(&end), "{trace}");
        }
    }
}

async fn line_headers_are_removed_from_the_tail(backend: Backend) {
    let farm = farm_with_limit(backend, 4000).await;
    let header = "2026-01-02T03:04:05.123456Z 00O ";
    let text: String = (0..300)
        .map(|number| format!("{header}line {number}\n"))
        .collect();
    for piece in [100_000, 901, 89] {
        let claim = Claim::of_new_build(&farm).await;
        send(&claim, 0, text.as_bytes(), piece).await;
        claim.put(success(text.as_bytes())).await.is(200);
        let trace = as_text(&farm.trace(claim.id).await);
        assert!(!trace.contains("2026-01"), "{trace}");
        let (head, rest) = trace.split_once("[the trace").unwrap();
        let (_, tail) = rest.split_once("]\n").unwrap();
        assert!(head.starts_with("line 0\nline 1\n"), "{trace}");
        assert!(tail.starts_with("line "), "{trace}");
        assert!(tail.ends_with("\nline 298\nline 299\n"), "{trace}");
        assert!(tail.len() <= 1001, "{trace}");
        let missing = native_job(&farm, &claim).await["trace_missing_bytes"].clone();
        assert!(
            trace.contains(&format!(": {missing} bytes are missing here]")),
            "{trace}"
        );
    }
}

async fn secret_across_a_cut_is_never_shown(backend: Backend) {
    let farm = farm_with_limit(backend, 400).await;
    for (shift, piece) in [(1, 5000), (9, 50), (20, 17), (30, 5000), (38, 11)] {
        let claim = Claim::of_new_build(&farm).await;
        // Across the end of the head, and across the start of the tail.
        let length = 1000;
        let mut text = "-".repeat(300 - shift);
        text.push_str(&claim.token);
        text.push_str(&"-".repeat(length - 100 - shift - text.len()));
        text.push_str(&claim.token);
        text.push_str(&"-".repeat(length - text.len()));
        send(&claim, 0, text.as_bytes(), piece).await;
        let running = as_text(&farm.trace(claim.id).await);
        claim.put(success(text.as_bytes())).await.is(200);
        let ended = as_text(&farm.trace(claim.id).await);
        assert!(ended.starts_with(&running), "{ended}");
        for part in claim.token.as_bytes().windows(12) {
            let part = as_text(part);
            assert!(!ended.contains(&part), "{shift} {piece} {part}: {ended}");
        }
        assert!(
            ended.ends_with(&"-".repeat(100 + shift - claim.token.len())),
            "{ended}"
        );
    }
}

async fn parts_of_an_ended_trace_are_no_orphans(backend: Backend) {
    let farm = farm_with_limit(backend, 400).await;
    let text = numbered_lines(200);
    let claim = Claim::of_new_build(&farm).await;
    send(&claim, 0, text.as_bytes(), 97).await;
    claim.put(success(text.as_bytes())).await.is(200);
    let ended = farm.trace(claim.id).await;
    farm.advance(3 * 3600);
    assert_eq!(farm.farm().delete_orphans().await.unwrap(), 0);
    assert_eq!(as_text(&farm.trace(claim.id).await), as_text(&ended));
}

async fn erasing_a_job_deletes_its_whole_trace(backend: Backend) {
    let farm = farm_with_limit(backend, 400).await;
    let claim = Claim::of_new_build(&farm).await;
    send(&claim, 0, numbered_lines(500).as_bytes(), 70).await;
    // Nothing but the head and the tail is stored.
    assert!(farm.stored_blobs() <= 8, "{}", farm.stored_blobs());
    claim.succeed().await;
    let path = format!("/v1/jobs/{}/erase", claim.id);
    native(&farm, Method::POST, &path).await.is(200);
    assert_eq!(farm.stored_blobs(), 0);
    assert!(farm.trace(claim.id).await.is_empty());
    assert_eq!(native_job(&farm, &claim).await["trace_missing_bytes"], 0);
}

async fn deleting_a_project_deletes_the_ends_of_its_traces(backend: Backend) {
    let farm = farm_with_limit(backend, 400).await;
    let claim = Claim::of_new_build(&farm).await;
    send(&claim, 0, numbered_lines(500).as_bytes(), 70).await;
    claim.succeed().await;
    let deleted = native(&farm, Method::DELETE, "/v1/projects/acme/api").await;
    assert!(
        deleted.status == 204 || deleted.status == 200,
        "{deleted:?}"
    );
    assert_eq!(farm.stored_blobs(), 0);
}

async fn missing_parts_of_the_tail_are_reported(backend: Backend) {
    let farm = farm_with_limit(backend, 400).await;
    let claim = Claim::of_new_build(&farm).await;
    let text = numbered_lines(100);
    send(&claim, 0, &text.as_bytes()[..900], 70).await;
    for file in farm.blob_files() {
        std::fs::remove_file(file).unwrap();
    }
    // The runner does not wait for them.
    send(&claim, 900, &text.as_bytes()[900..], 70).await;
    claim.put(success(text.as_bytes())).await.is(200);
    let path = format!("/v1/jobs/{}/trace", claim.id);
    native(&farm, Method::GET, &path).await.is(503);
}
