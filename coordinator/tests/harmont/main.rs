//! The builds API of Harmont as its clients speak it: each check of the contract, through the real
//! application over real HTTP, on both back ends.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

mod canceling;
#[path = "../support/runner_v1.rs"]
#[expect(dead_code, reason = "the tests of the runner protocol need more of it")]
mod client;
mod creating;
mod doors;
mod graphs;
mod lists;
mod logins;
mod logs;
mod neighbours;
mod python;
mod running;
#[path = "../support/slipway_runner.rs"]
mod slipway_runner;
mod sources;
#[path = "../live_logs/support.rs"]
#[expect(dead_code, reason = "the stories of the streams need more of it")]
mod streams;
mod support;
