//! Stories with the real programs.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

mod docker;
mod killed;
mod place;
#[path = "../support/shell.rs"]
mod shell;
mod starting;
mod stock;
#[path = "../runner_v4/stock.rs"]
#[expect(dead_code, reason = "the checks of the protocol need more of it")]
mod stock_v4;
