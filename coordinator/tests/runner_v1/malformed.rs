//! Bodies and ids that make no sense are the sender's mistake: a 4xx with a sentence, and nothing
//! half-made.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{ApiResponse, Claim, RunnerApi};

on_both_back_ends!(
    a_path_that_names_no_job_is_not_found,
    a_body_that_cannot_be_read_makes_no_runner,
    what_cannot_be_said_of_a_runner_makes_none,
    a_poll_that_cannot_be_read_takes_no_job,
    a_report_that_cannot_be_read_changes_nothing,
);

const JSON: &str = "application/json";

/// The answer is 400 with a sentence, in JSON.
#[track_caller]
pub(crate) fn explained(answer: ApiResponse, what: &str) {
    assert_eq!(answer.status, 400, "{what}: {answer:?}");
    let body = answer.json();
    let sentence = body["message"].as_str().unwrap();
    let why = sentence.strip_prefix("400 (Bad request) ");
    assert!(why.is_some_and(|why| why.len() > 10), "{what}: {sentence}");
}

async fn a_path_that_names_no_job_is_not_found(backend: Backend) {
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
        let answer = api.json(Method::PUT, &path, &body).await;
        assert_eq!(answer.status, 404, "{id}: {answer:?}");
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
            let answer = api.send(request.body("x")).await;
            assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
        }
    }
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
}

async fn a_body_that_cannot_be_read_makes_no_runner(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let api = RunnerApi::new(&farm);
    let deep = "[".repeat(100_000);
    let bodies: [&[u8]; 11] = [
        b"{",
        b"[]",
        b"null",
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
            let answer = api.bytes(method.clone(), path, JSON, body.to_vec()).await;
            explained(answer, &what);
        }
        for token in [json!(5), json!(true), json!(["x"]), json!({"a": 1})] {
            let answer = api
                .json(method.clone(), path, &json!({ "token": token }))
                .await;
            explained(answer, &format!("{path} {token}"));
        }
        let form = "application/x-www-form-urlencoded";
        let answer = api.bytes(method, path, form, &b"token=\xff\xfe"[..]).await;
        explained(answer, path);
    }
    let answer = api
        .bytes(
            Method::POST,
            "/runners/register",
            "multipart/form-data",
            "--b",
        )
        .await;
    explained(answer, "no boundary");
    assert!(farm.runners().await.is_empty());
}

async fn what_cannot_be_said_of_a_runner_makes_none(backend: Backend) {
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
        json!({"description": "x".repeat(100_000)}),
        json!({"info": "text"}),
        json!({"info": {"name": 5}}),
        json!({"info": {"name": "a\u{0}b"}}),
        json!({"info": {"version": "x".repeat(100_000)}}),
        json!({"info": {"features": "all"}}),
        json!({"info": {"features": {"heartbeat": "yes"}}}),
    ];
    for mut body in bad {
        let what: String = body.to_string().chars().take(60).collect();
        body["token"] = farm.registration_token.clone().into();
        let answer = api.json(Method::POST, "/runners/register", &body).await;
        explained(answer, &what);
    }
    assert!(farm.runners().await.is_empty());
}

async fn a_poll_that_cannot_be_read_takes_no_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let build = farm.build(&project).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    for mut body in [
        json!({"info": 5}),
        json!({"info": {"executor": "a\u{0}b"}}),
        json!({"info": {"executor": "x".repeat(100_000)}}),
        json!({"last_update": 5}),
        json!({"last_update": {}}),
    ] {
        let what: String = body.to_string().chars().take(60).collect();
        body["token"] = runner.token.clone().into();
        let api = &runner.api;
        let answer = api.json(Method::POST, "/builds/register", &body).await;
        explained(answer, &what);
    }
    assert_eq!(farm.jobs(&build).await[0].state.name(), "pending");
    // A value that no coordinator ever made is as good as none.
    let odd = "\u{0}ü".repeat(1000);
    assert_eq!(runner.poll_with_queue_key(&odd).await.status, 201);
}

async fn a_report_that_cannot_be_read_changes_nothing(backend: Backend) {
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
        explained(claim.put(body).await, &what);
    }
    assert_eq!(farm.job(claim.id).await.state.name(), "running");
    assert_eq!(farm.trace(claim.id).await, b"hello");
    assert!(farm.artifacts(claim.id).await.is_empty());
    // Words that only say more are passed over: an end must never be lost over one.
    let end = json!({
        "state": "failed", "failure_reason": "a\u{0}b", "phase": "dancing",
        "failure_message": format!("first\u{0}\u{1b}[31m\n{}", "x".repeat(100_000)),
    });
    claim.put(end).await.is(200);
    let message = farm.job(claim.id).await.failure_message.unwrap();
    assert!(message.starts_with("first"), "{message}");
    assert!(message.len() < 10_000, "{}", message.len());
    assert!(!message.contains(['\u{0}', '\u{1b}']), "{message:?}");
}
