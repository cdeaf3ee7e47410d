//! The wire shapes of the runner protocol, version 1, shared by the coordinator and our runner.
//!
//! Stock runners speak it too, so what they send and read is fixed. What our runner adds to it are
//! members that a stock runner does not know: each is optional and says so. This crate only grows:
//! coordinators and runners of different versions meet in every mix.

mod job;
pub mod lenient;

use serde::{Deserialize, Serialize};
use slipway_domain::{BuildStep, ImageDetails};

pub use job::{
    Artifacts, ArtifactsFile, Checkout, Credentials, Dependency, DeployKey, JobPayload, JobSource,
    Options, OwnJob, Variable,
};

/// The header that carries a job's token with its trace and artifacts.
pub const JOB_TOKEN_HEADER: &str = "BUILD-TOKEN";
/// The header that tells a runner the state of its job, in GitLab's words.
pub const JOB_STATUS_HEADER: &str = "Build-Status";
/// The header that tells a runner the current value of its queue.
pub const LAST_UPDATE_HEADER: &str = "X-GitLab-Last-Update";
/// The name our runner gives in [`Info::name`].
pub const OUR_RUNNER: &str = "slipway-runner";

/// What a runner says of itself with most requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// The program's name, [`OUR_RUNNER`] for ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The program's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The commit it was built from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The operating system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The processor, in Go's words (`amd64`, `arm64`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// How it runs jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
    /// What it can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<Features>,
    /// Ours: what it builds images for besides its own processor, such as `linux/arm64`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
}

/// What a runner can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Features {
    /// It takes variables.
    pub variables: bool,
    /// It takes an image to run in.
    pub image: bool,
    /// It takes services.
    pub services: bool,
    /// It takes artifacts. The protocol misspells `artifacts` here.
    pub features: bool,
    /// It has a cache.
    pub cache: bool,
    /// Ours: it runs [`OwnJob::spec`] and beats every few seconds apart from its output, so that
    /// its lease can be short.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub heartbeat: bool,
    /// Ours: it leaves images as archives where a spec says so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub image_archives: bool,
}

/// `POST runners/register`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RegisterRequest {
    /// What the runner says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Info>,
    /// The registration token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Comma-separated on the wire; an array is taken too.
    #[serde(
        deserialize_with = "lenient::list",
        skip_serializing_if = "Option::is_none"
    )]
    pub tag_list: Option<String>,
    /// Whether it takes jobs without tags; yes when absent.
    #[serde(
        deserialize_with = "lenient::boolean",
        skip_serializing_if = "Option::is_none"
    )]
    pub run_untagged: Option<bool>,
    /// Whether it serves only projects it is enabled for.
    #[serde(
        deserialize_with = "lenient::boolean",
        skip_serializing_if = "Option::is_none"
    )]
    pub locked: Option<bool>,
}

/// The 201 of `POST runners/register`.
#[derive(Clone, Serialize, Deserialize)]
pub struct RegisteredRunner {
    /// The runner's id.
    pub id: i64,
    /// The runner's token.
    pub token: String,
}

/// A request that carries the runner's token and nothing else.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenRequest {
    /// The runner's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// `POST builds/register`: asks for a job.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClaimRequest {
    /// What the runner says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Info>,
    /// The runner's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The last value of [`LAST_UPDATE_HEADER`] it saw. A request with it may be held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update: Option<String>,
}

/// `PUT builds/:id`: says how the job goes.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateRequest {
    /// What the runner says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Info>,
    /// The runner's token (not the job's).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// `running`, `success` or `failed`; others change nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The whole trace so far, which replaces what is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// Ours: the phase of a running job, a word of [`slipway_domain::Phase`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Ours, with `pulling`: the first base image of what is built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_image: Option<PulledImage>,
    /// Ours: why the job failed, a word of [`slipway_domain::FailureReason`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// Ours: one sentence on the failure that a person can act on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_message: Option<String>,
    /// Ours, with a final state: how long the whole trace is and its CRC-32, so that the
    /// coordinator answers 416 with the range it holds while anything is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_sum: Option<TraceSum>,
    /// Ours, with `success`: the image that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageResult>,
    /// Ours, with a final state: the steps of an image build.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub build_steps: Vec<BuildStep>,
    /// Ours, with a final state: what the last command of a script ended with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// A base image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PulledImage {
    /// Its name as `FROM` has it.
    pub image: String,
    /// The name of the login with which it is pulled, if there is one for its registry.
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

/// An image that a job made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageResult {
    /// What was pushed, with registry and the first tag; absent when nothing was pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// All tags that were pushed.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The digest of the pushed manifest, or of the image's configuration when nothing was pushed.
    pub digest: String,
    /// The unpacked size of its layers, in bytes.
    pub size_bytes: u64,
    /// Its platform and layers.
    #[serde(default)]
    pub details: ImageDetails,
}

#[cfg(test)]
mod tests;
