//! The handlers, by what they are about.

pub(crate) mod builds;
pub(crate) mod docs;
pub(crate) mod jobs;
pub(crate) mod organizations;
pub(crate) mod people;
pub(crate) mod pipelines;
pub(crate) mod source;
