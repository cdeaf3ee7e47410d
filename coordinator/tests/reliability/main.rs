//! Interrupted requests and lost messages: whatever breaks, nothing acknowledged is lost, nothing is done
//! twice, and nothing is left behind.
//!
//! `docs/reliability.md` describes the tests, and how to repeat one.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod client;
mod fail_points;
mod left_overs;
mod simulation;
