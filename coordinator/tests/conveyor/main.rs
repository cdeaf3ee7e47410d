//! The builds API and the push hooks, check by check as their contract numbers them, through the
//! real application over real HTTP, on both back ends.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

mod access;
mod asking;
mod client;
mod docker;
mod first_use;
mod forges;
mod github;
mod hands;
mod heads;
mod logs;
mod reading;
mod statuses;
