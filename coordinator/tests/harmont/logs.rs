//! Log tokens, and logs as a client of the whole API reads them.
//!
//! See `docs/protocols/harmont.md#log-tokens` and `docs/protocols/harmont.md#client-sequence`. `coordinator/tests/live_logs` tests the stream itself.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use slipway_farm::Page;
use slipway_testkit::{Backend, on_both_back_ends};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::fixture::{
    BUILDS, Claim, Client, Fixture, ORGANIZATION, build_request, independent_steps,
};
use crate::log_stream::{LIMIT, LogStream, joined_text};

on_both_back_ends!(
    log_token_is_a_jwt_that_expires_after_an_hour,
    log_token_is_created_for_callers_who_may_see_the_build,
    passed_job_has_its_complete_log_in_a_new_stream,
    command_line_sequence_ends_with_a_passed_build,
);

/// Appends lines to a trace and returns all of them.
async fn append_lines(claim: &Claim, lines: usize) -> String {
    let mut written = String::new();
    for number in 0..lines {
        let line = format!("job {}, line {number}\n", claim.id);
        let range = format!("{}-{}", written.len(), written.len() + line.len() - 1);
        written.push_str(&line);
        claim.patch(&range, line).await.is(202);
    }
    written
}

/// Reads the log of a job up to the frame `done`.
async fn read_log(client: Client, job: String, token: String) -> String {
    let path = format!("/v0/jobs/{job}/logs");
    let request = client.request(Method::GET, &path);
    let mut reader = LogStream::open(request.query(&[("token", token)])).await;
    joined_text(&reader.read_to_end().await, 0)
}

async fn create_log_token(fixture: &Fixture, build: &str) -> Value {
    let path = format!("{build}/log-token");
    fixture.member.get(&path).await.is(200).json()
}

async fn log_token_is_a_jwt_that_expires_after_an_hour(backend: Backend) {
    let fixture = Fixture::with(backend, |config| {
        config.public_url = Some("https://farm.example/".to_owned());
    });
    let fixture = fixture.await;
    let number = fixture.create_build(&independent_steps(&["a"])).await;
    let log_token = create_log_token(&fixture, &format!("{BUILDS}/{number}")).await;
    assert_eq!(log_token.as_object().unwrap().len(), 2, "{log_token}");
    let token = log_token["token"].as_str().unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3, "{token}");
    let read = |part: &str| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let (header, claims) = (read(parts[0]), read(parts[1]));
    let kid = &header["kid"];
    assert!(kid.is_string(), "{header}");
    assert_eq!(header, json!({"typ": "JWT", "alg": "HS256", "kid": kid}));
    let project = fixture.farm.project("acme/web").await;
    let all = Page {
        before: None,
        limit: 1,
    };
    let builds = fixture
        .farm
        .farm()
        .builds(&project, Default::default(), all);
    let uuid = builds.await.unwrap()[0].uuid.to_string();
    let (iat, exp) = (
        claims["iat"].as_i64().unwrap(),
        claims["exp"].as_i64().unwrap(),
    );
    assert!(claims["jti"].is_string(), "{claims}");
    let expected = json!({
        "iss": "https://farm.example", "aud": "slipway:log", "sub": uuid,
        "iat": iat, "exp": exp, "jti": claims["jti"],
    });
    assert_eq!(claims, expected);
    assert_eq!(exp - iat, 3600);
    let now = fixture.farm.clock.now().timestamp();
    assert!((exp - now - 3600).abs() <= 5, "{claims} at {now}");
    let expiry = chrono::DateTime::from_timestamp(exp, 0).unwrap();
    let expiry = expiry.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    assert_eq!(log_token["expires_at"], expiry);
}

async fn log_token_is_created_for_callers_who_may_see_the_build(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let number = fixture.create_build(&independent_steps(&["a"])).await;
    let build = format!("{BUILDS}/{number}");
    let path = format!("{build}/log-token");
    let response = fixture.anonymous.get(&path).await;
    response.fails_with_code(401, "unauthorized", "unauthorized");
    let response = fixture.outsider.get(&path).await;
    response.fails_with_code(404, "not_found", "organization_not_found");
    let response = fixture.member.get(&format!("{BUILDS}/99/log-token")).await;
    response.fails_with_code(404, "not_found", "build_not_found");
    let first = create_log_token(&fixture, &build).await;
    let path = format!("{build}/cancel");
    fixture.member.send_empty(Method::PUT, &path).await.is(200);
    let second = create_log_token(&fixture, &build).await;
    assert_ne!(first["token"], second["token"]);
    let job = fixture.jobs(number).await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for log_token in [first, second] {
        let token = log_token["token"].as_str().unwrap().to_owned();
        assert_eq!(
            read_log(fixture.member.clone(), job.clone(), token).await,
            ""
        );
    }
}

