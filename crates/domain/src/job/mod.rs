//! A job: its state machine, its spec and its retry rules.

pub mod retry;
pub mod spec;
pub mod state;
