//! The runner against a strict coordinator over real HTTP: in this process with the scripted
//! executor, as the program that operators start, and with the real Docker Engine.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod binary;
mod docker;
mod fake_coordinator;
mod full_disk;
mod job_lifecycle;
