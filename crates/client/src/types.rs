//! The shapes of the API, as far as a client cares.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// A page of a list, newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<String>,
}

/// Which page of a list is wanted; the first 20 items by default.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PageRequest {
    /// At most so many items, 1 to 100.
    pub limit: Option<u8>,
    /// The `next` of the page before.
    pub before: Option<String>,
}

/// The user who is calling.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CurrentUser {
    /// The user.
    #[serde(flatten)]
    pub user: User,
    /// The scopes of the token.
    pub scopes: Vec<String>,
    /// Whether it has a password; farms of before cannot tell.
    #[serde(default)]
    pub has_password: bool,
}

/// Somebody who may call the farm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct User {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Whether it may do everything.
    pub admin: bool,
    /// Whether its tokens work.
    pub active: bool,
}

/// A token that was just made. Its secret is told this once.
#[derive(Clone, Serialize, Deserialize)]
pub struct CreatedToken {
    /// Its id.
    pub id: i64,
    /// The secret.
    pub token: String,
}

/// An owner of projects.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Namespace {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
}

/// A user's role in a namespace or a project.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Member {
    /// The user's name.
    pub user: String,
    /// `reader`, `developer`, `maintainer` or `owner`.
    pub role: String,
}

/// A source repository that the farm builds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Project {
    /// Its id.
    pub id: i64,
    /// Its namespace's name.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where its source is.
    pub repo_url: String,
    /// The branch whose image is `latest`.
    pub default_branch: String,
    /// Where its images are pushed.
    pub image_repository: Option<String>,
    /// Whether shared runners may take its jobs.
    pub shared_runners: bool,
    /// How many of its jobs may run at once.
    pub max_running: Option<u32>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A project to make.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewProject {
    /// Its namespace's name.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where its source is.
    pub repo_url: String,
    /// The branch whose image is `latest`; `main` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
    /// Where its images are pushed; the farm's registry decides when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_repository: Option<String>,
}

/// A variable of a project; the value of one that is not public is never told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub key: String,
    /// Its value, when it is public.
    pub value: Option<String>,
    /// Whether its value may be shown.
    pub public: bool,
}

/// What opens a project's repository, without its secret half.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeployKey {
    /// The server that it is for.
    pub server: String,
    /// The public half, when it is a key.
    pub public_key: Option<String>,
    /// The fingerprint of the public half.
    pub fingerprint: Option<String>,
    /// The only host keys that are right.
    pub known_hosts: Option<String>,
    /// Who logs in, when it is a user name and a password.
    pub username: Option<String>,
    /// When it was set.
    pub created_at: DateTime<Utc>,
}

/// What is to open a project's repository: a key, a fresh one, or a user name and a password.
#[derive(Clone, Default, Serialize)]
pub struct NewDeployKey {
    /// A private key in OpenSSH's form, without a passphrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key: Option<String>,
    /// Whether the farm makes one.
    pub generate: bool,
    /// The only host keys that are right, as lines of a `known_hosts` file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<String>,
    /// Who logs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password, or a token that stands for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// What the jobs of a namespace log in to a registry with, without the password.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RegistryCredential {
    /// The registry's host, with its port.
    pub registry: String,
    /// Who logs in.
    pub username: String,
}

/// What a project runs for a commit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pipeline {
    /// Its short name.
    pub slug: String,
    /// Its jobs.
    pub definition: Value,
}

/// A build to make.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewBuild {
    /// The branch or tag; the default branch when both are absent.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    /// The commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha: Option<String>,
    /// The pipeline's slug; `default` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
}

/// Which builds are wanted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BuildFilter {
    /// Only in this state.
    pub state: Option<String>,
    /// Only of this branch or tag.
    #[serde(rename = "ref")]
    pub git_ref: Option<String>,
    /// Only of this commit.
    pub sha: Option<String>,
    /// Only of this pipeline.
    pub pipeline: Option<String>,
}

