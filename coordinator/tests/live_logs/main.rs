//! The live stream of a job's log as clients of Harmont follow it: each check of the contract,
//! through the real application over real HTTP, on both back ends.
//!
//! Where a check asks for a token or for jobs, the farm and the native API are asked here; the rest
//! of Harmont's API is asked in the tests of that.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

#[path = "../support/runner_v1.rs"]
#[expect(dead_code, reason = "the tests of the runner protocol need more of it")]
mod client;
mod following;
mod postgres_two_coordinators;
mod slow;
mod stream;
mod support;
mod tokens;
