//! The handlers of the runner protocol v4.

pub(crate) mod artifacts;
pub(crate) mod jobs;
pub(crate) mod runners;
