//! The coordinator: configuration, wiring, background duties, a graceful end.
//!
//! Everything that decides anything is in the crates below; this one puts them together.

mod config;
mod duties;
mod first_start;
mod forges;
mod health;
mod server;

pub use config::{Config, Limits};
pub use forges::Forges;
pub use server::{Coordinator, migrate, start};
