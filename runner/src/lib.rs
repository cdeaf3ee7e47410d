//! The runner: claims jobs from a coordinator, runs them on this host, and reports the results.
//!
//! [`manager`] ties the parts together: [`poll`] claims jobs while the runner is ready, which
//! [`readiness`] and [`health`] decide, and [`jobs`] runs each of them. What a job does is behind [`executor::Executor`]: [`docker`] runs it with the Docker Engine,
//! [`scripted`] without. [`traces`] masks, stores and sends the output. [`client`] is the only
//! module that talks to the coordinator.

pub mod backoff;
pub mod cli;
pub mod client;
pub mod config;
pub mod docker;
pub mod executor;
pub mod firewall;
pub mod health;
pub mod jobs;
pub mod leftovers;
pub mod manager;
pub mod poll;
pub mod readiness;
pub mod scripted;
pub mod traces;
pub mod work_dir;
