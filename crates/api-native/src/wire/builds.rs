//! Builds, jobs, traces and artifacts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use slipway_domain::{BuildState, CommitSha, GitRef, ImageBuild, JobSpec, Slug, UploadId};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::ErrorDetail;
use crate::parsed::parsed_if_any;

/// One run of a pipeline.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Build {
    /// Its name.
    pub(crate) id: Uuid,
    /// `namespace/name` of the project.
    pub(crate) project: String,
    /// The pipeline's slug.
    pub(crate) pipeline: String,
    /// Its number in the pipeline.
    pub(crate) number: i64,
    /// The commit.
    pub(crate) sha: String,
    /// The branch or tag it was asked for by.
    #[serde(rename = "ref")]
    pub(crate) git_ref: Option<String>,
    /// Whether `ref` is a tag.
    pub(crate) ref_is_tag: bool,
    /// `pending`, `running`, `succeeded`, `failed`, `canceled` or `skipped`.
    pub(crate) state: &'static str,
    /// The id of the user who asked for it.
    pub(crate) created_by: Option<i64>,
    /// When it was asked for.
    pub(crate) created_at: DateTime<Utc>,
    /// When its first job was claimed.
    pub(crate) started_at: Option<DateTime<Utc>>,
    /// When its last job was over.
    pub(crate) finished_at: Option<DateTime<Utc>>,
    /// Why the build as a whole could not be, so that it has no jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<ErrorDetail>,
}

/// A build with its jobs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BuildWithJobs {
    /// The build.
    #[serde(flatten)]
    pub(crate) build: Build,
    /// Its jobs, earlier attempts included, oldest first.
    pub(crate) jobs: Vec<Job>,
}

/// A build to make.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBuild {
    /// The branch or tag; the default branch when `sha` is absent too.
    #[serde(rename = "ref")]
    #[schema(value_type = Option<String>)]
    pub(crate) git_ref: Option<GitRef>,
    /// The commit; the one that `ref` points to when absent.
    #[schema(value_type = Option<String>)]
    pub(crate) sha: Option<CommitSha>,
    /// The pipeline's slug; `default` when absent.
    #[schema(value_type = Option<String>)]
    pub(crate) pipeline: Option<Slug>,
    /// The name of sources that were sent before; they are built in the place of a commit, and
    /// `ref` and `sha` are absent then.
    #[schema(value_type = Option<Uuid>)]
    pub(crate) source: Option<UploadId>,
    /// How the image is built of `source`: the spec of an image build, as in a pipeline.
    #[schema(value_type = Option<Object>)]
    pub(crate) image: Option<Box<ImageBuild>>,
    /// Whether the image of `source` is pushed; when absent, if there is a place for it.
    pub(crate) push: Option<bool>,
}

/// A build of sources that are not sent yet.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BuildToCheck {
    /// The pipeline's slug; `default` when absent.
    #[schema(value_type = Option<String>)]
    pub(crate) pipeline: Option<Slug>,
    /// How the image is built: the spec of an image build, as in a pipeline.
    #[schema(value_type = Option<Object>)]
    pub(crate) image: Option<Box<ImageBuild>>,
    /// Whether the image is pushed; when absent, if there is a place for it.
    pub(crate) push: Option<bool>,
}

/// What is known of a build before it is made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CheckedBuild {
    /// Where its image would be pushed; null when it would not be.
    pub(crate) repository: Option<String>,
}

/// Sources that a build can be made of.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Source {
    /// Their name.
    #[schema(value_type = Uuid)]
    pub(crate) id: String,
    /// How large they are, packed.
    pub(crate) size_bytes: u64,
    /// The SHA-256 of the packed bytes, in hex.
    pub(crate) sha256: String,
    /// When they go, unless a build uses them.
    pub(crate) expires_at: DateTime<Utc>,
}

/// Which builds are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct BuildQuery {
    /// Only in this state.
    #[serde(default, deserialize_with = "parsed_if_any")]
    #[param(value_type = Option<String>)]
    pub(crate) state: Option<BuildState>,
    /// Only of this branch or tag.
    #[serde(default, rename = "ref", deserialize_with = "parsed_if_any")]
    #[param(value_type = Option<String>)]
    pub(crate) git_ref: Option<GitRef>,
    /// Only of this commit.
    #[serde(default, deserialize_with = "parsed_if_any")]
    #[param(value_type = Option<String>)]
    pub(crate) sha: Option<CommitSha>,
    /// Only of the pipeline with this slug.
    #[serde(default, deserialize_with = "parsed_if_any")]
    #[param(value_type = Option<String>)]
    pub(crate) pipeline: Option<Slug>,
}

