//! Finds builds and jobs for an actor that may see them.

use slipway_domain::{BuildId, BuildUuid, JobId, ProjectId, Role};
use slipway_store::Page;
use slipway_store::builds::{self, Build, Filter};
use slipway_store::jobs::{self, Job};

use crate::access::authorize::{Actor, ProjectAccess};
use crate::error::FarmError;
use crate::farm::Farm;

impl Farm {
    /// One build, for an actor that may see it and act on it in the role `need`.
    ///
    /// # Errors
    /// `NotFound` when the actor may not know of it, `Forbidden` when it may only look.
    pub async fn build(
        &self,
        actor: &Actor,
        uuid: BuildUuid,
        need: Role,
    ) -> Result<(ProjectAccess, Build), FarmError> {
        let build = self.read(move |conn| builds::by_uuid(conn, uuid)).await?;
        let access = self.builds_of(actor, build.project, need, "build").await?;
        Ok((access, build))
    }

    /// The builds of a project, newest first.
    ///
    /// # Errors
    /// `Forbidden` to those who see the project but not its builds.
    pub async fn builds(
        &self,
        access: &ProjectAccess,
        filter: Filter,
        page: Page,
    ) -> Result<Vec<Build>, FarmError> {
        access.require_builds(Role::Reader)?;
        let project = access.id();
        self.read(move |conn| builds::of_project(conn, project, &filter, page))
            .await
    }

    /// All attempts of a build's jobs, in the order they were made.
    pub async fn jobs_of(&self, build: BuildId) -> Result<Vec<Job>, FarmError> {
        self.read(move |conn| jobs::of_build(conn, build)).await
    }

    /// One job, for an actor that may see it and act on it in the role `need`.
    ///
    /// # Errors
    /// `NotFound` when the actor may not know of it, `Forbidden` when it may only look.
    pub async fn job(
        &self,
        actor: &Actor,
        id: JobId,
        need: Role,
    ) -> Result<(ProjectAccess, Job), FarmError> {
        let job = self.read(move |conn| jobs::get(conn, id)).await?;
        let access = self.builds_of(actor, job.project, need, "job").await?;
        Ok((access, job))
    }

    /// Lets an actor act on the builds of the project that `what` belongs to.
    async fn builds_of(
        &self,
        actor: &Actor,
        project: ProjectId,
        need: Role,
        what: &'static str,
    ) -> Result<ProjectAccess, FarmError> {
        let access = self.project_by_id(actor, project, Role::Guest).await;
        let access = access.map_err(|error| match error {
            FarmError::NotFound(_) => FarmError::NotFound(what),
            other => other,
        })?;
        access.require_builds(need)?;
        Ok(access)
    }

    /// The build that a job belongs to.
    ///
    /// # Errors
    /// `NotFound` when it is gone.
    pub async fn build_of(&self, job: &Job) -> Result<Build, FarmError> {
        let id = job.build;
        self.read(move |conn| builds::get(conn, id)).await
    }
}
