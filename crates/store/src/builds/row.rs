//! A build and its table row.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::package::RequestedPackage;
use slipway_domain::{
    BuildId, BuildState, BuildUuid, CommitSha, GitRef, PipelineId, ProjectId, TriggerId,
    TrustLevel, UserId,
};

use crate::engine::time::{from_ms, from_opt_ms, parse};
use crate::error::StoreError;
use crate::schema::builds;

/// One run of a pipeline.
#[derive(Clone, Debug)]
pub struct Build {
    /// The farm-wide number.
    pub id: BuildId,
    /// The id that APIs show.
    pub uuid: BuildUuid,
    pub project: ProjectId,
    pub pipeline: PipelineId,
    /// Counts up per pipeline, from 1 and without gaps.
    pub number: i64,
    pub sha: CommitSha,
    /// The branch or tag that was requested.
    pub git_ref: Option<GitRef>,
    pub ref_is_tag: bool,
    /// Rolled up from the states of its jobs.
    pub state: BuildState,
    pub created_by: Option<UserId>,
    pub created_at: DateTime<Utc>,
    /// When its first job was claimed.
    pub started_at: Option<DateTime<Utc>>,
    /// When its last job finished.
    pub finished_at: Option<DateTime<Utc>>,
    /// The build's own variables, sealed.
    pub variables: Option<String>,
    /// The trigger that started it.
    pub trigger: Option<TriggerId>,
    /// Whether it prevents another sole build of its commit and ref while it is unfinished.
    pub sole: bool,
    /// The package that is built instead of a commit, and how it was requested.
    pub package: Option<RequestedPackage>,
    /// Registry, user name and password for pulling its base images, sealed.
    pub pull_login: Option<String>,
    pub submission: Submission,
    /// Whether the build was canceled as a whole.
    pub called_off: bool,
    /// When it times out. Absent until it starts, and if it has no time limit.
    pub deadline_at: Option<DateTime<Utc>>,
    pub trust: TrustLevel,
}

/// What the requester of a build submitted, besides a commit of the project's repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Submission {
    /// A message for people.
    pub message: Option<String>,
    /// What caused the build: `api`, `ui`, `webhook`, `trigger_job` or `schedule`.
    pub cause: Option<String>,
    /// The commit as the requester wrote it.
    pub commit: Option<String>,
    /// The branch as the requester wrote it.
    pub branch: Option<String>,
    /// The blob with the sources, a gzipped tar archive.
    pub source_key: Option<String>,
    /// The URL of the sources, a gzipped tar archive.
    pub source_url: Option<String>,
    /// The SHA-256 of the sources, in hex.
    pub source_sha256: Option<String>,
    /// Why the build failed as a whole.
    pub error: Option<BuildError>,
    /// How long it may run, in seconds from its start.
    pub timeout_s: Option<i32>,
}

/// Why a build failed as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    /// A code for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

#[derive(Queryable)]
pub(crate) struct BuildRow {
    id: i64,
    uuid: String,
    project_id: i64,
    pipeline_id: i64,
    number: i64,
    sha: String,
    git_ref: Option<String>,
    ref_is_tag: bool,
    state: String,
    created_by: Option<i64>,
    created_at: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    variables: Option<String>,
    trigger_id: Option<i64>,
    sole: bool,
    package: Option<String>,
    pull_login: Option<String>,
    message: Option<String>,
    cause: Option<String>,
    asked_commit: Option<String>,
    asked_branch: Option<String>,
    source_key: Option<String>,
    source_url: Option<String>,
    source_sha256: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
    called_off: bool,
    timeout_s: Option<i32>,
    deadline_at: Option<i64>,
    trust: Option<String>,
}

impl TryFrom<BuildRow> for Build {
    type Error = StoreError;

    fn try_from(row: BuildRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: BuildId(row.id),
            uuid: parse(&row.uuid, "build id")?,
            project: ProjectId(row.project_id),
            pipeline: PipelineId(row.pipeline_id),
            number: row.number,
            sha: parse(&row.sha, "sha")?,
            git_ref: row.git_ref.map(|text| parse(&text, "ref")).transpose()?,
            ref_is_tag: row.ref_is_tag,
            state: parse(&row.state, "build state")?,
            created_by: row.created_by.map(UserId),
            created_at: from_ms(row.created_at)?,
            started_at: from_opt_ms(row.started_at)?,
            finished_at: from_opt_ms(row.finished_at)?,
            variables: row.variables,
            trigger: row.trigger_id.map(TriggerId),
            sole: row.sole,
            package: row
                .package
                .map(|text| serde_json::from_str(&text))
                .transpose()
                .map_err(|_| StoreError::Corrupt("package of a build"))?,
            pull_login: row.pull_login,
            submission: Submission {
                message: row.message,
                cause: row.cause,
                commit: row.asked_commit,
                branch: row.asked_branch,
                source_key: row.source_key,
                source_url: row.source_url,
                source_sha256: row.source_sha256,
                error: row.error_code.map(|code| BuildError {
                    code,
                    message: row.error_message.unwrap_or_default(),
                }),
                timeout_s: row.timeout_s,
            },
            called_off: row.called_off,
            deadline_at: from_opt_ms(row.deadline_at)?,
            // Nothing is known of builds from before the column.
            trust: match row.trust {
                Some(level) => parse(&level, "trust level")?,
                None => TrustLevel::Unverified,
            },
        })
    }
}

/// The columns of a [`Submission`].
#[derive(Insertable)]
#[diesel(table_name = builds)]
pub(super) struct SubmissionColumns<'a> {
    message: Option<&'a str>,
    cause: Option<&'a str>,
    asked_commit: Option<&'a str>,
    asked_branch: Option<&'a str>,
    source_key: Option<&'a str>,
    source_url: Option<&'a str>,
    source_sha256: Option<&'a str>,
    error_code: Option<&'a str>,
    error_message: Option<&'a str>,
    timeout_s: Option<i32>,
}

impl<'a> From<&'a Submission> for SubmissionColumns<'a> {
    fn from(submission: &'a Submission) -> Self {
        let error = submission.error.as_ref();
        Self {
            message: submission.message.as_deref(),
            cause: submission.cause.as_deref(),
            asked_commit: submission.commit.as_deref(),
            asked_branch: submission.branch.as_deref(),
            source_key: submission.source_key.as_deref(),
            source_url: submission.source_url.as_deref(),
            source_sha256: submission.source_sha256.as_deref(),
            error_code: error.map(|error| error.code.as_str()),
            error_message: error.map(|error| error.message.as_str()),
            timeout_s: submission.timeout_s,
        }
    }
}

/// Why a sole build is not created or reopened.
pub(crate) const SOLE_CONFLICT: &str = "a build of this commit is already pending or building";

/// Replaces the conflict that the unique index of sole builds reports with a message for people.
pub(crate) fn explain_sole_conflict<T>(result: Result<T, StoreError>) -> Result<T, StoreError> {
    result.map_err(|error| match error {
        StoreError::Conflict(_) => StoreError::Conflict(SOLE_CONFLICT),
        other => other,
    })
}
