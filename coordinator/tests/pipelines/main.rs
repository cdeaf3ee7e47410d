//! Pipelines of several jobs: where definitions come from, and how their builds run, through the real
//! application on both back ends.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod from_repository;
mod graphs;
mod invalid_definitions;
mod missing_needs;
mod platforms;
mod scripted_runner;
mod source_retention;
mod warm_runners;
