//! What happens while a part of the farm is broken: stored files that are gone, a full disk, a clock
//! that jumps, a database that does not answer.
//!
//! `docs/operating.md#failures` describes it.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "../support/runner_v1.rs"]
#[expect(
    dead_code,
    reason = "only the tests of the runner protocol use all of it"
)]
mod client;
mod clock_jumps;
mod full_disk;
mod missing_content;
mod silent_database;
#[path = "../support/slipway_runner.rs"]
mod slipway_runner;