async fn passed_job_has_its_complete_log_in_a_new_stream(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let runner = fixture.register_runner().await;
    for _ in 0..3 {
        let number = fixture.create_build(&independent_steps(&["a"])).await;
        let log_token = create_log_token(&fixture, &format!("{BUILDS}/{number}")).await;
        let token = log_token["token"].as_str().unwrap().to_owned();
        let claim = runner.start_job().await;
        let watcher = async {
            let job = loop {
                let job = fixture.jobs(number).await.remove(0);
                if job["state"] == "passed" {
                    break job["id"].as_str().unwrap().to_owned();
                }
            };
            read_log(fixture.member.clone(), job, token).await
        };
        let writer = async {
            let written = append_lines(&claim, 20).await;
            claim.succeed().await;
            written
        };
        let (log, written) = tokio::join!(timeout(LIMIT, watcher), writer);
        assert_eq!(log.expect("the log did not end in time"), written);
    }
}

async fn command_line_sequence_ends_with_a_passed_build(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let builds = create_pipeline_as_the_command_line(&fixture).await;
    let graph = independent_steps(&["a", "b"]);
    let build = fixture
        .member
        .post(&builds, &build_request(&graph))
        .await
        .is(201)
        .json();
    let one = format!("{builds}/{}", build["number"]);
    let log_token = create_log_token(&fixture, &one).await;
    let token = log_token["token"].as_str().unwrap();
    let run_jobs = async {
        let runner = fixture.register_runner().await;
        let mut written = Vec::new();
        for _ in 0..2 {
            let claim = runner.start_job().await;
            written.push(append_lines(&claim, 20).await);
            claim.succeed().await;
        }
        written
    };
    let followed = timeout(LIMIT, follow_build(&fixture.member, &one, token));
    let (result, mut written) = tokio::join!(followed, run_jobs);
    let (streams, state) = result.expect("the build did not finish in time");
    assert_eq!(state, "passed");
    let mut logs = Vec::new();
    for stream in streams.into_values() {
        logs.push(stream.await.unwrap());
    }
    logs.sort();
    written.sort();
    assert_eq!(logs, written);
    let jobs = fixture
        .member
        .get(&format!("{one}/jobs"))
        .await
        .is(200)
        .json();
    for job in jobs["data"].as_array().unwrap() {
        assert_eq!(
            (&job["state"], &job["exit_code"]),
            (&json!("passed"), &json!(0))
        );
    }
}

/// Creates the pipeline after two requests that do not find it; returns the path of its builds.
async fn create_pipeline_as_the_command_line(fixture: &Fixture) -> String {
    let mut new_build = build_request(&independent_steps(&["a", "b"]));
    new_build["source"] = "api".into();
    new_build["repo_name"] = "acme/new".into();
    new_build["source_slug"] = "new".into();
    let response = fixture
        .member
        .post(&format!("{ORGANIZATION}/builds"), &new_build)
        .await;
    response.fails_with_code(404, "not_found", "pipeline_not_found");
    let path = format!("{ORGANIZATION}/pipelines/new");
    let response = fixture.member.get(&path).await;
    response.fails_with_code(404, "not_found", "pipeline_not_found");
    let body = json!({
        "name": "new", "repository": "git@h:acme/new.git", "default_branch": "main",
        "repo_name": "acme/new",
    });
    let created = fixture
        .member
        .post(&format!("{ORGANIZATION}/pipelines"), &body)
        .await;
    let slug = created.is(201).json()["slug"].as_str().unwrap().to_owned();
    format!("{ORGANIZATION}/pipelines/{slug}/builds")
}

/// Polls a build until it is finished, and opens the log of each job that has started. Returns the
/// streams and the final state.
async fn follow_build(
    client: &Client,
    build: &str,
    token: &str,
) -> (HashMap<String, JoinHandle<String>>, String) {
    let mut streams = HashMap::new();
    loop {
        let state = client.get(build).await.is(200).json()["state"].clone();
        let jobs = client.get(&format!("{build}/jobs")).await.is(200).json();
        for job in jobs["data"].as_array().unwrap() {
            let has_started = !["pending", "scheduled", "assigned", "skipped"]
                .contains(&job["state"].as_str().unwrap());
            let id = job["id"].as_str().unwrap().to_owned();
            if has_started && !streams.contains_key(&id) {
                let stream = read_log(client.clone(), id.clone(), token.to_owned());
                streams.insert(id, tokio::spawn(stream));
            }
        }
        let state = state.as_str().unwrap();
        if ["passed", "failed", "canceled"].contains(&state) {
            return (streams, state.to_owned());
        }
    }
}
