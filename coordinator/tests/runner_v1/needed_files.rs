//! Jobs that use the files of other jobs.
//!
//! See `docs/protocols/runner-v1.md#job-payload`.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_domain::pipeline::Definition;
use slipway_domain::queue::PendingReason;
use slipway_domain::{FailureReason, JobState, Outcome};
use slipway_farm::StartBlocker;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{ApiResponse, Claim, Runner, RunnerApi};

on_both_back_ends!(
    runner_that_cannot_download_files_does_not_get_a_job_that_needs_them,
    job_fails_if_needed_files_are_gone_when_it_is_claimed,
);

fn definition() -> Definition {
    let jobs = json!([
        {"name": "make", "spec": {"kind": "script", "commands": ["x"], "artifacts": {"paths": ["out"]}}},
        {"name": "use", "needs": ["make"], "spec": {"kind": "script", "commands": ["x"]}},
    ]);
    serde_json::from_value(json!({ "jobs": jobs })).unwrap()
}

/// A stock runner of some version.
struct OfVersion {
    runner: Runner,
    info: Value,
}

impl OfVersion {
    async fn register(farm: &TestFarm, version: &str) -> Self {
        let info =
            json!({"name": "gitlab-ci-multi-runner", "version": version, "architecture": "amd64"});
        let body = json!({"description": version, "info": info});
        let runner = RunnerApi::new(farm)
            .register(&farm.registration_token, body)
            .await;
        Self { runner, info }
    }

    async fn poll(&self) -> ApiResponse {
        let body = json!({"info": self.info, "token": self.runner.token});
        let path = "/builds/register.json";
        self.runner.api.json(Method::POST, path, &body).await
    }

    async fn claim(&self) -> Claim {
        Claim::read(&self.runner, &self.poll().await)
    }
}

async fn runner_that_cannot_download_files_does_not_get_a_job_that_needs_them(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let build = farm.build_defined(&project, definition()).await;
    let old = OfVersion::register(&farm, "1.0.4").await;
    let older = OfVersion::register(&farm, "0.5.5").await;
    // They can run the job that leaves the files.
    let make = old.claim().await;
    make.upload("", "artifacts.zip", b"zip").await.is(201);
    make.succeed().await;
    old.poll().await.no_job();
    older.poll().await.no_job();
    let jobs = farm.jobs(&build).await;
    let job = jobs.iter().find(|job| job.name == "use").unwrap();
    let why = farm.farm().pending_reason(&project, job.id).await.unwrap();
    let missing = vec!["files of needed jobs".to_owned()];
    let expected = PendingReason::NoRunnerHasFeatures(missing);
    assert_eq!(why, StartBlocker::Pending(expected));
    let newer = OfVersion::register(&farm, "1.1.4").await;
    let claim = newer.claim().await;
    assert_eq!(claim.id, job.id);
    assert_eq!(
        claim.payload["depends_on_builds"][0]["artifacts_file"]["filename"],
        "artifacts.zip"
    );
    claim.succeed().await;
}

async fn job_fails_if_needed_files_are_gone_when_it_is_claimed(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let runner = OfVersion::register(&farm, "1.11.5").await;
    for how in ["erased", "expired"] {
        let build = farm.build_defined(&project, definition()).await;
        let make = runner.claim().await;
        make.upload("expire_in=1+day", "artifacts.zip", b"zip")
            .await
            .is(201);
        make.succeed().await;
        if how == "erased" {
            farm.erase(make.id).await;
        } else {
            farm.advance(2 * 86_400);
        }
        runner.poll().await.no_job();
        let jobs = farm.jobs(&build).await;
        let job = jobs.iter().find(|job| job.name == "use").unwrap();
        let failed = Outcome::Failed(FailureReason::NeedMissing);
        assert_eq!(job.state, JobState::Done(failed), "{how}");
        let why = job.failure_message.as_deref().unwrap();
        assert!(why.starts_with("it needs the files of job make, "), "{why}");
    }
}
