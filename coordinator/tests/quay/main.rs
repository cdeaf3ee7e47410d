//! Quay's repository build API, tested with the real application over HTTP on both database back
//! ends.
//!
//! `docs/protocols/quay.md` describes the protocol. Where Quay and its documentation disagree, the
//! tests expect what the farm has decided; see `docs/quay.md#decisions`.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod api_client;
mod auth;
mod cancel;
#[path = "../support/runner_v1.rs"]
#[expect(dead_code, reason = "the tests of the runner protocol need more of it")]
mod client;
mod create;
mod create_invalid;
mod fixture;
mod get;
mod limits;
mod list;
mod log_entries;
mod logs;
mod phases;
#[path = "../support/slipway_runner.rs"]
mod slipway_runner;
mod transport;
mod uploads;
