//! Log tokens and live streams where the rest of the API leads to them: checks 67, 82 and 89. What
//! the streams are like in themselves is shown in the tests of those.

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
use slipway_testkit::Backend;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::streams::{LIMIT, Reader, text};
use crate::support::{ACME, B, Claim, Client, World, apart, of};

slipway_testkit::on_both_back_ends!(
    check_67_a_token_is_a_jwt_for_an_hour,
    a_token_is_minted_for_whoever_sees_the_build,
    check_82_a_job_that_is_over_has_its_last_words_in_a_new_stream,
    check_89_a_command_line_goes_from_nothing_to_a_verdict,
);

/// Appends lines to a trace; gives all of them.
async fn write(claim: &Claim, lines: usize) -> String {
    let mut said = String::new();
    for number in 0..lines {
        let line = format!("{} says {number}\n", claim.id);
        let range = format!("{}-{}", said.len(), said.len() + line.len() - 1);
        said.push_str(&line);
        claim.patch(&range, line).await.is(202);
    }
    said
}

/// Follows a job to its end, which is told; gives its log.
async fn followed(client: Client, job: String, token: String) -> String {
    let path = format!("/v0/jobs/{job}/logs");
    let request = client.request(Method::GET, &path);
    let mut reader = Reader::of(request.query(&[("token", token)])).await;
    text(&reader.rest().await, 0)
}

async fn token_of(world: &World, build: &str) -> Value {
    let path = format!("{build}/log-token");
    world.ana.get(&path).await.is(200).json()
}

async fn check_67_a_token_is_a_jwt_for_an_hour(backend: Backend) {
    let world = World::with(backend, |config| {
        config.public_url = Some("https://farm.example/".to_owned());
    });
    let world = world.await;
    let number = world.build(&apart(&["a"])).await;
    let given = token_of(&world, &format!("{B}/{number}")).await;
    assert_eq!(given.as_object().unwrap().len(), 2, "{given}");
    let token = given["token"].as_str().unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3, "{token}");
    let read = |part: &str| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let (header, claims) = (read(parts[0]), read(parts[1]));
    let kid = &header["kid"];
    assert!(kid.is_string(), "{header}");
    assert_eq!(header, json!({"typ": "JWT", "alg": "HS256", "kid": kid}));
    let project = world.farm.project("acme/web").await;
    let all = Page {
        before: None,
        limit: 1,
    };
    let builds = world.farm.farm().builds(&project, Default::default(), all);
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
    let now = world.farm.clock.now().timestamp();
    assert!((exp - now - 3600).abs() <= 5, "{claims} at {now}");
    let written = chrono::DateTime::from_timestamp(exp, 0).unwrap();
    let written = written.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    assert_eq!(given["expires_at"], written);
}

async fn a_token_is_minted_for_whoever_sees_the_build(backend: Backend) {
    let world = World::start(backend).await;
    let number = world.build(&apart(&["a"])).await;
    let build = format!("{B}/{number}");
    let path = format!("{build}/log-token");
    let answer = world.nobody.get(&path).await;
    answer.error(401, "unauthorized", "unauthorized");
    let answer = world.olaf.get(&path).await;
    answer.error(404, "not_found", "organization_not_found");
    let answer = world.ana.get(&format!("{B}/99/log-token")).await;
    answer.error(404, "not_found", "build_not_found");
    let first = token_of(&world, &build).await;
    let path = format!("{build}/cancel");
    world.ana.empty(Method::PUT, &path).await.is(200);
    let second = token_of(&world, &build).await;
    assert_ne!(first["token"], second["token"]);
    let job = world.jobs(number).await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for given in [first, second] {
        let token = given["token"].as_str().unwrap().to_owned();
        assert_eq!(followed(world.ana.clone(), job.clone(), token).await, "");
    }
}

