//! The one way in which builds are created: row, jobs and queue entries in one transaction, then the
//! announcements that follow from it.

use std::convert::Infallible;

use chrono::{DateTime, Utc};
use slipway_domain::pipeline::Definition;
use slipway_domain::{BuildUuid, CommitSha, PipelineId, TrustLevel};
use slipway_store::builds::{self, Build, NewBuild, Submission};
use slipway_store::by_commit::SoleOf;
use slipway_store::projects::Project;
use slipway_store::{Conn, StoreError, by_commit};

use crate::farm::Farm;

/// How many unfinished builds of its commit a new build tolerates.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Uniqueness {
    /// Any number.
    Any,
    /// None that is as unique as this one: creating another one is a conflict. With `report`, forges
    /// get the build's status.
    Sole { of: SoleOf, report: bool },
}

/// What a transaction that may create a build did.
pub(crate) enum Enqueued<T> {
    /// It created this build.
    Created(Box<Build>),
    /// The caller's first queries decided against a build, with this result.
    Declined(T),
}

impl Enqueued<Infallible> {
    /// The build, where nothing can decide against it.
    pub(crate) fn build(self) -> Build {
        match self {
            Self::Created(build) => *build,
            Self::Declined(never) => match never {},
        }
    }
}

/// A build row with the fields that every build has; callers add what theirs has besides.
pub(crate) fn build_row(
    uuid: BuildUuid,
    project: &Project,
    pipeline: PipelineId,
    sha: CommitSha,
    definition: Definition,
) -> NewBuild {
    NewBuild {
        uuid,
        project: project.id,
        pipeline,
        sha,
        git_ref: None,
        ref_is_tag: false,
        created_by: None,
        variables: None,
        trigger: None,
        definition,
        package: None,
        pull_login: None,
        submission: Submission::default(),
        trust: TrustLevel::Unverified,
    }
}

impl Farm {
    /// Creates a build, queues its jobs, and wakes runners for them.
    ///
    /// `before` and `after` run in the same transaction as the insert, so that what they check and
    /// note cannot disagree with the build. They may run more than once. When `before` returns
    /// something, no build is created and the caller gets that instead.
    ///
    /// # Errors
    /// What the queries return; `Conflict` when the build would not be the sole one that it must be;
    /// `ReadOnly`; `DiskFull`.
    pub(crate) async fn enqueue<T, B, A>(
        &self,
        project: &Project,
        new: NewBuild,
        uniqueness: Uniqueness,
        now: DateTime<Utc>,
        mut before: B,
        mut after: A,
    ) -> Result<Enqueued<T>, StoreError>
    where
        T: Send + 'static,
        B: FnMut(&mut Conn) -> Result<Option<T>, StoreError> + Send + 'static,
        A: FnMut(&mut Conn, &Build) -> Result<(), StoreError> + Send + 'static,
    {
        self.require_build_space()?;
        let warm_wait = self.warm_wait();
        let create = move |conn: &mut Conn| {
            if let Some(declined) = before(conn)? {
                return Ok(Err(declined));
            }
            let (build, changes) = match uniqueness {
                Uniqueness::Any => builds::create(conn, &new, warm_wait, now)?,
                Uniqueness::Sole { of, report } => {
                    by_commit::create_sole(conn, &new, of, report, warm_wait, now)?
                }
            };
            after(conn, &build)?;
            Ok(Ok((build, changes)))
        };
        let (build, changes) = match self.write_exactly(create).await? {
            Ok(created) => created,
            Err(declined) => return Ok(Enqueued::Declined(declined)),
        };
        tracing::info!(
            build.id = %build.uuid,
            "Build {} of {} is {}",
            build.uuid, project.path(), build.state
        );
        // Only after the commit: a runner that is woken earlier would find no job.
        self.announce_changes(changes).await;
        // Submitted sources and packages have no commit that a repository could describe.
        if !build.sha.is_none() {
            self.look_up_commit(build.project, build.sha.clone(), build.git_ref.clone());
        }
        Ok(Enqueued::Created(Box::new(build)))
    }
}

/// For builds without queries of their own before the insert.
pub(crate) fn always(_: &mut Conn) -> Result<Option<Infallible>, StoreError> {
    Ok(None)
}

/// For builds without queries of their own after the insert.
pub(crate) fn nothing_more(_: &mut Conn, _: &Build) -> Result<(), StoreError> {
    Ok(())
}
