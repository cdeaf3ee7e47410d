//! The handlers of the runner protocol v1.

pub(crate) mod artifacts;
pub(crate) mod jobs;
pub(crate) mod runners;
pub(crate) mod uploads;
