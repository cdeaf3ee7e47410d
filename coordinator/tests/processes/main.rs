//! Stories with the real programs.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

mod docker;
mod killed;
mod place;
mod starting;
mod stock;
