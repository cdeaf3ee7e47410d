//! Talking to the Docker Engine: its address, build requests, and the meaning of its answers.

pub(crate) mod build_call;
pub(crate) mod build_options;
pub(crate) mod credentials;
pub(crate) mod endpoint;
pub(crate) mod failures;
pub(crate) mod networks;
mod ping;
pub(crate) mod replay;
pub(crate) mod resolved_bases;
mod storage;
pub(crate) mod trace_writer;
pub(crate) mod versioned;
