//! The JSON of a claimed job.
//!
//! See `docs/protocols/runner-v4.md#job-payload`.

use serde_json::{Value, json};
use slipway_domain::{CommitSha, Slug};
use slipway_farm::BuildRequest;
use slipway_testkit::farm::SHA;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{Claim, RunnerApi, definition};

on_both_back_ends!(
    claimed_job_has_the_json_types_that_stock_runners_decode,
    job_info_has_the_unusual_json_types_that_stock_runners_decode,
    git_info_describes_how_to_fetch_the_commit,
    minimal_payload_is_enough_to_finish_a_job,
    script_job_has_its_image_and_artifacts,
    secret_variables_are_masked,
    file_variables_of_scripts_are_files,
    variables_have_the_names_of_both_protocols,
);

async fn claimed_job_has_the_json_types_that_stock_runners_decode(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let job = &claim.payload;
    assert!(job["id"].is_i64() && job["token"].is_string());
    for line in job["steps"][0]["script"].as_array().unwrap() {
        assert!(line.is_string(), "{line}");
    }
    assert_eq!(job["steps"][0]["name"], "script");
    assert_eq!(job["steps"][0]["when"], "on_success");
    assert_eq!(job["steps"][0]["timeout"], 3600);
    assert_eq!(job["runner_info"]["timeout"], 3600);
    for variable in job["variables"].as_array().unwrap() {
        assert!(variable["value"].is_string(), "{variable}");
        for flag in ["public", "file", "masked", "raw"] {
            assert!(variable[flag].is_boolean(), "{flag}: {variable}");
        }
    }
    assert_eq!(job["image"], Value::Null);
    for list in [
        "inputs",
        "steps",
        "services",
        "artifacts",
        "cache",
        "credentials",
        "dependencies",
        "hooks",
    ] {
        assert!(job[list].is_array(), "{list}: {}", job[list]);
    }
    for object in ["job_info", "git_info", "runner_info", "features"] {
        assert!(job[object].is_object(), "{object}: {}", job[object]);
    }
    assert!(
        job.get("run").is_none(),
        "stock runners lose a job with a null `run`"
    );
    for absent in ["commands", "options", "repo_url", "own"] {
        assert!(job.get(absent).is_none(), "{absent} belongs to protocol v1");
    }
    let reasons = job["features"]["failure_reasons"].as_array().unwrap();
    assert!(
        reasons.contains(&json!("image_pull_failure")),
        "{reasons:?}"
    );
}

async fn job_info_has_the_unusual_json_types_that_stock_runners_decode(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    farm.build(&project).await;
    farm.advance(7);
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let info = runner.claim().await.payload["job_info"].clone();
    let count = "project_jobs_running_on_instance_runners_count";
    assert_eq!(info[count], "0");
    let waited = info["time_in_queue_seconds"].as_f64().unwrap();
    assert!((7.0..120.0).contains(&waited), "{waited}");
    for id in [
        "id",
        "project_id",
        "namespace_id",
        "root_namespace_id",
        "organization_id",
        "user_id",
        "queue_size",
        "queue_depth",
    ] {
        assert!(info[id].is_i64(), "{id}: {}", info[id]);
    }
    for text in [
        "name",
        "stage",
        "project_name",
        "project_full_path",
        "instance_id",
        "instance_uuid",
    ] {
        assert!(info[text].is_string(), "{text}: {}", info[text]);
    }
    assert_eq!(info["project_full_path"], "acme/api");
    for _ in 0..6 {
        farm.build(&project).await;
    }
    let mut counts = Vec::new();
    for _ in 0..6 {
        let info = runner.claim().await.payload["job_info"].clone();
        counts.push(info[count].as_str().unwrap().to_owned());
    }
    assert_eq!(counts, ["1", "2", "3", "4", "5+", "5+"]);
}

async fn git_info_describes_how_to_fetch_the_commit(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    farm.build(&project).await;
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let git = runner.claim().await.payload["git_info"].clone();
    assert_eq!(git["sha"].as_str().unwrap().len(), 40);
    assert_eq!(git["sha"], SHA);
    assert_eq!(git["before_sha"], "0".repeat(40));
    assert_eq!(
        (&git["ref"], &git["ref_type"]),
        (&json!("main"), &json!("branch"))
    );
    assert_eq!(
        git["refspecs"],
        json!(["+refs/heads/main:refs/remotes/origin/main"])
    );
    assert_eq!(git["depth"], 0);
    assert_eq!(git["repo_object_format"], "sha1");
    // Without a branch, the commit may be on any branch, so all of them are fetched.
    let request = BuildRequest {
        pipeline: Slug::default_pipeline(),
        sha: Some(SHA.parse::<CommitSha>().unwrap()),
        git_ref: None,
    };
    let admin = farm.admin().await;
    farm.farm()
        .create_build(&admin, &project, request)
        .await
        .unwrap();
    let git = runner.claim().await.payload["git_info"].clone();
    assert_eq!(git["ref_type"], "branch");
    let specs = git["refspecs"].as_array().unwrap();
    assert!(specs.contains(&json!("+refs/heads/*:refs/remotes/origin/*")));
}

