//! Types of the API, with the fields that clients use.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// A page of a list, newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// The value to send as `before` for the next page, or `None` on the last page.
    pub next: Option<String>,
}

/// Selects a page of a list. The default is the first 20 items.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PageRequest {
    /// The maximum number of items, 1 to 100.
    pub limit: Option<u8>,
    /// The `next` of the previous page. If absent, the first page is returned.
    pub before: Option<String>,
}

/// The calling user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CurrentUser {
    #[serde(flatten)]
    pub user: User,
    /// The scopes of the token that was sent.
    pub scopes: Vec<String>,
    /// Whether the user has a password. Older coordinators do not send it.
    #[serde(default)]
    pub has_password: bool,
}

/// A user of the farm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct User {
    pub id: i64,
    pub name: String,
    /// Whether the user is an administrator, who may do everything.
    pub admin: bool,
    /// Whether the user's tokens work. They do not while the user is blocked.
    pub active: bool,
}

/// A new token with its secret, which no other response contains.
#[derive(Clone, Serialize, Deserialize)]
pub struct CreatedToken {
    pub id: i64,
    pub token: String,
}

/// A namespace: the owner of projects.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Namespace {
    pub id: i64,
    pub name: String,
}

/// A user's role in a namespace or a project.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Member {
    pub user: String,
    /// `reader`, `developer`, `maintainer` or `owner`.
    pub role: String,
}

/// A project: a source repository that the farm builds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Project {
    pub id: i64,
    pub namespace: String,
    pub name: String,
    /// The URL of the source repository.
    pub repo_url: String,
    /// The branch whose image is tagged `latest`.
    pub default_branch: String,
    /// The repository to which images are pushed. If `None`, it is derived from the registry of
    /// the farm.
    pub image_repository: Option<String>,
    /// Whether shared runners can claim the jobs of the project.
    pub shared_runners: bool,
    /// The number of jobs that can run at the same time; no limit if `None`.
    pub max_running: Option<u32>,
    pub created_at: DateTime<Utc>,
}

/// The project to create.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewProject {
    pub namespace: String,
    pub name: String,
    /// The URL of the source repository.
    pub repo_url: String,
    /// The branch whose image is tagged `latest`. If absent, `main`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
    /// The repository to which images are pushed. If absent, it is derived from the registry of
    /// the farm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_repository: Option<String>,
}

/// A variable that is passed to the jobs of a project.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Variable {
    pub key: String,
    /// The value, or `None` if the variable is not public.
    pub value: Option<String>,
    /// Whether the value can be shown, also in traces.
    pub public: bool,
}

/// The credentials with which the repository of a project is fetched, without their secret half.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeployKey {
    /// The server for which the credentials are valid.
    pub server: String,
    /// The public half, if the credentials are a key.
    pub public_key: Option<String>,
    /// The fingerprint of the public half, or null for a user name and a password.
    pub fingerprint: Option<String>,
    /// The accepted host keys of the server.
    pub known_hosts: Option<String>,
    /// The user name, if the credentials are a user name and a password.
    pub username: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// The credentials to set: a private key, a request for a new key, or a user name and a password.
#[derive(Clone, Default, Serialize)]
pub struct NewDeployKey {
    /// A private key in the OpenSSH format, without a passphrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key: Option<String>,
    /// Whether the farm creates a new key.
    pub generate: bool,
    /// The accepted host keys of the server, in the format of a `known_hosts` file. Only for ssh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password, or a token that is used as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// The login of a namespace at a registry, without its password.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RegistryCredential {
    /// The host of the registry, with its port if it has one.
    pub registry: String,
    pub username: String,
}

/// A pipeline: the graph of jobs that a project runs for a commit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pipeline {
    pub slug: String,
    pub definition: Value,
}

/// The build to create.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewBuild {
    /// The branch or tag to build. If `sha` is absent too, the default branch is built.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha: Option<String>,
    /// The slug of the pipeline. If absent, `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
}

/// Filters for builds. All filters that are set must match.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BuildFilter {
    /// Only builds in this state.
    pub state: Option<String>,
    /// Only builds of this branch or tag.
    #[serde(rename = "ref")]
    pub git_ref: Option<String>,
    /// Only builds of this commit.
    pub sha: Option<String>,
    /// Only builds of the pipeline with this slug.
    pub pipeline: Option<String>,
}

/// A build: one run of a pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Build {
    pub id: Uuid,
    /// `namespace/name` of the project.
    pub project: String,
    pub pipeline: String,
    /// The number of the build within its pipeline, from 1.
    pub number: i64,
    pub sha: String,
    #[serde(rename = "ref")]
    pub git_ref: Option<String>,
    /// `pending`, `running`, `succeeded`, `failed`, `canceled` or `skipped`.
    pub state: String,
    pub created_at: DateTime<Utc>,
    /// When the first job was claimed.
    pub started_at: Option<DateTime<Utc>>,
    /// When the last job finished.
    pub finished_at: Option<DateTime<Utc>>,
    /// All jobs including earlier attempts, oldest first. Empty in lists of builds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<Job>,
}

