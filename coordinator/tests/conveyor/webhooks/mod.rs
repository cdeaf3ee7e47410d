//! Webhooks of GitHub, GitLab, Gitea and Forgejo.
//!
//! See `docs/protocols/conveyor.md#webhooks`.

mod gitea;
mod github;
mod github_signatures;
mod gitlab;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::Sha256;
use slipway_testkit::Backend;

use crate::fixture::{ApiResponse, Fixture, REPOSITORY, SHA};

/// The farm's secret for GitHub.
pub(crate) const SECRET: &str = "a-secret-of-the-farm";

/// The HMAC of a body with SHA-256, in hex.
pub(crate) fn signed(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    hex::encode(mac.chain_update(body).finalize().into_bytes())
}

/// A farm that accepts deliveries of GitHub that are signed with [`SECRET`].
async fn start_farm(backend: Backend) -> Fixture {
    Fixture::with(backend, |config, files| {
        let file = files.join("secret");
        std::fs::write(&file, format!("{SECRET}\n")).unwrap();
        config.forges.github_webhook_secret_file = Some(file);
    })
    .await
}

/// A push event of GitHub.
pub(crate) fn push(git_ref: &str, sha: &str, message: &str) -> Value {
    json!({
        "ref": git_ref,
        "before": "0000000000000000000000000000000000000000",
        "after": sha,
        "created": false,
        "deleted": false,
        "forced": false,
        "head_commit": {"id": sha, "tree_id": sha, "message": message, "added": []},
        "commits": [],
        "pusher": {"name": "ada"},
        "repository": {
            "id": 1, "name": "api", "full_name": REPOSITORY, "fork": false, "private": true,
            "default_branch": "main"
        }
    })
}

/// A delivery of GitHub, signed with a secret.
fn delivery(fixture: &Fixture, event: &str, body: &str, secret: &str) -> RequestBuilder {
    fixture
        .request(Method::POST, "/")
        .header("X-GitHub-Event", event)
        .header("Content-Type", "application/json")
        .header(
            "X-Hub-Signature-256",
            format!("sha256={}", signed(secret, body.as_bytes())),
        )
        .body(body.to_owned())
}

/// Sends a delivery of GitHub that is signed with [`SECRET`].
async fn deliver(fixture: &Fixture, event: &str, body: &Value) -> ApiResponse {
    Fixture::send(delivery(fixture, event, &body.to_string(), SECRET)).await
}

/// A push event for [`SHA`] on `main`.
fn push_to_main() -> Value {
    push("refs/heads/main", SHA, "a change")
}
