//! A test client that announces itself as `slipway-runner`, which speaks protocol v1 with
//! extensions.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::TestFarm;

use crate::client::{ApiResponse, Claim, Runner, RunnerApi};

/// A registered `slipway-runner`.
pub(crate) struct SlipwayRunner(pub(crate) Runner);

impl SlipwayRunner {
    /// Registers a shared runner that takes every job.
    pub(crate) async fn register(farm: &TestFarm) -> Self {
        let api = RunnerApi::new(farm).with_user_agent(Some("slipway-runner"));
        let body = json!({"description": "slipway-runner", "run_untagged": true, "info": info()});
        Self(api.register(&farm.registration_token, body).await)
    }

    /// Polls without a queue key, so that the coordinator answers at once.
    pub(crate) async fn poll(&self) -> ApiResponse {
        let body = json!({"info": info(), "token": self.0.token});
        let path = "/builds/register.json";
        self.0.api.json(Method::POST, path, &body).await
    }

    /// Polls and claims a job.
    pub(crate) async fn claim(&self) -> Claim {
        Claim::read(&self.0, &self.poll().await)
    }
}

/// The `info` of a `slipway-runner`.
fn info() -> Value {
    json!({
        "name": "slipway-runner", "version": "0.1.0", "platform": "linux",
        "architecture": "amd64", "executor": "docker",
        "features": {"variables": true, "image": true, "features": true, "heartbeat": true},
    })
}
