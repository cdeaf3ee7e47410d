//! Stories with the real programs.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

mod docker;
mod killed;
mod place;
#[path = "../support/scripted_runner/v4.rs"]
#[expect(dead_code, reason = "the tests of the protocol need more of it")]
mod scripted_runner_v4;
#[path = "../support/scripted_runner/shell.rs"]
mod shell;
mod starting;
mod stock;
