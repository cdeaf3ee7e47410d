//! The Conveyor API and the webhooks of forges, tested with the real application over HTTP on both
//! database back ends.
//!
//! `docs/protocols/conveyor.md` describes the protocol.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod artifacts;
mod auth;
mod auto_create;
mod branch_heads;
mod build_page;
mod commit_statuses;
mod create;
mod docker;
mod fixture;
mod logs;
mod read;
mod scripted_runner;
mod webhooks;