async fn check_82_a_job_that_is_over_has_its_last_words_in_a_new_stream(backend: Backend) {
    let world = World::start(backend).await;
    let runner = world.runner().await;
    for _ in 0..3 {
        let number = world.build(&apart(&["a"])).await;
        let given = token_of(&world, &format!("{B}/{number}")).await;
        let token = given["token"].as_str().unwrap().to_owned();
        let claim = runner.begin().await;
        let watcher = async {
            let job = loop {
                let job = world.jobs(number).await.remove(0);
                if job["state"] == "passed" {
                    break job["id"].as_str().unwrap().to_owned();
                }
            };
            followed(world.ana.clone(), job, token).await
        };
        let writer = async {
            let said = write(&claim, 20).await;
            claim.succeed().await;
            said
        };
        let (told, said) = tokio::join!(timeout(LIMIT, watcher), writer);
        assert_eq!(told.expect("an end"), said);
    }
}

async fn check_89_a_command_line_goes_from_nothing_to_a_verdict(backend: Backend) {
    let world = World::start(backend).await;
    let builds = made_by_a_command_line(&world).await;
    let graph = apart(&["a", "b"]);
    let build = world.ana.post(&builds, &of(&graph)).await.is(201).json();
    let one = format!("{builds}/{}", build["number"]);
    let given = token_of(&world, &one).await;
    let token = given["token"].as_str().unwrap();
    let hands = async {
        let runner = world.runner().await;
        let mut said = Vec::new();
        for _ in 0..2 {
            let claim = runner.begin().await;
            said.push(write(&claim, 20).await);
            claim.succeed().await;
        }
        said
    };
    let watched = timeout(LIMIT, watch(&world.ana, &one, token));
    let (told, mut said) = tokio::join!(watched, hands);
    let (told, state) = told.expect("a verdict");
    assert_eq!(state, "passed");
    let mut told_all = Vec::new();
    for stream in told.into_values() {
        told_all.push(stream.await.unwrap());
    }
    told_all.sort();
    said.sort();
    assert_eq!(told_all, said);
    let jobs = world.ana.get(&format!("{one}/jobs")).await.is(200).json();
    for job in jobs["data"].as_array().unwrap() {
        assert_eq!(
            (&job["state"], &job["exit_code"]),
            (&json!("passed"), &json!(0))
        );
    }
}

/// Finds no pipeline, and makes it; gives the address of its builds.
async fn made_by_a_command_line(world: &World) -> String {
    let mut asked = of(&apart(&["a", "b"]));
    asked["source"] = "api".into();
    asked["repo_name"] = "acme/new".into();
    asked["source_slug"] = "new".into();
    let answer = world.ana.post(&format!("{ACME}/builds"), &asked).await;
    answer.error(404, "not_found", "pipeline_not_found");
    let path = format!("{ACME}/pipelines/new");
    let answer = world.ana.get(&path).await;
    answer.error(404, "not_found", "pipeline_not_found");
    let body = json!({
        "name": "new", "repository": "git@h:acme/new.git", "default_branch": "main",
        "repo_name": "acme/new",
    });
    let made = world.ana.post(&format!("{ACME}/pipelines"), &body).await;
    let slug = made.is(201).json()["slug"].as_str().unwrap().to_owned();
    format!("{ACME}/pipelines/{slug}/builds")
}

/// Looks at a build until it is over, and follows its jobs meanwhile as each is seen to have begun;
/// gives the streams and the verdict.
async fn watch(
    client: &Client,
    build: &str,
    token: &str,
) -> (HashMap<String, JoinHandle<String>>, String) {
    let mut streams = HashMap::new();
    loop {
        let state = client.get(build).await.is(200).json()["state"].clone();
        let jobs = client.get(&format!("{build}/jobs")).await.is(200).json();
        for job in jobs["data"].as_array().unwrap() {
            let has_begun = !["pending", "scheduled", "assigned", "skipped"]
                .contains(&job["state"].as_str().unwrap());
            let id = job["id"].as_str().unwrap().to_owned();
            if has_begun && !streams.contains_key(&id) {
                let stream = followed(client.clone(), id.clone(), token.to_owned());
                streams.insert(id, tokio::spawn(stream));
            }
        }
        let state = state.as_str().unwrap();
        if ["passed", "failed", "canceled"].contains(&state) {
            return (streams, state.to_owned());
        }
    }
}
