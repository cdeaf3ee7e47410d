//! Tests of the runner against a strict fake coordinator over real HTTP: in this process with the
//! scripted executor, as a binary, and with a real Docker Engine.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod binary;
mod docker;
mod fake_coordinator;
mod full_disk;
mod host_faults;
mod job_lifecycle;
mod masking;
mod traces;
mod uploads;
