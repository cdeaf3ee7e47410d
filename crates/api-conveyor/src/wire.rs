//! Conveyor's objects as they are serialized.

use serde::Serialize;

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Build {
    pub(crate) id: String,
    pub(crate) repository: String,
    pub(crate) branch: String,
    pub(crate) sha: String,
    pub(crate) state: &'static str,
    pub(crate) created_at: String,
    pub(crate) started_at: Option<String>,
    pub(crate) completed_at: Option<String>,
}

/// An image that a build pushed.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Artifact {
    pub(crate) id: String,
    pub(crate) image: String,
    pub(crate) build: BuildRef,
}

/// A reference to a build.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct BuildRef {
    pub(crate) id: String,
}

/// The body of every error.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorBody {
    pub(crate) id: &'static str,
    pub(crate) message: String,
}
