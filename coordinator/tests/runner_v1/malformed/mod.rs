//! Invalid paths and bodies: each is a 4xx response with a reason, and nothing is half stored.
//!
//! See `docs/protocols/runner-v1.md#invalid-requests`.

mod requests;

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{ApiResponse, Claim, RunnerApi};

on_both_back_ends!(
    path_with_an_invalid_job_id_is_not_found,
    unreadable_body_is_a_bad_request,
    register_refuses_invalid_members,
    claim_refuses_invalid_members,
    update_refuses_invalid_members,
);

const JSON: &str = "application/json";

/// Asserts 400 with a JSON message that gives a reason.
#[track_caller]
pub(crate) fn assert_bad_request(response: ApiResponse, what: &str) {
    assert_eq!(response.status, 400, "{what}: {response:?}");
    let body = response.json();
    let message = body["message"].as_str().unwrap();
    let reason = message.strip_prefix("400 (Bad request) ");
    assert!(
        reason.is_some_and(|reason| reason.len() > 10),
        "{what}: {message}"
    );
}

async fn path_with_an_invalid_job_id_is_not_found(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let api = &claim.runner.api;
    let long = "9".repeat(3000);
    for id in [
        "0",
        "-5",
        "x",
        "4.2",
        "1e3",
        "+1",
        "0x1",
        "%00",
        "%ff",
        "%e2%28",
        "1%2f2",
        "1%20",
        "%zz",
        "99999999999999999999",
        "9223372036854775807",
        "-9223372036854775809",
        &long,
    ] {
        let body = json!({"token": claim.runner.token, "state": "success"});
        let path = format!("/builds/{id}.json");
        let response = api.json(Method::PUT, &path, &body).await;
        assert_eq!(response.status, 404, "{id}: {response:?}");
        for (method, below) in [
            (Method::PATCH, "trace.txt"),
            (Method::POST, "artifacts"),
            (Method::GET, "artifacts"),
            (Method::DELETE, "artifacts"),
        ] {
            let path = format!("/builds/{id}/{below}");
            let request = api
                .request(method.clone(), &path)
                .header("BUILD-TOKEN", &claim.token)
                .header("Content-Range", "0-1");
            let response = api.send(request.body("x")).await;
            assert_eq!(response.status, 404, "{method} {path}: {response:?}");
        }
    }
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
}

async fn unreadable_body_is_a_bad_request(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    let deep = "[".repeat(50_000);
    // `null` counts as no body, and is refused for its missing token.
    let bodies: [&[u8]; 10] = [
        b"{",
        b"[]",
        b"7",
        b"\"text\"",
        b"{\"token\":}",
        b"token=x",
        b"\xff\xfe",
        b"{\"\xff\":1}",
        deep.as_bytes(),
        b"{} {}",
    ];
    for path in ["/runners/register", "/builds/register", "/builds/1"] {
        let method = if path == "/builds/1" {
            Method::PUT
        } else {
            Method::POST
        };
        for body in bodies {
            let what = format!(
                "{path} {}",
                String::from_utf8_lossy(&body[..body.len().min(20)])
            );
            let response = api.bytes(method.clone(), path, JSON, body.to_vec()).await;
            assert_bad_request(response, &what);
        }
        for token in [json!(5), json!(true), json!(["x"]), json!({"a": 1})] {
            let response = api
                .json(method.clone(), path, &json!({ "token": token }))
                .await;
            assert_bad_request(response, &format!("{path} {token}"));
        }
        let form = "application/x-www-form-urlencoded";
        let response = api.bytes(method, path, form, &b"token=\xff\xfe"[..]).await;
        assert_bad_request(response, path);
    }
    let response = api
        .bytes(
            Method::POST,
            "/runners/register",
            "multipart/form-data",
            "--b",
        )
        .await;
    assert_bad_request(response, "no boundary");
    assert!(farm.runners().await.is_empty());
}

