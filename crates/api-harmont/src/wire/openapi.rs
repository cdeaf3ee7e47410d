//! Objects that exist only for the OpenAPI document: requests are read field by field, and lists and
//! errors are serialized where they are created.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::{Build, Job};

/// A new build of a pipeline.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewBuild {
    #[schema(max_length = 4096, example = "main")]
    branch: String,
    #[schema(max_length = 4096, example = "6c1d3f0e9a")]
    commit: String,
    message: Option<String>,
    /// `api`, `ui`, `webhook`, `trigger_job` or `schedule`; `api` if missing.
    source: Option<String>,
    /// The graph, as JSON.
    #[schema(example = json!(r#"{"version":"0","steps":[{"type":"command","key":"t","cmd":"make test"}]}"#))]
    pipeline_ir: Option<String>,
    /// A gzipped tar of the sources, in base64.
    source_b64: Option<String>,
    env: Option<BTreeMap<String, String>>,
    /// The URL of a gzipped tar of the sources.
    #[schema(max_length = 4096)]
    source_url: Option<String>,
    /// The expected SHA-256 of the sources, in hex.
    #[schema(max_length = 4096)]
    source_sha256: Option<String>,
}

/// A new build of a pipeline that is found by its repository.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewBuildBySource {
    /// The repository as `owner/name`; case does not matter.
    #[schema(max_length = 4096, example = "acme/web")]
    repo_name: String,
    /// The name of the pipeline in the repository.
    #[schema(max_length = 4096, example = "ci")]
    source_slug: String,
    #[serde(flatten)]
    build: NewBuild,
}

/// A page of builds, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct BuildPage {
    data: Vec<Build>,
    /// The `cursor` of the next page; null on the last one.
    next_cursor: Option<String>,
}

/// The jobs of a build, each after the jobs that it needs.
#[derive(Serialize, ToSchema)]
pub(crate) struct JobList {
    data: Vec<Job>,
}

/// The body of an error.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    error: ErrorDetail,
}

/// The details of an error.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    #[serde(rename = "type")]
    kind: String,
    code: String,
    message: String,
    doc_url: String,
    request_id: String,
}
