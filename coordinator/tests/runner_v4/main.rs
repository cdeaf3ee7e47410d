//! The runner protocol v4 as stock runners of today speak it: each check of the contract, and stories
//! beyond them, through the real application over real HTTP, on both back ends.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

mod artifacts;
mod canceling;
mod client;
mod fleet;
mod managers;
mod payloads;
mod polling;

mod published;
mod registering;
#[path = "../support/scripted_runner/v4.rs"]
mod scripted_runner;
#[path = "../support/scripted_runner/shell.rs"]
mod shell;
mod stories;
mod traces;
mod transport;
mod updating;
