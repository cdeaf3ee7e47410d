//! Lists jobs and builds with what lists show, and finds archives and attempts by name.

use chrono::{DateTime, Utc};
use slipway_domain::{ArtifactId, BuildId, JobId, ProjectId, RefName, Role, StateName};
use slipway_store::artifacts::{self, Artifact};
use slipway_store::builds;
use slipway_store::job_lists::{self, CommitFilter, ListedBuild, ListedJob};
use slipway_store::jobs::{self, Job};
use slipway_store::{Conn, Part, Slice, StoreError};

use crate::access::authorize::{Actor, ProjectAccess};
use crate::error::FarmError;
use crate::farm::Farm;

impl Farm {
    /// A part of the jobs of a project in any of `states`, newest first. No state means all.
    ///
    /// # Errors
    /// `Forbidden` when the actor may not see the builds.
    pub async fn job_list(
        &self,
        access: &ProjectAccess,
        states: Vec<StateName>,
        slice: Slice,
    ) -> Result<Part<ListedJob>, FarmError> {
        access.require_builds(Role::Reader)?;
        let (project, now) = (access.id(), self.now());
        let list = move |conn: &mut Conn| {
            let part = job_lists::slice_of_project(conn, project, &states, slice)?;
            complete(conn, project, part, now)
        };
        self.read(list).await
    }

    /// A part of the jobs of a commit, newest first.
    ///
    /// # Errors
    /// `Forbidden` when the actor may not see the builds.
    pub async fn commit_job_list(
        &self,
        access: &ProjectAccess,
        filter: CommitFilter,
        slice: Slice,
    ) -> Result<Part<ListedJob>, FarmError> {
        access.require_builds(Role::Reader)?;
        let (project, now) = (access.id(), self.now());
        let list = move |conn: &mut Conn| {
            let part = job_lists::slice_of_commit(conn, project, &filter, slice)?;
            complete(conn, project, part, now)
        };
        self.read(list).await
    }

    /// A job of a project, with what lists show.
    ///
    /// # Errors
    /// `NotFound` when the project has no such job; `Forbidden` when the actor may not see the
    /// builds.
    pub async fn listed_job(
        &self,
        access: &ProjectAccess,
        id: JobId,
    ) -> Result<ListedJob, FarmError> {
        access.require_builds(Role::Reader)?;
        let (project, now) = (access.id(), self.now());
        let read = move |conn: &mut Conn| {
            let job = jobs::get(conn, id)?;
            if job.project != project {
                return Err(StoreError::NotFound("job"));
            }
            let listed = job_lists::complete(conn, project, vec![job], now)?;
            listed.into_iter().next().ok_or(StoreError::NotFound("job"))
        };
        self.read(read).await
    }

    /// A part of the builds of a project, newest first.
    ///
    /// # Errors
    /// `Forbidden` when the actor may not see the builds.
    pub async fn build_list(
        &self,
        access: &ProjectAccess,
        slice: Slice,
    ) -> Result<Part<ListedBuild>, FarmError> {
        access.require_builds(Role::Reader)?;
        let project = access.id();
        let list = move |conn: &mut Conn| {
            let mut part = builds::slice_of_project(conn, project, slice)?;
            let builds = std::mem::take(&mut part.rows);
            Ok(part.with_rows(job_lists::complete_builds(conn, project, builds)?))
        };
        self.read(list).await
    }

    /// A build of a project by its id, with what lists show.
    ///
    /// # Errors
    /// `NotFound` when the project has no such build; `Forbidden` when the actor may not see the
    /// builds.
    pub async fn listed_build(
        &self,
        access: &ProjectAccess,
        id: BuildId,
    ) -> Result<ListedBuild, FarmError> {
        access.require_builds(Role::Reader)?;
        let project = access.id();
        let read = move |conn: &mut Conn| {
            let build = builds::get(conn, id)?;
            if build.project != project {
                return Err(StoreError::NotFound("build"));
            }
            let listed = job_lists::complete_builds(conn, project, vec![build])?;
            let mut listed = listed.into_iter();
            listed.next().ok_or(StoreError::NotFound("build"))
        };
        self.read(read).await
    }

    /// The archive of the job with this name in the newest successful build of a branch or tag, from
    /// the latest attempt.
    ///
    /// # Errors
    /// `NotFound` when there is no such build, job or archive; `Forbidden` when the actor may not see
    /// the builds.
    pub async fn newest_archive(
        &self,
        access: &ProjectAccess,
        git_ref: &RefName,
        job: &str,
    ) -> Result<Artifact, FarmError> {
        access.require_builds(Role::Reader)?;
        let (project, now) = (access.id(), self.now());
        let (git_ref, name) = (git_ref.clone(), job.to_owned());
        let find = move |conn: &mut Conn| {
            let build =
                builds::newest_succeeded(conn, project, &git_ref.name, git_ref.tag_if_known())?;
            let job = job_lists::latest_attempt(conn, build.id, &name)?;
            let listed = job_lists::complete(conn, project, vec![job], now)?;
            let archive = listed.into_iter().find_map(|listed| listed.archive);
            archive.ok_or(StoreError::NotFound("archive"))
        };
        self.read(find).await
    }

    /// Removes the expiry of an artifact.
    ///
    /// # Errors
    /// `NotFound` when the artifact has expired or was deleted.
    pub async fn keep_artifact(
        &self,
        access: &ProjectAccess,
        id: ArtifactId,
    ) -> Result<Artifact, FarmError> {
        access.require_builds(Role::Developer)?;
        let now = self.now();
        let keep = move |conn: &mut Conn| artifacts::remove_expiry(conn, id, now);
        self.write(keep).await
    }

    /// Retries the latest attempt of a job, whichever attempt is named. GitLab can retry any attempt
    /// any number of times; here each attempt is a copy of the one before, so the result is the same.
    ///
    /// # Errors
    /// `Conflict` when the latest attempt has not ended, or was skipped.
    pub async fn retry_latest(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        job: &Job,
    ) -> Result<Job, FarmError> {
        access.require_builds(Role::Developer)?;
        let latest = if job.superseded {
            let (build, name) = (job.build, job.name.clone());
            let find = move |conn: &mut Conn| job_lists::latest_attempt(conn, build, &name);
            self.read(find).await?
        } else {
            job.clone()
        };
        self.retry_job(actor, access, &latest).await
    }
}

fn complete(
    conn: &mut Conn,
    project: ProjectId,
    mut part: Part<Job>,
    now: DateTime<Utc>,
) -> Result<Part<ListedJob>, StoreError> {
    let jobs = std::mem::take(&mut part.rows);
    Ok(part.with_rows(job_lists::complete(conn, project, jobs, now)?))
}
