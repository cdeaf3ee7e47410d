//! Creates projects when their first build is requested.
//!
//! The operator decides for which paths, and where the repositories are. The caller chooses neither.

use slipway_domain::image::check_image_path;
use slipway_domain::{GitRef, ProjectPath, Role, Scope, UserId};
use slipway_store::projects::{self, Project, Settings};
use slipway_store::{Conn, StoreError, pipelines};

use crate::access::authorize::Actor;
use crate::error::FarmError;
use crate::farm::Farm;
use crate::projects::pipelines::first_pipeline;

/// The default branch when the forge does not name it.
const DEFAULT_BRANCH: &str = "main";
impl Farm {
    /// The project, for an actor that may start builds. Created if the settings and the rights of the
    /// actor allow it.
    pub(crate) async fn project_on_first_use(
        &self,
        actor: &Actor,
        path: &ProjectPath,
    ) -> Result<Project, FarmError> {
        let find = || self.project(actor, &path.namespace, &path.name, Role::Developer);
        let access = match find().await {
            Err(FarmError::NotFound(_)) if self.may_create(actor, path).await? => {
                self.create_on_first_use(path, Some(actor.user), None)
                    .await?;
                // The project may have existed in the meantime, so the actor's role is checked again.
                find().await?
            }
            other => other?,
        };
        access.require_builds(Role::Developer)?;
        Ok(access.project().clone())
    }

    /// Whether the actor may create a project by requesting a build: developers of its namespace may,
    /// and administrators may also create the namespace.
    async fn may_create(&self, actor: &Actor, path: &ProjectPath) -> Result<bool, FarmError> {
        if !self.inner.settings.auto_create.allows(path) {
            return Ok(false);
        }
        match self
            .namespace(actor, &path.namespace, Role::Developer)
            .await
        {
            Ok(_) => Ok(true),
            // Creating the namespace as well is left to administrators.
            Err(FarmError::NotFound(_)) => Ok(actor.admin && actor.scope >= Scope::Write),
            // The caller then answers that the project does not exist.
            Err(FarmError::Forbidden(_)) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// The project that a webhook is about. Created if the settings allow it.
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
        self.create_on_first_use(path, None, default_branch).await?;
        self.project_at(path)
            .await?
            .ok_or(FarmError::NotFound("project"))
    }

    /// The project with this path, without checking any rights.
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

    /// Creates a project and its namespace by the settings, unless they exist.
    async fn create_on_first_use(
        &self,
        path: &ProjectPath,
        by: Option<UserId>,
        default_branch: Option<&GitRef>,
    ) -> Result<(), FarmError> {
        check_image_path("project name", &path.name)?;
        check_image_path("namespace name", &path.namespace)?;
        let url = self.inner.settings.auto_create.source(path)?;
        let branch = match default_branch {
            Some(branch) => branch.clone(),
            None => DEFAULT_BRANCH.parse()?,
        };
        let settings = Settings::of_source(url, branch);
        let from_repository = self.inner.settings.pipelines_from_repository;
        let (path, now) = (path.clone(), self.now());
        let create = move |conn: &mut Conn| {
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
            tracing::info!(project.id = %project.id, "Created project {} on first use", project.path());
            Ok(())
        };
        match self.write_exactly(create).await {
            // Another request created it at the same time, which is just as good.
            Ok(()) | Err(StoreError::Conflict(_)) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }
}
