//! Traces: appended by runners, read and followed by everybody else.

pub(crate) mod append;
pub(crate) mod build_trace;
pub(crate) mod chunks;
pub(crate) mod live;
pub(crate) mod mask;
pub(crate) mod read;
