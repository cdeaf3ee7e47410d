//! The coordinator: configuration, wiring, periodic tasks, graceful shutdown.
//!
//! This crate contains no rules. It connects the crates of the lower layers.

mod build_page;
mod config;
mod data_dir;
mod dialects;
mod durations;
mod duties;
mod first_start;
mod forges;
mod health;
mod network;
mod request_span;
mod server;
mod traffic;

pub use config::{Config, Limits};
pub use dialects::{Harmont, Quay};
pub use forges::Forges;
pub use network::Network;
pub use server::{Coordinator, migrate, start};
pub use traffic::Traffic;
