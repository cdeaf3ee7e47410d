//! Runner protocol v4, as gitlab-runner 10 to 18 speaks it, tested with the real application over HTTP
//! on both database back ends.
//!
//! `docs/protocols/runner-v4.md` describes the protocol.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod artifacts;
mod cancel;
mod claim;
mod client;
#[path = "../support/cut_trace.rs"]
mod cut_trace;
mod lease;
mod line_headers;
mod managers;
mod mixed_fleet;
mod payload;
mod published_library;
mod register;
mod scripted_jobs;
#[path = "../support/scripted_runner/v4.rs"]
mod scripted_runner;
#[path = "../support/scripted_runner/shell.rs"]
mod shell;
mod trace;
mod trace_limit;
mod transport;
mod update;
