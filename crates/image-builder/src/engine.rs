//! Talking to the Docker Engine: where it is, one build request, and what its answers mean.

pub(crate) mod build_call;
pub(crate) mod build_options;
pub(crate) mod endpoint;
pub(crate) mod failures;
pub(crate) mod trace_writer;
