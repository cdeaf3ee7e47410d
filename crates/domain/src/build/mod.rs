//! A build: one run of a pipeline, its state and where it came from.

pub mod rollup;
pub mod source;
pub mod trust;