/// One run of a pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Build {
    /// Its name.
    pub id: Uuid,
    /// `namespace/name` of the project.
    pub project: String,
    /// The pipeline's slug.
    pub pipeline: String,
    /// Its number in the pipeline.
    pub number: i64,
    /// The commit.
    pub sha: String,
    /// The branch or tag.
    #[serde(rename = "ref")]
    pub git_ref: Option<String>,
    /// `pending`, `running`, `succeeded`, `failed`, `canceled` or `skipped`.
    pub state: String,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When its first job was claimed.
    pub started_at: Option<DateTime<Utc>>,
    /// When its last job was over.
    pub finished_at: Option<DateTime<Utc>>,
    /// Its jobs, oldest first; none in lists of builds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<Job>,
}

impl Build {
    /// Whether nothing more will happen, unless somebody retries.
    pub fn is_done(&self) -> bool {
        is_done(&self.state)
    }
}

/// One attempt at a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: i64,
    /// The build it belongs to.
    pub build: Uuid,
    /// `namespace/name` of the project.
    pub project: String,
    /// Its name.
    pub name: String,
    /// The stage it is shown under.
    pub stage: String,
    /// `waiting`, `pending`, `running`, `succeeded`, `failed`, `canceled` or `skipped`.
    pub state: String,
    /// What it is doing while it runs.
    pub phase: Option<String>,
    /// Why it failed, in a word.
    pub failure_reason: Option<String>,
    /// Why it failed, in a sentence.
    pub failure_message: Option<String>,
    /// Which attempt it is, from 1.
    pub attempt: i32,
    /// Whether a later attempt was made.
    pub superseded: bool,
    /// The runner that has it or had it.
    pub runner: Option<i64>,
    /// The steps of its image build, once it is over.
    #[serde(default)]
    pub build_steps: Vec<BuildStep>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was claimed.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was over.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Job {
    /// Whether it is over.
    pub fn is_done(&self) -> bool {
        is_done(&self.state)
    }
}

fn is_done(state: &str) -> bool {
    !matches!(state, "waiting" | "pending" | "running")
}

/// One step of an image build.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BuildStep {
    /// What the builder calls it.
    pub name: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Whether its result was there already.
    pub cached: bool,
    /// Whether it failed.
    pub failed: bool,
}

/// A result of a job: an image or an archive.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Artifact {
    /// Its id.
    pub id: i64,
    /// The job that made it.
    pub job: i64,
    /// `image` or `archive`.
    pub kind: String,
    /// In bytes.
    pub size_bytes: u64,
    /// What else there is to say of its kind: `reference`, `digest`, `tags`, `platform` and `layers`,
    /// or `filename` and `sha256`.
    #[serde(flatten)]
    pub about: BTreeMap<String, Value>,
}

/// A registered runner.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Runner {
    /// Its id.
    pub id: i64,
    /// Free text.
    pub description: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether it takes jobs without tags.
    pub run_untagged: bool,
    /// Whether it serves every project that lets shared runners in.
    pub shared: bool,
    /// Whether it is kept from claiming.
    pub paused: bool,
    /// Whether it was heard of lately.
    pub online: bool,
    /// The program's version.
    pub version: Option<String>,
    /// When it was last heard of.
    pub contact_at: Option<DateTime<Utc>>,
}

/// What to change about a runner; what is absent stays.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RunnerChange {
    /// Whether it is kept from claiming.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Its tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// The jobs of one project that wait and ask for the same tags.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueueLine {
    /// `namespace/name` of the project.
    pub project: String,
    /// The tags a runner must have.
    pub tags: Vec<String>,
    /// How many jobs wait.
    pub count: i64,
    /// Since when the first of them does.
    pub oldest: Option<DateTime<Utc>>,
    /// Why.
    pub reason: PendingReason,
}

/// Why a job has not begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PendingReason {
    /// A word for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

/// Whether and why a job waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobPendingReason {
    /// Why it waits; `None` when it does not.
    pub reason: Option<PendingReason>,
}
