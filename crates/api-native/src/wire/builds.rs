//! Builds, jobs, traces and artifacts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use slipway_domain::{BuildState, CommitSha, ImageBuild, JobSpec, RefName, Slug, UploadId};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::parse::parse_optional;
use super::{ErrorDetail, schemas};

/// A build: one run of a pipeline.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Build {
    pub(crate) id: Uuid,
    /// `namespace/name` of the project.
    pub(crate) project: String,
    /// The slug of the pipeline.
    pub(crate) pipeline: String,
    /// The number of the build within its pipeline, from 1.
    pub(crate) number: i64,
    #[schema(value_type = schemas::ShaText)]
    pub(crate) sha: String,
    /// The branch or tag for which the build was created.
    #[serde(rename = "ref")]
    pub(crate) git_ref: Option<String>,
    /// Whether `ref` is a tag.
    pub(crate) ref_is_tag: bool,
    #[schema(value_type = schemas::BuildState)]
    pub(crate) state: &'static str,
    /// The id of the user who created the build.
    pub(crate) created_by: Option<i64>,
    pub(crate) created_at: DateTime<Utc>,
    /// When the first job was claimed.
    pub(crate) started_at: Option<DateTime<Utc>>,
    /// When the last job finished.
    pub(crate) finished_at: Option<DateTime<Utc>>,
    /// Why the build as a whole failed and has no jobs, or null.
    pub(crate) error: Option<ErrorDetail>,
}

/// A build with its jobs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BuildWithJobs {
    #[serde(flatten)]
    pub(crate) build: Build,
    /// All jobs including earlier attempts, oldest first.
    pub(crate) jobs: Vec<Job>,
}

/// The build to create.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBuild {
    /// The branch or tag to build, as a short or a full name (`refs/tags/v1`). If `sha` is absent too,
    /// the default branch is built.
    #[serde(rename = "ref")]
    #[schema(value_type = Option<schemas::RefText>)]
    pub(crate) git_ref: Option<RefName>,
    /// The commit to build, as a full SHA. If absent, the commit to which `ref` points.
    #[schema(value_type = Option<schemas::ShaText>)]
    pub(crate) sha: Option<CommitSha>,
    /// The slug of the pipeline. If absent, `default`.
    #[schema(value_type = Option<schemas::SlugText>)]
    pub(crate) pipeline: Option<Slug>,
    /// The id of an uploaded source archive to build instead of a commit. It cannot be combined
    /// with `ref` or `sha`.
    #[schema(value_type = Option<Uuid>)]
    pub(crate) source: Option<UploadId>,
    /// How to build the image from `source`: the spec of an image build, as in a pipeline.
    #[schema(value_type = Option<Object>)]
    pub(crate) image: Option<Box<ImageBuild>>,
    /// Whether to push the image built from `source`. If absent, it is pushed if a repository is
    /// set for it.
    pub(crate) push: Option<bool>,
}

/// A build of a source archive that is not uploaded yet.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BuildToCheck {
    /// The slug of the pipeline. If absent, `default`.
    #[schema(value_type = Option<schemas::SlugText>)]
    pub(crate) pipeline: Option<Slug>,
    /// How to build the image: the spec of an image build, as in a pipeline.
    #[schema(value_type = Option<Object>)]
    pub(crate) image: Option<Box<ImageBuild>>,
    /// Whether to push the image. If absent, it is pushed if a repository is set for it.
    pub(crate) push: Option<bool>,
}

/// The result of checking a build.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CheckedBuild {
    /// The repository to which the image would be pushed, or null if it would not be pushed.
    pub(crate) repository: Option<String>,
}

/// An uploaded source archive.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Source {
    #[schema(value_type = Uuid)]
    pub(crate) id: String,
    /// The size of the archive in bytes, as uploaded.
    pub(crate) size_bytes: u64,
    /// The SHA-256 of the archive as uploaded, in hex.
    #[schema(value_type = schemas::DigestText)]
    pub(crate) sha256: String,
    /// When the archive is deleted unless a build uses it.
    pub(crate) expires_at: DateTime<Utc>,
}

