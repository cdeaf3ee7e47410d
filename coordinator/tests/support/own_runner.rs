//! A runner that is ours, which comes by protocol v1.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::TestFarm;

use crate::client::{Answer, Claim, Runner, Wire};

/// A runner that is ours.
pub(crate) struct OwnRunner(pub(crate) Runner);

impl OwnRunner {
    /// Registers one that is shared and takes every job.
    pub(crate) async fn register(farm: &TestFarm) -> Self {
        let wire = Wire::to(farm).agent(Some("slipway-runner"));
        let body = json!({"description": "ours", "run_untagged": true, "info": info()});
        Self(wire.register(&farm.registration_token, body).await)
    }

    /// Asks for a job and may not be held.
    pub(crate) async fn poll(&self) -> Answer {
        let body = json!({"info": info(), "token": self.0.token});
        let path = "/builds/register.json";
        self.0.wire.json(Method::POST, path, &body).await
    }

    /// Gets a job.
    pub(crate) async fn claim(&self) -> Claim {
        Claim::read(&self.0, &self.poll().await)
    }
}

/// What a runner of ours says of itself.
fn info() -> Value {
    json!({
        "name": "slipway-runner", "version": "0.1.0", "platform": "linux",
        "architecture": "amd64", "executor": "docker",
        "features": {"variables": true, "image": true, "features": true, "heartbeat": true},
    })
}
