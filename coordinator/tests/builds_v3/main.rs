//! The consumer API v3 as its clients of the time speak it: each check of the contract, through
//! the real application over real HTTP, on both back ends.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

mod acting;
#[path = "../support/runner_v1.rs"]
#[expect(dead_code, reason = "the tests of the runner protocol need more of it")]
mod client;
mod commits;
mod doors;
mod files;
mod lists;
mod members;
mod neighbours;
mod objects;
mod projects;
mod python;
mod runners;
mod session;
mod support;
mod triggers;
mod variables;
