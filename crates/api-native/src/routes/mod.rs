//! The handlers, by topic. The list in `lib.rs` mounts and documents each of them.
//!
//! The OpenAPI document is made from the doc comments of the handlers: the first paragraph is the
//! summary of an operation, the rest is its description. They are written for callers of the API.

pub(crate) mod accounts;
pub(crate) mod builds;
pub(crate) mod docs;
pub(crate) mod projects;
pub(crate) mod runners;
