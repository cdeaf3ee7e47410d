//! Jobs: reports of runners, what people do to a job, artifacts, and how a job ends.

pub(crate) mod access;
pub(crate) mod actions;
pub(crate) mod artifact_uploads;
pub(crate) mod artifacts;
pub(crate) mod ending;
pub(crate) mod marked_image;
pub(crate) mod orphans;
pub(crate) mod own_report;
pub(crate) mod report;
pub(crate) mod storage;
