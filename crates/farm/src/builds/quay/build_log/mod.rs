//! The log of a build as Quay shows it.

pub(crate) mod attempts;
pub(crate) mod entry;
pub(crate) mod lines;
pub(crate) mod log;
