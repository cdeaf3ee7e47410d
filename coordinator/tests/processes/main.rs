//! Tests with the real programs as processes.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod crash;
mod data_dir;
mod docker;
mod failed_start;
mod farm;
mod help;
#[path = "../support/scripted_runner/v4.rs"]
#[expect(dead_code, reason = "the tests of the protocol need more of it")]
mod scripted_runner_v4;
mod secret_files;
#[path = "../support/scripted_runner/shell.rs"]
mod shell;
mod signals;
mod stock_runner;
