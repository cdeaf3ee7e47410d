//! The runner: claims jobs from a coordinator, runs them on this host, and reports.
//!
//! One small loop a file: `poll` claims, `heartbeat` shows life and hears of cancels, `trace`
//! sends what the job writes, and `job` holds one job's loops together;
//! `archives` moves files before and after its work. They are joined by
//! channels and cancellation tokens. What a job does is behind [`executor::Executor`].

mod archives;
pub mod backoff;
pub mod cli;
pub mod client;
pub mod config;
pub mod disk;
pub mod docker;
pub mod executor;
pub mod heartbeat;
pub mod job;
mod job_secrets;
pub mod mask;
pub mod phases;
pub mod poll;
pub mod runner;
pub mod scripted;
pub mod spool;
pub mod stop;
pub mod trace;
