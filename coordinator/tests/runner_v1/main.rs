//! Runner protocol v1, as gitlab-ci-multi-runner 0.5 to 1.11 speaks it, tested with the real
//! application over HTTP on both database back ends.
//!
//! `docs/protocols/runner-v1.md` describes the protocol.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod artifacts;
mod cancel;
mod claim;
#[path = "../support/runner_v1.rs"]
mod client;
#[path = "../support/cut_trace.rs"]
#[expect(dead_code, reason = "only the tests of protocol v4 use all of it")]
mod cut_trace;
mod extensions;
mod file_variables;
mod image_line;
mod lease;
mod malformed;
mod needed_files;
mod postgres_two_coordinators;
mod raw_http;
mod register;
mod sessions;
mod trace;
mod transport;
mod update;