/// A client that reads only the members of the minimal payload (id, token, commit and one step) can
/// finish a job.
async fn minimal_payload_is_enough_to_finish_a_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let (git, step) = (&claim.payload["git_info"], &claim.payload["steps"][0]);
    assert!(git["repo_url"].is_string() && git["sha"].is_string());
    assert_eq!(step["allow_failure"], false);
    claim.patch("0-4", "hello").await.is(202);
    claim.succeed().await;
    assert_eq!(farm.job(claim.id).await.state.name(), "succeeded");
}

async fn script_job_has_its_image_and_artifacts(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let jobs = json!([{"name": "test", "spec": {
        "kind": "script", "image": "alpine:3.20", "commands": ["make", "if x\nthen y; fi"],
        "artifacts": {"paths": ["out/"], "name": "n", "when": "always", "expire_in": "1 week"},
    }}]);
    farm.build_defined(&project, definition(jobs)).await;
    let claim = RunnerApi::new(&farm)
        .register_runner(&farm)
        .await
        .claim()
        .await;
    let job = &claim.payload;
    assert_eq!(
        job["steps"][0]["script"],
        json!(["make", "if x\nthen y; fi"])
    );
    assert_eq!(job["image"]["name"], "alpine:3.20");
    for list in ["entrypoint", "command", "ports", "variables", "pull_policy"] {
        assert!(job["image"][list].is_array(), "{list}");
    }
    assert_eq!(
        job["artifacts"],
        json!([{
            "name": "n", "untracked": false, "paths": ["out/"], "exclude": [], "when": "always",
            "artifact_type": "archive", "artifact_format": "zip", "expire_in": "1 week",
        }])
    );
}

fn variable<'a>(payload: &'a Value, key: &str) -> &'a Value {
    let all = payload["variables"].as_array().unwrap();
    let last = all.iter().rev().find(|variable| variable["key"] == key);
    last.unwrap_or_else(|| panic!("no {key}"))
}

async fn file_variables_of_scripts_are_files(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let body = json!({"value": "{}", "public": true, "file": true});
    let request = farm
        .http
        .put(farm.url("/v1/projects/acme/api/variables/CONFIG"));
    let request = request.bearer_auth(&farm.admin_token).json(&body);
    assert_eq!(request.send().await.unwrap().status(), 200);
    let runner = RunnerApi::new(&farm).register_runner(&farm).await;
    let script = json!([{"name": "test", "spec": {"kind": "script", "commands": ["true"]}}]);
    let image = json!([{"name": "image", "spec": {"kind": "image_build"}}]);
    for (jobs, is_file) in [(script, true), (image, false)] {
        farm.build_defined(&project, crate::client::definition(jobs))
            .await;
        let claim = runner.claim().await;
        let all = claim.payload["variables"].as_array().unwrap();
        let config = all.iter().find(|variable| variable["key"] == "CONFIG");
        let config = config.unwrap();
        assert_eq!(config["file"], is_file, "{config}");
        assert_eq!(config["value"], "{}");
        claim.succeed().await;
    }
}

async fn secret_variables_are_masked(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    farm.project("acme/api").await;
    let request = farm
        .http
        .put(farm.url("/v1/projects/acme/api/variables/SECRET"))
        .json(&json!({"value": "a$b", "public": false}));
    let response = request.bearer_auth(&farm.admin_token).send().await.unwrap();
    assert!(response.status().is_success(), "{response:?}");
    let claim = Claim::of_new_build(&farm).await;
    for (key, value) in [("SECRET", "a$b"), ("CI_JOB_TOKEN", claim.token.as_str())] {
        let variable = variable(&claim.payload, key);
        assert_eq!(
            *variable,
            json!({
                "key": key, "value": value, "public": false, "file": false, "masked": true,
                "raw": true,
            })
        );
    }
}

async fn variables_have_the_names_of_both_protocols(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let claim = Claim::of_new_build(&farm).await;
    let value = |key: &str| {
        variable(&claim.payload, key)["value"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    for key in [
        "CI",
        "GITLAB_CI",
        "CI_SERVER",
        "CI_SERVER_NAME",
        "CI_JOB_NAME",
        "CI_JOB_STAGE",
        "CI_PROJECT_ID",
        "CI_PROJECT_NAME",
        "CI_PIPELINE_ID",
        "CI_REPOSITORY_URL",
    ] {
        assert!(!value(key).is_empty(), "{key}");
    }
    let base = &claim.runner.api.base;
    assert_eq!(value("CI_SERVER_URL"), *base);
    assert_eq!(value("CI_API_V4_URL"), format!("{base}/api/v4"));
    assert_eq!(value("CI_PROJECT_URL"), format!("{base}/acme/api"));
    assert_eq!(value("CI_PROJECT_PATH"), "acme/api");
    assert_eq!(value("CI_JOB_ID"), value("CI_BUILD_ID"));
    assert_eq!(value("CI_COMMIT_SHA"), SHA);
    assert_eq!(value("CI_COMMIT_SHORT_SHA"), SHA[..8]);
    assert_eq!(value("CI_COMMIT_REF_NAME"), "main");
    assert_eq!(value("CI_COMMIT_BRANCH"), "main");
}
