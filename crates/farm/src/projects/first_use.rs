//! Projects that the farm has not met, made when the first build of one is asked for.
//!
//! The operator says of which names, and where their sources are; who asks chooses neither.

use slipway_domain::{GitRef, ProjectPath, Role, Scope, UserId};
use slipway_store::projects::{self, Project, Settings};
use slipway_store::{Conn, StoreError, pipelines};

use crate::access::authorize::Actor;
use crate::error::FarmError;
use crate::farm::Farm;
use crate::projects::pipelines::first_pipeline;

/// The default branch of a project of which nobody has said what it is.
const USUAL_BRANCH: &str = "main";
impl Farm {
    /// The project, for somebody who builds; made when the policy and the actor's rights allow.
    pub(crate) async fn project_on_first_use(
        &self,
        actor: &Actor,
        path: &ProjectPath,
    ) -> Result<Project, FarmError> {
        let find = || self.project(actor, &path.namespace, &path.name, Role::Developer);
        let access = match find().await {
            Err(FarmError::NotFound(_)) if self.may_make(actor, path).await? => {
                self.make_project(path, Some(actor.user), None).await?;
                // What was there already may be somebody else's.
                find().await?
            }
            other => other?,
        };
        access.require_builds(Role::Developer)?;
        Ok(access.project().clone())
    }

    /// Whether the actor may have a project made by asking for a build of it: developers of its
    /// namespace may, and administrators whether or not there is one.
    async fn may_make(&self, actor: &Actor, path: &ProjectPath) -> Result<bool, FarmError> {
        if !self.inner.settings.auto_create.allows(path) {
            return Ok(false);
        }
        match self
            .namespace(actor, &path.namespace, Role::Developer)
            .await
        {
            Ok(_) => Ok(true),
            Err(FarmError::NotFound(_)) => Ok(actor.admin && actor.scope >= Scope::Write),
            Err(FarmError::Forbidden(_)) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// The project that hooks act for; made when the policy allows.
    pub(crate) async fn project_of_hook(
        &self,
        path: &ProjectPath,
        default_branch: Option<&GitRef>,
    ) -> Result<Project, FarmError> {
        if let Some(project) = self.project_at(path).await? {
            return Ok(project);
        }
        if !self.inner.settings.auto_create.allows(path) {
            return Err(FarmError::NotFound("project"));
        }
        self.make_project(path, None, default_branch).await?;
        self.project_at(path)
            .await?
            .ok_or(FarmError::NotFound("project"))
    }

    /// The project at a path, whoever asks.
    pub(crate) async fn project_at(
        &self,
        path: &ProjectPath,
    ) -> Result<Option<Project>, FarmError> {
        let path = path.clone();
        let find = move |conn: &mut Conn| projects::by_path(conn, &path.namespace, &path.name);
        match self.read(find).await {
            Ok(project) => Ok(Some(project)),
            Err(FarmError::NotFound(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Makes a project as the policy says, and its namespace, unless they are there.
    async fn make_project(
        &self,
        path: &ProjectPath,
        by: Option<UserId>,
        default_branch: Option<&GitRef>,
    ) -> Result<(), FarmError> {
        let url = self.inner.settings.auto_create.source(path)?;
        let branch = match default_branch {
            Some(branch) => branch.clone(),
            None => USUAL_BRANCH.parse()?,
        };
        let settings = Settings::of_source(url, branch);
        let from_repository = self.inner.settings.pipelines_from_repository;
        let (path, now) = (path.clone(), self.now());
        let make = move |conn: &mut Conn| {
            match projects::by_path(conn, &path.namespace, &path.name) {
                Err(StoreError::NotFound(_)) => {}
                other => return other.map(drop),
            }
            let namespace = match projects::namespace_by_name(conn, &path.namespace) {
                Err(StoreError::NotFound(_)) => {
                    projects::insert_namespace(conn, &path.namespace, now)?
                }
                other => other?,
            };
            let project = projects::insert(conn, namespace.id, &path.name, &settings, by, now)?;
            pipelines::insert(conn, &first_pipeline(&project, from_repository), now)?;
            tracing::info!(project.id = %project.id, "Project {} is made on first use", project.path());
            Ok(())
        };
        match self.inner.store.write(make).await {
            // Somebody made it at the same moment, which is as good.
            Ok(()) | Err(StoreError::Conflict(_)) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }
}