async fn register_refuses_invalid_members(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    let many: Vec<String> = (0..51).map(|n| format!("tag{n}")).collect();
    let bad = [
        json!({"tag_list": 5}),
        json!({"tag_list": {"a": 1}}),
        json!({"tag_list": ["a", 5]}),
        json!({"tag_list": "x".repeat(256)}),
        json!({"tag_list": "a\u{0}b"}),
        json!({"tag_list": "a\nb"}),
        json!({"tag_list": many.join(",")}),
        json!({"tag_list": many}),
        json!({"run_untagged": "maybe"}),
        json!({"run_untagged": 7}),
        json!({"locked": "perhaps"}),
        json!({"description": 5}),
        json!({"description": "a\u{0}b"}),
        json!({"description": "x".repeat(50_000)}),
        json!({"info": "text"}),
        json!({"info": {"name": 5}}),
        json!({"info": {"name": "a\u{0}b"}}),
        json!({"info": {"version": "x".repeat(50_000)}}),
        json!({"info": {"features": "all"}}),
        json!({"info": {"features": {"heartbeat": "yes"}}}),
    ];
    for mut body in bad {
        let what: String = body.to_string().chars().take(60).collect();
        body["token"] = farm.registration_token.clone().into();
        let response = api.json(Method::POST, "/runners/register", &body).await;
        assert_bad_request(response, &what);
    }
    assert!(farm.runners().await.is_empty());
}

async fn claim_refuses_invalid_members(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let build = farm.build(&project).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    for mut body in [
        json!({"info": 5}),
        json!({"info": {"executor": "a\u{0}b"}}),
        json!({"info": {"executor": "x".repeat(50_000)}}),
        json!({"last_update": 5}),
        json!({"last_update": {}}),
    ] {
        let what: String = body.to_string().chars().take(60).collect();
        body["token"] = runner.token.clone().into();
        let api = &runner.api;
        let response = api.json(Method::POST, "/builds/register", &body).await;
        assert_bad_request(response, &what);
    }
    assert_eq!(farm.jobs(&build).await[0].state.name(), "pending");
    // A queue key that no coordinator created counts as outdated.
    let unknown_key = "\u{0}ü".repeat(1000);
    assert_eq!(runner.poll_with_queue_key(&unknown_key).await.status, 201);
}

async fn update_refuses_invalid_members(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    claim.patch("0-5", "hello").await.is(202);
    let image = |member: &str, value: Value| {
        let mut image = json!({"digest": "sha256:00", "size_bytes": 1});
        image[member] = value;
        json!({ "state": "success", "image": image })
    };
    let sum = |length: Value, crc32: Value| json!({"state": "success", "trace_sum": {"length": length, "crc32": crc32}});
    for body in [
        json!({"state": 5}),
        json!({"state": "success", "trace": 5}),
        json!({"state": "success", "trace": ["a"]}),
        json!({"state": "success", "phase": {}}),
        json!({"state": "failed", "failure_message": 5}),
        json!({"state": "success", "image": "text"}),
        json!({"state": "success", "image": {}}),
        image("size_bytes", json!(-1)),
        image("size_bytes", json!("big")),
        image("tags", json!("latest")),
        image("tags", json!(["a\u{0}b"])),
        image("tags", json!(["a,b"])),
        image("digest", json!("sha256:\u{0}")),
        image("digest", json!("")),
        image("reference", json!("a\u{0}b")),
        image("reference", json!("x".repeat(100_000))),
        sum(json!(-1), json!(0)),
        sum(json!(5), json!(-1)),
        sum(json!(5), json!(4_294_967_296_u64)),
        json!({"state": "success", "trace_sum": 5}),
    ] {
        let what: String = body.to_string().chars().take(90).collect();
        assert_bad_request(claim.put(body).await, &what);
    }
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
    assert_eq!(farm.trace(claim.id).await, b"hello");
    assert!(farm.artifacts(claim.id).await.is_empty());
    // Invalid optional details are ignored, so that a final state is never lost because of them.
    let end = json!({
        "state": "failed", "failure_reason": "a\u{0}b", "phase": "unknown",
        "failure_message": format!("first\u{0}\u{1b}[31m\n{}", "x".repeat(100_000)),
    });
    claim.put(end).await.is(200);
    let message = farm.job(claim.id).await.failure_message.unwrap();
    assert!(message.starts_with("first"), "{message}");
    assert!(message.len() < 10_000, "{}", message.len());
    assert!(!message.contains(['\u{0}', '\u{1b}']), "{message:?}");
}
