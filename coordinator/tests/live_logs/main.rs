//! The live log stream of the Harmont API, tested with the real application over HTTP on both
//! database back ends.
//!
//! `docs/protocols/harmont.md#live-log-stream` describes it. These tests create log tokens and read
//! jobs through the farm and the native API; `coordinator/tests/harmont` tests the rest of the API.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

#[path = "../support/runner_v1.rs"]
#[expect(
    dead_code,
    reason = "only the tests of the runner protocol use all of it"
)]
mod client;
#[path = "../support/cut_trace.rs"]
#[expect(dead_code, reason = "only the tests of protocol v4 use all of it")]
mod cut_trace;
mod delivery;
mod fixture;
mod frames;
mod line_headers;
#[path = "../support/log_stream.rs"]
mod log_stream;
mod postgres_two_coordinators;
mod resume;
mod slow_readers;
mod tokens;
mod trace_limit;
