//! The wire shapes of the runner protocol, version 1, shared by the coordinator and our runner.
//!
//! Stock runners speak it too, so what they send and read is fixed. What our runner adds to it are
//! members that a stock runner does not know: each is optional and says so. This crate only grows:
//! coordinators and runners of different versions meet in every mix.

pub mod lenient;

use serde::{Deserialize, Serialize};
use slipway_domain::{BuildStep, ImageDetails, JobSpec, Submodules};

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

/// A claimed job: the 201 of `POST builds/register`.
///
/// Member names, types and order of meaning are those of GitLab 8.x; `own` alone is ours.
#[derive(Clone, Serialize, Deserialize)]
pub struct JobPayload {
    /// The job's id, above 0.
    pub id: i64,
    /// The project's id.
    pub project_id: i64,
    /// The project's name.
    pub project_name: String,
    /// Shell lines for a stock runner that do what the job's spec says.
    pub commands: String,
    /// Where the source is.
    pub repo_url: String,
    /// Branch or tag; empty when the build was asked for by its sha alone.
    #[serde(rename = "ref")]
    pub git_ref: String,
    /// The commit.
    pub sha: String,
    /// The commit before it; zeros when unknown.
    pub before_sha: String,
    /// Whether a checkout of an earlier job may be reused.
    pub allow_git_fetch: bool,
    /// In seconds.
    pub timeout: u32,
    /// What the job sees in its environment.
    pub variables: Vec<Variable>,
    /// Everything else a stock runner needs.
    pub options: Options,
    /// `running`.
    pub status: String,
    /// The job's token.
    pub token: String,
    /// The job's name.
    pub name: String,
    /// The job's stage.
    pub stage: String,
    /// Whether `ref` is a tag.
    pub tag: bool,
    /// The archive the job has, once it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts_file: Option<ArtifactsFile>,
    /// When that archive expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts_expire_at: Option<String>,
    /// The jobs before it whose archives it may fetch.
    pub depends_on_builds: Vec<Dependency>,
    /// For the registries it pulls from and pushes to.
    pub credentials: Vec<Credentials>,
    /// What our runner needs beyond that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<OwnJob>,
}

/// What our runner reads of a job instead of `commands`.
#[derive(Clone, Serialize, Deserialize)]
pub struct OwnJob {
    /// What to do.
    pub spec: JobSpec,
    /// The build's UUID.
    pub build: String,
    /// The build's number in its pipeline.
    pub number: i64,
    /// Which attempt this is, from 1.
    pub attempt: i32,
    /// How long the lease lasts after each sign of life, in seconds.
    pub lease_s: u32,
    /// A login for base images alone, before the one at the same registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_login: Option<Credentials>,
    /// The sources that were handed in, in the place of a checkout of the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<JobSource>,
    /// How the commit is checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout: Option<Checkout>,
}

/// How a commit is checked out.
#[derive(Clone, Serialize, Deserialize)]
pub struct Checkout {
    /// Which submodules come with it.
    #[serde(default)]
    pub submodules: Submodules,
    /// What opens the repository when it is behind ssh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy_key: Option<DeployKey>,
}

/// What opens one repository behind ssh. It cannot be printed.
#[derive(Clone, Serialize, Deserialize)]
pub struct DeployKey {
    /// A private key in OpenSSH's form.
    pub private_key: String,
    /// The only host keys that are right, as lines of a `known_hosts` file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<String>,
}

/// Sources that somebody handed in: a gzipped tar.
#[derive(Clone, Serialize, Deserialize)]
pub struct JobSource {
    /// Where they are.
    pub url: String,
    /// What `Authorization: Bearer` takes there; nothing when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The SHA-256 that they must have, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A variable of a job.
#[derive(Clone, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Whether the value may be shown; if not it is masked in the trace.
    pub public: bool,
}

/// The `options` of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// The image a script runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Further containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<String>>,
    /// What is uploaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<Artifacts>,
}

/// What a stock runner uploads after a script.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Artifacts {
    /// The archive's name, without its suffix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Files and directories, relative to the checkout's root.
    pub paths: Vec<String>,
    /// `on_success`, `on_failure` or `always`. Before 1.4 runners do not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// How long the farm is to keep them. Before 1.4 runners do not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire_in: Option<String>,
}

/// The archive of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactsFile {
    /// Its name.
    pub filename: String,
    /// In bytes.
    pub size: u64,
}

/// A job of an earlier stage.
#[derive(Clone, Serialize, Deserialize)]
pub struct Dependency {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its stage.
    pub stage: String,
    /// Its branch or tag.
    #[serde(rename = "ref")]
    pub git_ref: String,
    /// Its commit.
    pub sha: String,
    /// Whether `ref` is a tag.
    pub tag: bool,
    /// Its state, in GitLab's words.
    pub status: String,
    /// The token with which its archive is fetched.
    pub token: String,
    /// The project's id.
    pub project_id: i64,
    /// The project's name.
    pub project_name: String,
    /// Its archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts_file: Option<ArtifactsFile>,
}

/// A login at a registry.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// `registry`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The registry's host, with its port where it has one.
    pub url: String,
    /// The login's name.
    pub username: String,
    /// The login's password.
    pub password: String,
}

#[cfg(test)]
mod tests;
