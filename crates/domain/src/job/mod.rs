//! A job: its state machine, its spec, its retry rules and the format and limit of its trace.

pub mod retry;
pub mod spec;
pub mod state;
pub mod timestamps;
pub mod trace_limit;