/// One attempt at a job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Job {
    /// Its id.
    pub(crate) id: i64,
    /// The build it belongs to.
    pub(crate) build: Uuid,
    /// `namespace/name` of the project.
    pub(crate) project: String,
    /// Its name.
    pub(crate) name: String,
    /// The stage it is shown under.
    pub(crate) stage: String,
    /// `waiting`, `pending`, `running`, `succeeded`, `failed`, `canceled` or `skipped`.
    pub(crate) state: &'static str,
    /// While it runs: `preparing`, `fetching`, `pulling`, `building`, `pushing` or `uploading`.
    pub(crate) phase: Option<&'static str>,
    /// Why it failed, in a word.
    pub(crate) failure_reason: Option<&'static str>,
    /// Why it failed or was skipped, in a sentence.
    pub(crate) failure_message: Option<String>,
    /// Whether the build succeeds even if it fails.
    pub(crate) allow_failure: bool,
    /// Which attempt it is, from 1.
    pub(crate) attempt: i32,
    /// The job that it retries.
    pub(crate) retries: Option<i64>,
    /// Whether a later attempt was made.
    pub(crate) superseded: bool,
    /// How long it may run, in seconds.
    pub(crate) timeout_s: i32,
    /// The id of the runner that has it or had it.
    pub(crate) runner: Option<i64>,
    /// What it does.
    #[schema(value_type = Object)]
    pub(crate) spec: JobSpec,
    /// The steps of its image build in the order of the builder, once it is over.
    pub(crate) build_steps: Vec<BuildStep>,
    /// Whether its trace is over and has not all that its runner wrote.
    pub(crate) trace_incomplete: bool,
    /// When it was made.
    pub(crate) created_at: DateTime<Utc>,
    /// When it became pending.
    pub(crate) queued_at: Option<DateTime<Utc>>,
    /// When it was claimed.
    pub(crate) started_at: Option<DateTime<Utc>>,
    /// When it was over.
    pub(crate) finished_at: Option<DateTime<Utc>>,
    /// When its trace and artifacts were erased.
    pub(crate) erased_at: Option<DateTime<Utc>>,
    /// The id of the user who erased them.
    pub(crate) erased_by: Option<i64>,
}

/// One step of an image build.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BuildStep {
    /// What the builder calls it.
    pub(crate) name: String,
    /// How long it took, in milliseconds.
    pub(crate) duration_ms: u64,
    /// Whether its result was there already.
    pub(crate) cached: bool,
    /// Whether it failed.
    pub(crate) failed: bool,
}

/// Where to begin to read a trace.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TraceQuery {
    /// The first byte that is wanted.
    #[serde(default, deserialize_with = "parsed_if_any")]
    #[param(value_type = Option<u64>)]
    pub(crate) offset: Option<Offset>,
}

/// A byte of a trace, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offset(pub(crate) u64);

impl std::str::FromStr for Offset {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let why = "an offset is a whole number of bytes, from 0";
        text.parse().map(Offset).map_err(|_| why)
    }
}

/// The data of an event `chunk` of a trace's stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TraceChunk {
    /// Where the bytes begin.
    pub(crate) offset: u64,
    /// The bytes, in Base64.
    pub(crate) base64: String,
}

/// The data of the event `end` of a trace's stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TraceEnd {
    /// The job's state.
    pub(crate) state: &'static str,
    /// Why it failed, in a word.
    pub(crate) failure_reason: Option<&'static str>,
}

/// A result of a job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Artifact {
    /// Its id.
    pub(crate) id: i64,
    /// The job that made it.
    pub(crate) job: i64,
    /// What it is.
    #[serde(flatten)]
    pub(crate) content: ArtifactContent,
    /// In bytes.
    pub(crate) size_bytes: u64,
    /// When it was stored.
    pub(crate) created_at: DateTime<Utc>,
    /// When it is removed; never when null.
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

/// What an artifact is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum ArtifactContent {
    /// An image.
    Image {
        /// What was pushed, or the image's id when nothing was.
        reference: String,
        /// The manifest's digest.
        digest: String,
        /// The tags that were pushed.
        tags: Vec<String>,
        /// What it runs on, such as `linux/amd64`, where that is known.
        platform: Option<String>,
        /// Its layers, the lowest first, where they are known.
        layers: Vec<Layer>,
    },
    /// The files that the job leaves to others, in one archive.
    Archive {
        /// Its name.
        filename: String,
        /// Its SHA-256, in hex.
        sha256: String,
    },
    /// Another file, of which a job has one of each type.
    File {
        /// What it is for, such as `junit`, `sbom` or `provenance`.
        file_type: String,
        /// How it is packed: `raw`, `gzip` or `zip`.
        format: String,
        /// Its name.
        filename: String,
        /// Its SHA-256, in hex.
        sha256: String,
    },
}

/// A layer of an image.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Layer {
    /// The digest of what is in it, as the image's configuration lists it.
    pub(crate) diff_id: String,
    /// Its unpacked size in bytes; null where the engine did not tell it.
    pub(crate) size_bytes: Option<u64>,
}
