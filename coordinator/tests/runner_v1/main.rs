//! The runner protocol v1 as stock runners speak it: each check of the contract, and stories
//! beyond them, through the real application over real HTTP, on both back ends.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

mod artifacts;
mod beyond;
mod broken;
#[path = "../support/runner_v1.rs"]
mod client;
mod exchanges;
mod images;
mod malformed;
mod packages;
mod polling;
mod postgres_two_coordinators;
mod queueing;
mod raw_http;
mod registering;
mod traces;
mod transport;
mod updating;
mod waiting;
