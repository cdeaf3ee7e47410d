//! The repository build API as its clients speak it: each check of the contract, through the real
//! application over real HTTP, on both back ends.
//!
//! The mode that copies a reference server bug for bug is not offered; where a check names two
//! answers, this project's is the one that is expected.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

mod canceling;
#[path = "../support/runner_v1.rs"]
#[expect(dead_code, reason = "the tests of the runner protocol need more of it")]
mod client;
mod creating;
mod doors;
mod entries;
mod limits;
mod lists;
mod logs;
mod phases;
mod refusing;
#[path = "../support/slipway_runner.rs"]
mod slipway_runner;
mod support;
mod uploads;
