//! The Harmont builds API, tested with the real application over HTTP on both database back ends.
//!
//! `docs/protocols/harmont.md` describes the protocol. The live log stream has tests of its own in
//! `coordinator/tests/live_logs`.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod auth;
mod cancel;
#[path = "../support/runner_v1.rs"]
#[expect(
    dead_code,
    reason = "only the tests of the runner protocol use all of it"
)]
mod client;
mod create;
mod fixture;
mod generations;
mod graphs;
mod jobs;
mod list;
#[path = "../support/log_stream.rs"]
#[expect(dead_code, reason = "only the tests of the stream use all of it")]
mod log_stream;
mod login;
mod logs;
mod organizations;
mod pipelines;
mod published_sdk;
mod python;
#[path = "../support/slipway_runner.rs"]
mod slipway_runner;
mod source;
mod states;
mod transport;
