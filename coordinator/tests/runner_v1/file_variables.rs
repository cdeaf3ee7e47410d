//! Variables whose values a script gets in files.
//!
//! See `docs/protocols/runner-v1.md#job-payload`.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_domain::pipeline::Definition;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{Claim, RunnerApi};

on_both_back_ends!(value_of_a_file_variable_gets_into_a_file_with_every_version,);

/// Creates a build of a script and claims its job with a runner that reports `info`.
async fn claim(farm: &TestFarm, info: Value) -> Claim {
    let project = farm.project("acme/api").await;
    let jobs = json!([{"name": "test", "spec": {"kind": "script", "commands": ["cat \"$KEY\""]}}]);
    let definition: Definition = serde_json::from_value(json!({ "jobs": jobs })).unwrap();
    farm.build_defined(&project, definition).await;
    let body = json!({"description": "a", "info": info});
    let runner = RunnerApi::new(farm)
        .register(&farm.registration_token, body)
        .await;
    let body = json!({"info": info, "token": runner.token});
    let path = "/builds/register.json";
    let answer = runner.api.json(Method::POST, path, &body).await;
    Claim::read(&runner, &answer)
}

async fn value_of_a_file_variable_gets_into_a_file_with_every_version(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    farm.project("acme/api").await;
    let url = farm.url("/v1/projects/acme/api/variables/KEY");
    let request = farm.http.put(url).bearer_auth(&farm.admin_token);
    let body = json!({"value": "line one\nline two", "file": true});
    let set: Value = request
        .json(&body)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!((&set["file"], &set["value"]), (&true.into(), &Value::Null));
    let stock = |version: &str| json!({"name": "gitlab-ci-multi-runner", "version": version});
    let ours = json!({"name": "slipway-runner", "features": {"heartbeat": true}});
    for (info, is_native) in [
        (stock("1.11.5"), true),
        (stock("1.9.0"), true),
        (stock("1.8.8"), false),
        (stock("0.7.2"), false),
        (ours, false),
    ] {
        let claim = claim(&farm, info.clone()).await;
        let variables = claim.payload["variables"].as_array().unwrap();
        let key = variables.iter().rfind(|variable| variable["key"] == "KEY");
        let key = key.unwrap();
        assert_eq!(key["value"], "line one\nline two");
        assert_eq!(key["file"] == true, is_native, "{info}");
        let commands = claim.payload["commands"].as_str().unwrap();
        assert_eq!(commands.contains("mktemp -d"), !is_native, "{commands}");
        assert!(commands.ends_with("cat \"$KEY\""));
        let own = &claim.payload["own"]["spec"]["commands"];
        let writes = own[0].as_str().unwrap().contains("mktemp -d");
        assert_eq!(writes, !is_native, "{own}");
        claim.succeed().await;
    }
}
