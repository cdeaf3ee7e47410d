//! The request and response types of the runner protocol v1, shared by the coordinator and our
//! runner.
//!
//! Stock runners use the same protocol, so the members that they send and read are fixed. Members
//! that only our runner uses are optional and marked as extensions; stock runners ignore them.
//! Never remove or change a member: coordinators and runners of different versions work together in
//! any combination. On the wire: `docs/protocols/runner-v1.md`.

mod job;
pub mod lenient;

use serde::{Deserialize, Serialize};
use slipway_domain::{BuildStep, ImageDetails};

pub use job::{
    Artifacts, ArtifactsFile, Checkout, Credentials, Dependency, DeployKey, Isolation, JobPayload,
    JobSource, Options, OwnJob, REGISTRY_PASSWORD_PREFIX, Variable,
};

/// Request header with the job's token, for its trace and artifacts.
pub const JOB_TOKEN_HEADER: &str = "BUILD-TOKEN";
/// Response header with the job's status, by GitLab's name.
pub const JOB_STATUS_HEADER: &str = "Build-Status";
/// Sent with the answer to a piece of a trace while somebody follows that trace. Slipway's runners then
/// send each line at once, instead of several together.
pub const TRACE_FOLLOWED_HEADER: &str = "Slipway-Trace-Followed";
/// Response header with an opaque value that changes when the runner's queue may have changed.
pub const LAST_UPDATE_HEADER: &str = "X-GitLab-Last-Update";
/// The [`Info::name`] of our runner.
pub const OUR_RUNNER: &str = "slipway-runner";

/// What a runner reports about itself with most requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// The name of the runner program, [`OUR_RUNNER`] for ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The commit that the runner was built from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The operating system, by Go's name (`linux`, `darwin`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The processor architecture, by Go's name (`amd64`, `arm64`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// How the runner runs jobs (`docker`, `shell`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<Features>,
    /// Extension: further platforms that the runner builds images for, such as `linux/arm64`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Extension, in the verify probe: why the runner claims no jobs at the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unready: Option<String>,
    /// Extension: the trust levels that the runner is dedicated to, by their names in
    /// [`slipway_domain::TrustLevel`]; empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trust: Vec<String>,
    /// Extension: what people should know about the runner, such as what its engine cannot separate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The features that a runner supports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Features {
    pub variables: bool,
    /// Runs jobs in an image.
    pub image: bool,
    /// Starts further containers for a job.
    pub services: bool,
    /// Uploads artifacts. The protocol misspells `artifacts` here.
    pub features: bool,
    pub cache: bool,
    /// Extension: runs [`OwnJob::spec`], and sends heartbeats every few seconds even if there is no
    /// output, so that its leases can be short.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub heartbeat: bool,
    /// Extension: uploads images as archives if the job spec asks for it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub image_archives: bool,
}

/// The request of `POST runners/register`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RegisterRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Info>,
    /// The registration token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Comma-separated; an array is accepted, too.
    #[serde(
        deserialize_with = "lenient::list",
        skip_serializing_if = "Option::is_none"
    )]
    pub tag_list: Option<String>,
    /// Whether the runner takes jobs without tags. Default: true.
    #[serde(
        deserialize_with = "lenient::boolean",
        skip_serializing_if = "Option::is_none"
    )]
    pub run_untagged: Option<bool>,
    /// Whether only the projects that the runner is enabled for may use it.
    #[serde(
        deserialize_with = "lenient::boolean",
        skip_serializing_if = "Option::is_none"
    )]
    pub locked: Option<bool>,
}

/// The 201 response of `POST runners/register`.
#[derive(Clone, Serialize, Deserialize)]
pub struct RegisteredRunner {
    pub id: i64,
    /// The runner's token. The coordinator stores only its hash.
    pub token: String,
}

/// A request that carries the runner's token and nothing else.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// The request of `POST builds/register`, which claims a job.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClaimRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Info>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The last value of [`LAST_UPDATE_HEADER`] that the runner received. While it is current, the
    /// coordinator may hold the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update: Option<String>,
    /// Extension: a UUID that is the same when the runner sends the request again. The coordinator
    /// answers with the same job as long as it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// The request of `PUT builds/:id`, which reports the progress or the result of a job.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Info>,
    /// The runner's token, not the job's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// `running`, `success` or `failed`; other values are ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The whole trace so far. It replaces the stored trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// Extension: the phase of a running job, by its name in [`slipway_domain::Phase`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Extension, in phase `pulling`: the first base image of the build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_image: Option<PulledImage>,
    /// Extension: why the job failed, by the name in [`slipway_domain::FailureReason`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// Extension: one sentence about the failure that tells the user what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_message: Option<String>,
    /// Extension, with a final state: length and CRC-32 of the whole trace. The coordinator answers
    /// 416 with the range that it has stored until the trace is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_sum: Option<TraceSum>,
    /// Extension, with `success`: the built image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageResult>,
    /// Extension, with a final state: the steps of an image build.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub build_steps: Vec<BuildStep>,
    /// Extension, with a final state: the exit code of the last command of a script.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// The request of `POST builds/:id/uploads/:upload`, which completes a file that was sent in pieces. An
/// extension.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FinishUploadRequest {
    /// The size of the file, in bytes.
    pub size: u64,
    /// The SHA-256 of the file, in hex.
    pub sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// What the file is for; the job's archive if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// How the file is packed: `raw`, `gzip` or `zip`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_format: Option<String>,
    /// After which time the farm deletes the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire_in: Option<String>,
}

/// A base image that a build pulls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PulledImage {
    /// The name, as written in `FROM`.
    pub image: String,
    /// The user name of the login for its registry, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

/// Length and checksum of a whole trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceSum {
    /// In bytes.
    pub length: u64,
    /// CRC-32 (ISO-HDLC) of all bytes.
    pub crc32: u32,
}

/// An image that a job built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageResult {
    /// The pushed reference, with registry and first tag; absent if nothing was pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// All pushed tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The digest of the pushed manifest; of the image's configuration if nothing was pushed.
    pub digest: String,
    /// The sum of the unpacked sizes of all layers, in bytes, as the engine reports them.
    pub size_bytes: u64,
    /// Platform and layers.
    #[serde(default)]
    pub details: ImageDetails,
}

#[cfg(test)]
mod tests;