/// Filters for builds. All filters that are set must match.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct BuildQuery {
    /// Only builds in this state.
    #[serde(default, deserialize_with = "parse_optional")]
    #[param(value_type = Option<schemas::BuildState>)]
    pub(crate) state: Option<BuildState>,
    /// Only builds of this branch or tag, by its short or full name.
    #[serde(default, rename = "ref", deserialize_with = "parse_optional")]
    #[param(value_type = Option<schemas::RefText>)]
    pub(crate) git_ref: Option<RefName>,
    /// Only builds of this commit.
    #[serde(default, deserialize_with = "parse_optional")]
    #[param(value_type = Option<schemas::ShaText>)]
    pub(crate) sha: Option<CommitSha>,
    /// Only builds of the pipeline with this slug.
    #[serde(default, deserialize_with = "parse_optional")]
    #[param(value_type = Option<schemas::SlugText>)]
    pub(crate) pipeline: Option<Slug>,
}

/// A job: the unit of work that a runner claims. A retry is a new job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Job {
    pub(crate) id: i64,
    /// The id of the build.
    pub(crate) build: Uuid,
    /// `namespace/name` of the project.
    pub(crate) project: String,
    pub(crate) name: String,
    /// The stage under which the job is shown.
    pub(crate) stage: String,
    /// `waiting` (for other jobs), `manual` (until a user starts it), `pending` (for a runner),
    /// `running`, `succeeded`, `failed`, `canceled` or `skipped`.
    #[schema(value_type = schemas::JobState)]
    pub(crate) state: &'static str,
    /// The phase of a running job: `preparing`, `fetching`, `pulling`, `building`, `pushing` or
    /// `uploading`.
    #[schema(value_type = Option<schemas::JobPhase>)]
    pub(crate) phase: Option<&'static str>,
    /// The reason of the failure, for programs.
    #[schema(value_type = Option<schemas::FailureReason>)]
    pub(crate) failure_reason: Option<&'static str>,
    /// Why the job failed or was skipped, for people.
    pub(crate) failure_message: Option<String>,
    /// The exit code of the command that failed, if the runner reported it.
    pub(crate) exit_code: Option<i32>,
    /// Whether the build can succeed although this job fails.
    pub(crate) allow_failure: bool,
    /// The number of the attempt, from 1.
    pub(crate) attempt: i32,
    /// The id of the job that this one retries.
    pub(crate) retries: Option<i64>,
    /// Whether the job was retried.
    pub(crate) superseded: bool,
    /// The time limit in seconds.
    pub(crate) timeout_s: i32,
    /// The id of the runner that claimed the job.
    pub(crate) runner: Option<i64>,
    /// What the job does.
    #[schema(value_type = Object)]
    pub(crate) spec: JobSpec,
    /// The steps of the image build in the builder's order. Empty until the job finishes.
    pub(crate) build_steps: Vec<BuildStep>,
    /// Whether the job has finished although a part of its trace is missing.
    pub(crate) trace_incomplete: bool,
    /// How many bytes of output the trace lacks because it exceeds the limit. They are missing between
    /// its beginning and its end. May grow until the job finishes.
    pub(crate) trace_missing_bytes: u64,
    pub(crate) created_at: DateTime<Utc>,
    /// When the job became pending.
    pub(crate) queued_at: Option<DateTime<Utc>>,
    /// When a runner claimed the job.
    pub(crate) started_at: Option<DateTime<Utc>>,
    /// When the job finished.
    pub(crate) finished_at: Option<DateTime<Utc>>,
    /// When the trace and the artifacts were erased.
    pub(crate) erased_at: Option<DateTime<Utc>>,
    /// The id of the user who erased the job.
    pub(crate) erased_by: Option<i64>,
}