impl Build {
    /// Whether the build has finished.
    pub fn is_done(&self) -> bool {
        is_done(&self.state)
    }
}

/// A job: the unit of work that a runner claims. A retry is a new job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    pub id: i64,
    /// The id of the build.
    pub build: Uuid,
    /// `namespace/name` of the project.
    pub project: String,
    pub name: String,
    /// The stage under which the job is shown.
    pub stage: String,
    /// `waiting`, `manual`, `pending`, `running`, `succeeded`, `failed`, `canceled` or `skipped`.
    pub state: String,
    /// The phase of a running job.
    pub phase: Option<String>,
    /// The reason of the failure, for programs.
    pub failure_reason: Option<String>,
    /// Why the job failed or was skipped, for people.
    pub failure_message: Option<String>,
    /// The exit code of the command that failed, if the runner reported it.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// The number of the attempt, from 1.
    pub attempt: i32,
    /// Whether the job was retried.
    pub superseded: bool,
    /// The id of the runner that claimed the job.
    pub runner: Option<i64>,
    /// The steps of the image build. Empty until the job finishes.
    #[serde(default)]
    pub build_steps: Vec<BuildStep>,
    /// How many bytes of output the trace lacks because it exceeds the limit of the farm.
    #[serde(default)]
    pub trace_missing_bytes: u64,
    pub created_at: DateTime<Utc>,
    /// When a runner claimed the job.
    pub started_at: Option<DateTime<Utc>>,
    /// When the job finished.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Job {
    /// Why the job failed or was skipped, for people: the message or else the reason, with the exit
    /// code if the message has none.
    pub fn why(&self) -> Option<String> {
        let text = self
            .failure_message
            .as_ref()
            .or(self.failure_reason.as_ref());
        match (text, self.exit_code) {
            (Some(text), Some(code)) if self.failure_message.is_none() => {
                Some(format!("{text} (exit code {code})"))
            }
            (text, _) => text.cloned(),
        }
    }

    /// Whether the job has finished.
    pub fn is_done(&self) -> bool {
        is_done(&self.state)
    }
}

/// Whether a state is final. A manual job that nobody has started is not finished, although its build
/// may be.
fn is_done(state: &str) -> bool {
    matches!(state, "succeeded" | "failed" | "canceled" | "skipped")
}

/// A step of an image build.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BuildStep {
    /// The name that the builder shows.
    pub name: String,
    /// The duration in milliseconds.
    pub duration_ms: u64,
    /// Whether the result came from the cache.
    pub cached: bool,
    pub failed: bool,
}

/// An artifact of a job: an image, an archive or another file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Artifact {
    pub id: i64,
    /// The id of the job that created the artifact.
    pub job: i64,
    /// `image`, `archive` or `file`.
    pub kind: String,
    /// The size in bytes; for an image the unpacked size of all layers.
    pub size_bytes: u64,
    /// The fields of its kind: `reference`, `digest`, `tags`, `platform` and `layers`, or
    /// `filename` and `sha256`.
    #[serde(flatten)]
    pub about: BTreeMap<String, Value>,
}

/// A registered runner.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Runner {
    pub id: i64,
    pub description: String,
    pub tags: Vec<String>,
    /// Whether the runner claims jobs without tags.
    pub run_untagged: bool,
    /// Whether the runner serves all projects that allow shared runners.
    pub shared: bool,
    /// Whether the runner is paused and claims no jobs.
    pub paused: bool,
    /// Whether the runner contacted the coordinator in the last two minutes.
    pub online: bool,
    /// The version of the runner program.
    pub version: Option<String>,
    /// When the coordinator last received a request from it.
    pub contact_at: Option<DateTime<Utc>>,
    /// Why the runner claims no jobs at the moment, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unready: Option<String>,
    /// The trust levels of the builds that the runner is dedicated to; empty for all.
    #[serde(default)]
    pub trust: Vec<String>,
    /// What the runner reports about the separation of jobs on its host.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Changes to a runner. Absent fields stay as they are.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RunnerChange {
    /// Whether the runner is paused and claims no jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// The pending jobs of one project that need the same tags.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueueLine {
    /// `namespace/name` of the project.
    pub project: String,
    /// The tags that a runner must have.
    pub tags: Vec<String>,
    /// The number of pending jobs.
    pub count: i64,
    /// Since when the oldest of them has been pending.
    pub oldest: Option<DateTime<Utc>>,
    /// Why the jobs are pending.
    pub reason: PendingReason,
}

/// Why a job has not started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PendingReason {
    /// The code of the error, for programs.
    pub code: String,
    /// The description of the error, for people.
    pub message: String,
}

/// Why a job has not started, if it has not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobPendingReason {
    /// The reason, or `None` if the job has started.
    pub reason: Option<PendingReason>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_final_states_are_done() {
        for (state, is_final) in [
            ("waiting", false),
            ("manual", false),
            ("pending", false),
            ("running", false),
            ("succeeded", true),
            ("failed", true),
            ("canceled", true),
            ("skipped", true),
        ] {
            assert_eq!(is_done(state), is_final, "{state}");
        }
    }
}
