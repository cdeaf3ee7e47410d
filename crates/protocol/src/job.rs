//! A claimed job, in the format that runners read.

use serde::{Deserialize, Serialize};
use slipway_domain::image::Repository;
use slipway_domain::{JobSpec, Submodules};

/// A claimed job: the 201 response of `POST builds/register`.
///
/// Names and types of the members are those of GitLab 8; only `own` is an extension. A stock runner
/// drops the job if a member has another JSON type.
#[derive(Clone, Serialize, Deserialize)]
pub struct JobPayload {
    /// The job's id, greater than 0.
    pub id: i64,
    pub project_id: i64,
    pub project_name: String,
    /// The job spec as shell lines, for stock runners.
    pub commands: String,
    /// The clone URL of the repository, with a login if it needs one.
    pub repo_url: String,
    /// Branch or tag; empty if the build was created for a commit alone.
    #[serde(rename = "ref")]
    pub git_ref: String,
    pub sha: String,
    /// The previous commit; zeros if unknown.
    pub before_sha: String,
    /// Whether the runner may reuse the checkout of an earlier job.
    pub allow_git_fetch: bool,
    /// In seconds; stock runners replace 0 by a default of their own.
    pub timeout: u32,
    /// The job's environment. If a key occurs more than once, the last value counts.
    pub variables: Vec<Variable>,
    pub options: Options,
    /// Always `running`.
    pub status: String,
    /// The job's token, for its trace and artifacts.
    pub token: String,
    pub name: String,
    pub stage: String,
    /// Whether `ref` is a tag.
    pub tag: bool,
    /// The job's archive, after its upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts_file: Option<ArtifactsFile>,
    /// When the archive expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts_expire_at: Option<String>,
    /// Jobs of earlier stages, whose archives the job may download.
    pub depends_on_builds: Vec<Dependency>,
    /// Logins for the registries that the job pulls from and pushes to.
    pub credentials: Vec<Credentials>,
    /// Extension: what our runner uses instead of `commands`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<OwnJob>,
}

/// A job for our own runner, which runs the job spec instead of shell lines.
#[derive(Clone, Serialize, Deserialize)]
pub struct OwnJob {
    pub spec: JobSpec,
    /// The build's UUID.
    pub build: String,
    /// The build's number in its pipeline.
    pub number: i64,
    /// The number of this attempt, from 1.
    pub attempt: i32,
    /// The path of the project, `namespace/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// How long the lease lasts after each report, in seconds.
    pub lease_s: u32,
    /// A login for base images only. It takes precedence over the login in `credentials` for the
    /// same registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_login: Option<Credentials>,
    /// The submitted sources, which replace a checkout of the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<JobSource>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout: Option<Checkout>,
    /// Each uploaded file must be smaller than this, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_file_bytes: Option<u64>,
    /// Whether files can be uploaded in pieces.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uploads_in_pieces: bool,
    /// What keeps the job apart from others on its host. An older coordinator does not send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
}

/// What keeps a job apart from others on its host. The type has no `Debug`, because the scopes are
/// secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct Isolation {
    /// A secret value that names the project among all that use a cache. It is the same for each
    /// runner.
    pub project_scope: String,
    /// The same for the builds of the project with the trust level of this one.
    pub trust_scope: String,
    /// The trust level of the build, by its name in [`slipway_domain::TrustLevel`].
    pub trust: String,
    /// The job may push to these repositories and below them. Absent if it may push anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_to: Option<Vec<Repository>>,
}

/// How a commit is checked out.
#[derive(Clone, Serialize, Deserialize)]
pub struct Checkout {
    /// Which submodules are checked out.
    #[serde(default)]
    pub submodules: Submodules,
    /// The deploy key, for a repository that is cloned over SSH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy_key: Option<DeployKey>,
}

/// The SSH key of one repository. The type has no `Debug`, so that it cannot be logged.
#[derive(Clone, Serialize, Deserialize)]
pub struct DeployKey {
    /// In OpenSSH's format.
    pub private_key: String,
    /// The only accepted host keys, as lines of a `known_hosts` file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<String>,
}

/// Submitted sources: a gzipped tar archive.
#[derive(Clone, Serialize, Deserialize)]
pub struct JobSource {
    pub url: String,
    /// The bearer token for `url`, if it needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The expected SHA-256 of the archive, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// How the names of the variables with passwords of registries begin; a number follows.
pub const REGISTRY_PASSWORD_PREFIX: &str = "SLIPWAY_REGISTRY_PASSWORD_";

/// A variable of a job.
#[derive(Clone, Serialize, Deserialize)]
pub struct Variable {
    pub key: String,
    pub value: String,
    /// Whether the value may appear in the trace; otherwise it is masked there.
    pub public: bool,
    /// Whether the runner writes the value to a file and puts the path into the variable. Stock
    /// runners do so from 1.9 on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub file: bool,
}

/// The `options` of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// The image that a script runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Further containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<Artifacts>,
}

/// What a runner uploads after a script.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Artifacts {
    /// The archive's name, without suffix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Files and directories, relative to the root of the checkout.
    pub paths: Vec<String>,
    /// `on_success`, `on_failure` or `always`. Ignored by stock runners before 1.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// After which time the farm deletes the archive. Ignored by stock runners before 1.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire_in: Option<String>,
}

/// The archive of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactsFile {
    pub filename: String,
    /// In bytes.
    pub size: u64,
}

/// A job of an earlier stage that the claimed job needs.
#[derive(Clone, Serialize, Deserialize)]
pub struct Dependency {
    pub id: i64,
    pub name: String,
    pub stage: String,
    /// Branch or tag.
    #[serde(rename = "ref")]
    pub git_ref: String,
    pub sha: String,
    /// Whether `ref` is a tag.
    pub tag: bool,
    /// The job's status, by GitLab's name.
    pub status: String,
    /// A token that may download the job's archive.
    pub token: String,
    pub project_id: i64,
    pub project_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts_file: Option<ArtifactsFile>,
}

/// A login at a registry.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// Always `registry`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The registry's host, with the port if it has one.
    pub url: String,
    pub username: String,
    pub password: String,
}
