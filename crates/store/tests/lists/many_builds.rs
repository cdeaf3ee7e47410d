//! A project with many builds of one job each, for tests and benchmarks of lists.

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::pipeline::Definition;
use slipway_domain::{BuildUuid, CommitSha, PipelineId, ProjectId, Slug, TrustLevel, UserId};
use slipway_store::pipelines::NewPipeline;
use slipway_store::projects::Settings;
use slipway_store::{Store, StoreError, builds, pipelines, projects};

/// The project, and its pipelines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ManyBuilds {
    pub(crate) project: ProjectId,
    /// The pipeline of nearly all builds.
    pub(crate) usual: PipelineId,
    /// The pipeline of a few old builds.
    pub(crate) rare: PipelineId,
}

/// A commit with a third of the builds.
pub(crate) fn usual_commit() -> CommitSha {
    "f".repeat(40).parse().expect("a sha")
}

/// The commit of build `id`, unless that has the usual one.
pub(crate) fn commit_of(id: i64) -> CommitSha {
    let sha = format!("{}{}", "a".repeat(28), 100_000_000_000 + id / 2);
    sha.parse().expect("a sha")
}

/// When build `id` was created.
pub(crate) fn created_at(id: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(id)
}

/// Creates the project and its first build, which stays pending.
pub(crate) async fn create_project(store: &Store) -> Result<ManyBuilds, StoreError> {
    let create = |conn: &mut slipway_store::Conn| {
        let now = created_at(1);
        let namespace = projects::insert_namespace(conn, &"acme".parse().expect("a name"), now)?;
        let settings = Settings::of_source(
            "http://example.org/x.git",
            "main".parse().expect("a branch"),
        );
        let name = "app".parse().expect("a name");
        let project = projects::insert(conn, namespace.id, &name, &settings, UserId(1), now)?.id;
        let mut pipeline = |slug| {
            let new = NewPipeline {
                project,
                slug,
                definition: Definition::single_image(),
                from_repository: false,
            };
            pipelines::insert(conn, &new, now)
        };
        let usual = pipeline(Slug::default_pipeline())?.id;
        let rare = pipeline("rare".parse().expect("a slug"))?.id;
        let first = builds::NewBuild {
            trust: TrustLevel::Unverified,
            uuid: BuildUuid(uuid::Uuid::from_u128(1)),
            project,
            pipeline: usual,
            sha: commit_of(1),
            git_ref: Some("main".parse().expect("a branch")),
            ref_is_tag: false,
            created_by: None,
            variables: None,
            trigger: None,
            definition: Definition::single_image(),
            package: None,
            pull_login: None,
            submission: builds::Submission::default(),
        };
        builds::create(conn, &first, TimeDelta::zero(), now)?;
        Ok(ManyBuilds {
            project,
            usual,
            rare,
        })
    };
    store.write(create).await
}

/// Statements that add builds until there are `count`, with ids that count up from 2 and are those of their
/// jobs, too. Most succeeded on `main`; a twenty-fifth failed; the oldest ten were canceled.
pub(crate) fn more_builds(many: ManyBuilds, count: i64) -> String {
    let ManyBuilds {
        project,
        usual,
        rare,
    } = many;
    format!(
        "INSERT INTO builds (id, uuid, project_id, pipeline_id, number, sha, git_ref, ref_is_tag, \
         state, created_at, started_at, finished_at) \
         WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
         SELECT i, '00000000-0000-4000-8000-' || CAST(100000000000 + i AS TEXT), {project}, \
         CASE WHEN i < 50 AND i % 7 = 0 THEN {rare} ELSE {usual} END, i, \
         CASE WHEN i % 3 = 0 THEN '{usual_commit}' \
         ELSE '{other_commits}' || CAST(100000000000 + i / 2 AS TEXT) END, \
         CASE WHEN i % 10 = 0 THEN 'feature-' || CAST(i % 1000 AS TEXT) ELSE 'main' END, FALSE, \
         CASE WHEN i <= 11 THEN 'canceled' WHEN i % 25 = 0 THEN 'failed' ELSE 'succeeded' END, \
         i * 1000, i * 1000, i * 1000 + 500 FROM n; \
         INSERT INTO jobs (id, build_id, project_id, queue_key_id, name, stage, spec, timeout_s, \
         allow_failure, attempt, superseded, priority, state, failure_reason, created_at, queued_at, \
         started_at, finished_at, rev) \
         SELECT b.id, b.id, b.project_id, j.queue_key_id, j.name, j.stage, j.spec, j.timeout_s, \
         FALSE, 1, FALSE, 0, b.state, CASE WHEN b.state = 'failed' THEN 'job_failed' END, \
         b.created_at, b.created_at, b.started_at, b.finished_at, 1 \
         FROM builds b JOIN jobs j ON j.id = 1 WHERE b.id > 1;",
        usual_commit = usual_commit(),
        other_commits = "a".repeat(28),
        project = project.0,
        usual = usual.0,
        rare = rare.0,
    )
}
