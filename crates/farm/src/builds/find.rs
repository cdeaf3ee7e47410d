//! Finds builds and jobs for an actor that may see them.

use slipway_domain::{BuildId, BuildUuid, JobId, ProjectId, Role};
use slipway_store::Page;
use slipway_store::builds::{self, Build, Filter};
use slipway_store::jobs::{self, Job};

use crate::access::authorize::{Actor, ProjectAccess};
use crate::error::FarmError;
use crate::farm::Farm;

impl Farm {
    /// A build, for an actor with the role `need` on it.
    ///
    /// # Errors
    /// `NotFound` when the actor may not see the build, `Forbidden` when its role is too low.
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
    /// `Forbidden` when the actor may not see the builds.
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

    /// All attempts of the jobs of a build, oldest first.
    pub async fn jobs_of(&self, build: BuildId) -> Result<Vec<Job>, FarmError> {
        self.read(move |conn| jobs::of_build(conn, build)).await
    }

    /// A job, for an actor with the role `need` on it.
    ///
    /// # Errors
    /// `NotFound` when the actor may not see the job, `Forbidden` when its role is too low.
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

    /// Checks the role of an actor for builds of a project. `what` is named when it sees nothing.
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
    /// `NotFound` when the build was deleted.
    pub async fn build_of(&self, job: &Job) -> Result<Build, FarmError> {
        let id = job.build;
        self.read(move |conn| builds::get(conn, id)).await
    }
}
