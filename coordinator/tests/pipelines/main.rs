//! Pipelines of several jobs: where they come from, and how builds of them go, through the real
//! application on both back ends.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

mod brought;
mod graphs;
mod hands;
mod kept_sources;
mod platforms;
mod refused;
mod warm;
