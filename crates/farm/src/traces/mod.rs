//! Traces: what runners append, and what everybody else reads and follows.

pub(crate) mod append;
pub(crate) mod chunks;
pub(crate) mod follow_build;
pub(crate) mod live;
pub(crate) mod mask;
mod new_text;
pub(crate) mod read;
mod tail_start;
