//! Shapes that are only described: what is sent is read field by field, and what encloses an object
//! is written where the object is.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::shapes::{Build, Job};

/// What a build is asked for with.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewBuild {
    #[schema(max_length = 4096, example = "main")]
    branch: String,
    #[schema(max_length = 4096, example = "6c1d3f0e9a")]
    commit: String,
    message: Option<String>,
    /// `api`, `ui`, `webhook`, `trigger_job` or `schedule`; `api` when absent.
    source: Option<String>,
    /// The graph, as JSON.
    #[schema(example = json!(r#"{"version":"0","steps":[{"type":"command","key":"t","cmd":"make test"}]}"#))]
    pipeline_ir: Option<String>,
    /// A gzipped tar of the sources, in base64.
    source_b64: Option<String>,
    env: Option<BTreeMap<String, String>>,
    /// Where a gzipped tar of the sources is.
    #[schema(max_length = 4096)]
    source_url: Option<String>,
    /// The SHA-256 that the sources must have, in hex.
    #[schema(max_length = 4096)]
    source_sha256: Option<String>,
}

/// What a build of a pipeline is asked for with that is known by its repository.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewBuildBySource {
    /// The repository as `owner/name`, in any case.
    #[schema(max_length = 4096, example = "acme/web")]
    repo_name: String,
    /// What the pipeline is called inside of the repository.
    #[schema(max_length = 4096, example = "ci")]
    source_slug: String,
    #[serde(flatten)]
    build: NewBuild,
}

/// A page of builds, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct BuildPage {
    data: Vec<Build>,
    /// Leads to the next page; null on the last one.
    next_cursor: Option<String>,
}

/// The jobs of a build, each after those that it needs.
#[derive(Serialize, ToSchema)]
pub(crate) struct JobList {
    data: Vec<Job>,
}

/// A failure.
#[derive(Serialize, ToSchema)]
pub(crate) struct Failure {
    error: Told,
}

/// What is told of a failure.
#[derive(Serialize, ToSchema)]
pub(crate) struct Told {
    #[serde(rename = "type")]
    kind: String,
    code: String,
    message: String,
    doc_url: String,
    request_id: String,
}