/// A step of an image build.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BuildStep {
    /// The name that the builder shows.
    pub(crate) name: String,
    /// The duration in milliseconds.
    pub(crate) duration_ms: u64,
    /// Whether the result came from the cache.
    pub(crate) cached: bool,
    pub(crate) failed: bool,
}

/// Where to start reading a trace.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TraceQuery {
    /// The first byte to return, counted from 0.
    #[serde(default, deserialize_with = "parse_optional")]
    #[param(value_type = Option<u64>)]
    pub(crate) offset: Option<Offset>,
}

/// A position in a trace in bytes, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offset(pub(crate) u64);

impl std::str::FromStr for Offset {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        text.parse()
            .map(Offset)
            .map_err(|_| "an offset must be a whole number of bytes, from 0")
    }
}

/// The data of a `chunk` event in the stream of a trace.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TraceChunk {
    /// The position of the first byte in the trace.
    pub(crate) offset: u64,
    /// The bytes, encoded as Base64.
    pub(crate) base64: String,
}

/// The data of the `end` event in the stream of a trace.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TraceEnd {
    pub(crate) state: &'static str,
    /// The reason of the failure, for programs.
    #[schema(value_type = Option<schemas::FailureReason>)]
    pub(crate) failure_reason: Option<&'static str>,
}

/// An artifact of a job, with the fields of its kind.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(discriminator(property_name = "kind", mapping(
    ("image" = "#/components/schemas/ImageArtifact"),
    ("archive" = "#/components/schemas/ArchiveArtifact"),
    ("file" = "#/components/schemas/FileArtifact"),
)))]
pub(crate) enum Artifact {
    Image(ImageArtifact),
    Archive(ArchiveArtifact),
    File(FileArtifact),
}

/// What artifacts of all kinds have.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ArtifactRecord {
    pub(crate) id: i64,
    /// The id of the job that created the artifact.
    pub(crate) job: i64,
    /// The size in bytes. For an image it is the sum of its layers, unpacked, as the engine reports
    /// it; 0 if it does not.
    pub(crate) size_bytes: u64,
    pub(crate) created_at: DateTime<Utc>,
    /// When the artifact is deleted, or null if never.
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

/// An image.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImageArtifact {
    #[serde(flatten)]
    pub(crate) record: ArtifactRecord,
    pub(crate) kind: ImageKind,
    /// The reference that was pushed, or the id of the image if it was not pushed.
    pub(crate) reference: String,
    /// The digest of the manifest.
    pub(crate) digest: String,
    /// The tags that were pushed.
    pub(crate) tags: Vec<String>,
    /// The platform, such as `linux/amd64`, if it is known.
    pub(crate) platform: Option<String>,
    /// The layers from the lowest up, if they are known.
    pub(crate) layers: Vec<Layer>,
}

/// The files of a job in one archive.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ArchiveArtifact {
    #[serde(flatten)]
    pub(crate) record: ArtifactRecord,
    pub(crate) kind: ArchiveKind,
    pub(crate) filename: String,
    pub(crate) sha256: String,
}

/// Another file. A job has at most one of each type.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FileArtifact {
    #[serde(flatten)]
    pub(crate) record: ArtifactRecord,
    pub(crate) kind: FileKind,
    /// The type of the file, such as `junit`, `sbom` or `provenance`.
    pub(crate) file_type: String,
    /// The format of the file: `raw`, `gzip` or `zip`.
    pub(crate) format: String,
    pub(crate) filename: String,
    pub(crate) sha256: String,
}

/// Says that an artifact is an image.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ImageKind {
    Image,
}

/// Says that an artifact is the archive of a job.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ArchiveKind {
    Archive,
}

/// Says that an artifact is another file.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FileKind {
    File,
}

/// A layer of an image.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Layer {
    /// The digest of the uncompressed layer, as the configuration of the image lists it.
    pub(crate) diff_id: String,
    /// The uncompressed size in bytes, or null if the engine did not report it.
    pub(crate) size_bytes: Option<u64>,
}
