//! Checks 32 to 39: artifacts and traces, as files.

use reqwest::Method;
use serde_json::json;
use slipway_domain::JobId;
use slipway_testkit::farm::SHA;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::support::{ApiResponse, P, World, build_path, send};

on_both_back_ends!(
    check_32_artifacts_come_as_they_went,
    check_32_a_part_of_the_artifacts_may_be_asked_for,
    check_33_what_is_not_there_or_has_expired_is_404,
    check_34_the_newest_that_succeeded_on_a_branch_counts,
    check_35_a_branch_may_have_slashes,
    check_36_an_unknown_branch_or_job_is_404_and_no_job_400,
    check_37_a_trace_comes_as_it_is,
    check_38_no_trace_is_404,
    check_39_the_builds_token_is_not_shown,
);

#[track_caller]
fn is_file(answer: ApiResponse, content: &[u8]) {
    let answer = answer.is(200);
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("content-disposition", "attachment; filename=artifacts.zip"),
        ("content-transfer-encoding", "binary"),
        ("content-length", &content.len().to_string()),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert!(answer.body == content);
}

async fn check_32_artifacts_come_as_they_went(backend: Backend) {
    let world = World::start(backend).await;
    let claim = world.running().await;
    // More than one buffer of anything on its way.
    let content: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let uploaded = claim.upload("", "artifacts.zip", &content).await;
    uploaded.is(201);
    let path = build_path(claim.id, "/artifacts");
    is_file(world.reporter.get(&path).await, &content);
    let head = send(world.reporter.request(Method::HEAD, &path))
        .await
        .is(200);
    assert_eq!(head.header("content-length"), Some("300000"));
    assert!(head.body.is_empty());
}

async fn check_32_a_part_of_the_artifacts_may_be_asked_for(backend: Backend) {
    let world = World::start(backend).await;
    let claim = world.rich().await;
    let path = build_path(claim.id, "/artifacts");
    let part = async |range: &str| {
        let request = world.developer.request(Method::GET, &path);
        send(request.header("Range", range)).await
    };
    for (range, which, body) in [
        ("bytes=0-1", "bytes 0-1/6", "PK"),
        ("bytes=3-", "bytes 3-5/6", "zip"),
        ("bytes=-1", "bytes 5-5/6", "p"),
        ("bytes=1-99", "bytes 1-5/6", "K zip"),
    ] {
        let answer = part(range).await.is(206);
        assert_eq!(answer.header("content-range"), Some(which), "{range}");
        let length = body.len().to_string();
        assert_eq!(answer.header("content-length"), Some(length.as_str()));
        assert_eq!(answer.body, body, "{range}");
    }
    for range in ["bytes=0-1,3-4", "lines=1-2", "bytes=x"] {
        is_file(part(range).await, b"PK zip");
    }
    let answer = part("bytes=6-").await;
    let answer = answer.is_error(416, "416 Range Not Satisfiable");
    assert_eq!(answer.header("content-range"), Some("bytes */6"));
}

async fn check_33_what_is_not_there_or_has_expired_is_404(backend: Backend) {
    let world = World::start(backend).await;
    let claim = world.ended("success").await;
    let answer = world
        .developer
        .get(&build_path(claim.id, "/artifacts"))
        .await;
    answer.is_error(404, "404 Not Found");
    let claim = world.running().await;
    let uploaded = claim
        .upload("expire_in=1+day", "artifacts.zip", b"PK")
        .await;
    uploaded.is(201);
    let path = build_path(claim.id, "/artifacts");
    world.farm.advance(86_400 - 60);
    is_file(world.developer.get(&path).await, b"PK");
    // Nobody has removed it yet.
    world.farm.advance(60);
    world
        .developer
        .get(&path)
        .await
        .is_error(404, "404 Not Found");
    let build = world.developer.get(&build_path(claim.id, "")).await.json();
    assert_eq!(build["artifacts_file"], json!(null));
}

/// Runs the build `id`, which ends so, with an archive of this content.
async fn run(world: &World, id: JobId, content: &str, state: &str) {
    let claim = world.runner().await.claim().await;
    assert_eq!(claim.id, id);
    let uploaded = claim.upload("", "artifacts.zip", content.as_bytes()).await;
    uploaded.is(201);
    claim.put(json!({ "state": state })).await.is(200);
}

