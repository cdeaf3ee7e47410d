//! GitLab's API v3 for builds and what belongs to them, tested with the real application over HTTP
//! on both database back ends.
//!
//! `docs/protocols/gitlab-builds-v3.md` describes the protocol.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod api_client;
mod auth;
mod builds;
#[path = "../support/runner_v1.rs"]
#[expect(dead_code, reason = "the tests of the runner protocol need more of it")]
mod client;
mod fixture;
mod pagination;
mod python;
mod resources;
mod transport;
