//! Builds in the words of Quay: phases, and one log over all attempts.

pub(crate) mod build_log;
pub(crate) mod quay_phases;
pub(crate) mod told_builds;