async fn check_34_the_newest_that_succeeded_on_a_branch_counts(backend: Backend) {
    let world = World::start(backend).await;
    for (git_ref, content, state) in [
        ("master", "old", "success"),
        ("master", "new", "success"),
        ("master", "broken", "failed"),
        ("other", "elsewhere", "success"),
    ] {
        let id = world.build_on(git_ref, SHA).await;
        run(&world, id, content, state).await;
    }
    let open = world.pending().await;
    let path = format!("{P}/builds/artifacts/master/download?job=unit");
    is_file(world.reporter.get(&path).await, b"new");
    let answer = world.guest.get(&path).await;
    answer.is_error(403, "403 Forbidden");
    // Among the attempts of one name the latest counts.
    world.farm.cancel(open).await;
    let id = world.build_on("tried", SHA).await;
    run(&world, id, "first", "failed").await;
    let retried = world.developer.post(&build_path(id, "/retry")).await;
    let again = JobId(retried.is(201).json()["id"].as_i64().unwrap());
    run(&world, again, "second", "success").await;
    let path = format!("{P}/builds/artifacts/tried/download?job=unit");
    is_file(world.reporter.get(&path).await, b"second");
}

async fn check_35_a_branch_may_have_slashes(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.build_on("feature/x", SHA).await;
    run(&world, id, "slashed", "success").await;
    for name in ["feature/x", "feature%2Fx"] {
        for suffix in ["", ".json"] {
            let path = format!("{P}/builds/artifacts/{name}/download{suffix}?job=unit");
            is_file(world.developer.get(&path).await, b"slashed");
        }
    }
}

async fn check_36_an_unknown_branch_or_job_is_404_and_no_job_400(backend: Backend) {
    let world = World::start(backend).await;
    let claim = world.ended("success").await;
    assert_eq!(world.farm.job(claim.id).await.state.name(), "succeeded");
    let path = |name: &str| format!("{P}/builds/artifacts/{name}/download");
    // The last has no archive.
    for unknown in [
        "none?job=unit",
        "master?job=none",
        "a..b?job=unit",
        "master?job=unit",
    ] {
        let (name, query) = unknown.split_once('?').unwrap();
        let answer = world
            .developer
            .get(&format!("{}?{query}", path(name)))
            .await;
        answer.is_error(404, "404 Not found");
    }
    let answer = world.developer.get(&path("master")).await;
    answer.errs(400, "job is missing");
}

async fn check_37_a_trace_comes_as_it_is(backend: Backend) {
    let world = World::start(backend).await;
    let claim = world.running().await;
    let bytes: &[u8] = b"\x1b[32mgreen\x1b[0m\r\n\xff\xfe";
    claim.patch("0-18", bytes.to_vec()).await.is(202);
    let path = build_path(claim.id, "/trace");
    let expected = format!("infile; filename=\"{}.log\"", claim.id);
    // While it runs, and after that.
    for _ in 0..2 {
        let answer = world.reporter.get(&path).await.is(200);
        assert_eq!(answer.header("content-type"), Some("text/plain"));
        let disposition = answer.header("content-disposition");
        assert_eq!(disposition, Some(expected.as_str()));
        assert_eq!(answer.body, bytes);
        claim.put(json!({"state": "success"})).await;
    }
}

async fn check_38_no_trace_is_404(backend: Backend) {
    let world = World::start(backend).await;
    let claim = world.ended("success").await;
    for id in [claim.id, JobId(424_242)] {
        let answer = world.developer.get(&build_path(id, "/trace")).await;
        answer.is_error(404, "404 Not Found");
    }
}

async fn check_39_the_builds_token_is_not_shown(backend: Backend) {
    let world = World::start(backend).await;
    let claim = world.running().await;
    let token = claim.token.as_str();
    let text = format!("before {token} after {token}");
    // It comes in pieces that end inside the token.
    let mut at = 0;
    for piece in text.as_bytes().chunks(10) {
        let range = format!("{at}-{}", at + piece.len());
        claim.patch(&range, piece.to_vec()).await.is(202);
        at += piece.len();
    }
    let clear = text.replace(token, &"x".repeat(token.len()));
    assert_ne!(clear, text);
    let path = build_path(claim.id, "/trace");
    assert_eq!(world.developer.get(&path).await.body, clear);
    // In the native API too, in whole and in part.
    let native = |range: &'static str| {
        let url = world.farm.url(&format!("/v1/jobs/{}/trace", claim.id));
        let request = world.farm.http.get(url).bearer_auth(&world.developer.token);
        send(request.header("Range", range))
    };
    assert_eq!(native("bytes=0-").await.is(206).body, clear);
    assert_eq!(native("bytes=15-30").await.is(206).body, clear[15..=30]);
    assert_eq!(native("bytes=-5").await.is(206).body, "xxxxx");
    // What is stored is what was sent, or its runner could not end the job.
    let sum = json!({"length": text.len(), "crc32": crc32fast::hash(text.as_bytes())});
    let end = json!({"state": "success", "trace_sum": sum});
    claim.put(end).await.is(200);
}
