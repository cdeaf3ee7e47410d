//! A claimed job, as a runner reads it.

use serde::{Deserialize, Serialize};
use slipway_domain::{JobSpec, Submodules};

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
    /// The size, in bytes, below which each of its files must stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_file_bytes: Option<u64>,
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
