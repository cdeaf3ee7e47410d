//! The routes of the native API, with a real farm on a new SQLite database.

#![expect(clippy::unwrap_used, reason = "a test fails on an unexpected value")]

mod auth;
mod builds;
mod credentials;
mod derived_tokens;
mod openapi;
mod projects;
mod push_targets;
mod sources;
mod support;
mod traces_and_artifacts;
mod users;
