//! Runners of both protocols and slipway-runner claim jobs from one queue.
//!
//! See `docs/protocols/runner-v4.md#claiming-jobs` and `docs/protocols/runner-v1.md#claiming-jobs`.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{RunnerApi, definition};

on_both_back_ends!(
    runners_of_all_protocols_share_one_queue,
    job_lost_by_one_protocol_is_claimed_by_the_other,
);

/// A runner of protocol v1: a stock runner or slipway-runner, depending on its features.
struct V1Runner<'a> {
    farm: &'a TestFarm,
    token: String,
    features: Value,
}

impl<'a> V1Runner<'a> {
    async fn register(farm: &'a TestFarm, features: Value) -> Self {
        let mut runner = Self {
            farm,
            token: String::new(),
            features,
        };
        let body = json!({"token": farm.registration_token, "info": runner.info()});
        let created = runner
            .send(Method::POST, "/runners/register.json", body)
            .await;
        assert_eq!(created.0, 201);
        runner.token = created.1["token"].as_str().unwrap().to_owned();
        runner
    }

    fn info(&self) -> Value {
        json!({"name": "v1", "version": "1.11.2", "architecture": "amd64",
            "features": self.features})
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let url = self.farm.url(&format!("/ci/api/v1{path}"));
        let user_agent = "gitlab-ci-multi-runner 1.11.2 (1-11-stable; go1.7.5; linux/amd64)";
        let request = self
            .farm
            .http
            .request(method, url)
            .header("User-Agent", user_agent);
        let response = request.json(&body).send().await.unwrap();
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn claim(&self) -> Option<i64> {
        let body = json!({"token": self.token, "info": self.info()});
        let (status, job) = self.send(Method::POST, "/builds/register.json", body).await;
        (status == 201).then(|| job["id"].as_i64().unwrap())
    }

    async fn succeed(&self, job: i64) {
        let body = json!({"token": self.token, "state": "success", "trace": "done\n"});
        let path = format!("/builds/{job}.json");
        assert_eq!(self.send(Method::PUT, &path, body).await.0, 200);
    }
}

async fn runners_of_all_protocols_share_one_queue(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let slipway = V1Runner::register(&farm, json!({"heartbeat": true})).await;
    let v1 = V1Runner::register(&farm, json!({"variables": true})).await;
    let v4 = RunnerApi::new(&farm).register_runner(&farm).await;
    let mut builds = Vec::new();
    for _ in 0..6 {
        builds.push(farm.build(&project).await);
    }
    let mut order = Vec::new();
    for _ in 0..2 {
        let job = v4.claim().await;
        order.push(job.id.0);
        job.patch("0-4", "done\n").await.is(202);
        job.succeed().await;
        for runner in [&v1, &slipway] {
            let job = runner.claim().await.unwrap();
            order.push(job);
            runner.succeed(job).await;
        }
    }
    // The oldest job is claimed first, whichever runner polls, and each job once.
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(order, sorted);
    v4.expect_no_job().await;
    for build in &builds {
        assert_eq!(farm.build_now(build).await.state.as_str(), "succeeded");
        assert!(!farm.trace(farm.jobs(build).await[0].id).await.is_empty());
    }
    // A job that shell commands cannot express waits for slipway-runner.
    let jobs = json!([{"name": "image", "spec": {"kind": "image_build", "ssh": "KEY"}}]);
    farm.build_defined(&project, definition(jobs)).await;
    v4.expect_no_job().await;
    assert_eq!(v1.claim().await, None);
    assert!(slipway.claim().await.is_some());
}

async fn job_lost_by_one_protocol_is_claimed_by_the_other(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let v1 = V1Runner::register(&farm, json!({"variables": true})).await;
    let v4 = RunnerApi::new(&farm).register_runner(&farm).await;
    let build = farm.build(&project).await;
    let lost = v4.claim().await;
    farm.advance(91);
    farm.expire_leases().await;
    let job = v1.claim().await.unwrap();
    assert_ne!(job, lost.id.0);
    v1.succeed(job).await;
    lost.patch("0-0", ".").await.has_job_status(403, "failed");
    assert_eq!(farm.build_now(&build).await.state.as_str(), "succeeded");
}
