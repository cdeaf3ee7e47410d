//! Followed traces that exceed their limit: every reader gets the same text.
//!
//! See `docs/protocols/harmont.md#live-log-stream`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::cut_trace::{cut, numbered_lines};
use crate::fixture::{ApiResponse, Fixture, RunningJob};
use crate::log_stream::{Frame, joined_text};

on_both_back_ends!(
    followers_see_the_head_while_the_job_runs_and_then_the_tail,
    all_apis_show_the_same_cut_trace,
);

const LIMIT: usize = 400;

async fn fixture(backend: Backend) -> Fixture {
    Fixture::with(backend, |config| {
        config.limits.max_trace_bytes = LIMIT as u64;
    })
    .await
}

async fn append(job: &mut RunningJob, text: &str, piece: usize) {
    for bytes in text.as_bytes().chunks(piece) {
        job.append(bytes).await;
    }
}

async fn followers_see_the_head_while_the_job_runs_and_then_the_tail(backend: Backend) {
    let fixture = fixture(backend).await;
    let text = numbered_lines(150);
    let expected = cut(text.as_bytes(), LIMIT);
    let (running, ended) = (
        String::from_utf8(expected.running).unwrap(),
        String::from_utf8(expected.ended).unwrap(),
    );
    for piece in [10_000, 61] {
        let mut job = fixture.start_job().await;
        let mut early = fixture.follow(&job).await;
        early.history().await;
        append(&mut job, &text, piece).await;
        let mut seen = String::new();
        while seen.len() < running.len() {
            let chunk = early.next_chunk().await;
            seen.push_str(chunk["content"].as_str().unwrap());
        }
        assert_eq!(seen, running, "{piece}");
        let mut late = fixture.follow(&job).await;
        let history = late.history().await;
        assert_eq!(joined_text(&history, 0), running, "{piece}");
        job.succeed().await;
        for mut reader in [early, late] {
            let mut seen = running.clone();
            while let Some(Frame::Chunk(_, chunk)) = reader.next_frame().await {
                seen.push_str(chunk["content"].as_str().unwrap());
            }
            assert_eq!(seen, ended, "{piece}");
        }
        let all = fixture.follow(&job).await.read_to_end().await;
        assert_eq!(joined_text(&all, 0), ended, "{piece}");
    }
}

async fn all_apis_show_the_same_cut_trace(backend: Backend) {
    let fixture = fixture(backend).await;
    let mut job = fixture.start_job().await;
    let get = |path: String| {
        let request = fixture.farm.http.get(fixture.farm.url(&path));
        request.bearer_auth(&fixture.farm.admin_token)
    };
    let native = get(format!("/v1/jobs/{}/trace/stream", job.claim.id));
    let conveyor = get(format!("/logs/{}", job.build.uuid));
    let text = numbered_lines(150);
    let ended = String::from_utf8(cut(text.as_bytes(), LIMIT).ended).unwrap();
    let writer = async {
        append(&mut job, &text, 47).await;
        job.succeed().await;
        job.claim.id
    };
    let (native, conveyor, id) =
        tokio::join!(Fixture::send(native), Fixture::send(conveyor), writer);
    assert_eq!(String::from_utf8_lossy(&conveyor.is(200).body), ended);
    assert_eq!(streamed(&native.is(200)), ended);
    for path in [
        format!("/v1/jobs/{id}/trace"),
        format!("/api/v3/projects/1/builds/{id}/trace"),
    ] {
        let stored = Fixture::send(get(path)).await.is(200);
        assert_eq!(String::from_utf8_lossy(&stored.body), ended);
    }
}

/// The text of a stream of the native API.
fn streamed(response: &ApiResponse) -> String {
    let events = std::str::from_utf8(&response.body).unwrap().split("\n\n");
    let chunks = events.filter(|event| event.contains("event: chunk"));
    let bytes = chunks.flat_map(|event| {
        let (_, data) = event.split_once("data: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        STANDARD.decode(data["base64"].as_str().unwrap()).unwrap()
    });
    String::from_utf8(bytes.collect()).unwrap()
}
