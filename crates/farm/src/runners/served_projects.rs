//! Which projects a runner serves, and who may decide that.
//!
//! The maintainers of each served project see a runner and may add more of their projects. Only
//! those who maintain all served projects may change it.

use slipway_domain::access::Action;
use slipway_domain::queue::RunnerScope;
use slipway_domain::{ProjectId, Role, RunnerId};
use slipway_store::projects::{self, Project};
use slipway_store::runners::{self, Runner};
use slipway_store::{Conn, StoreError};

use crate::access::authorize::{Actor, ProjectAccess};
use crate::error::FarmError;
use crate::farm::Farm;

const NO_ACCESS: &str = "this needs the role maintainer in all projects that the runner serves";

impl Farm {
    /// All runners, newest first. Requires an administrator.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn all_runners(&self, actor: &Actor) -> Result<Vec<Runner>, FarmError> {
        self.admin(actor)?;
        self.newest_first().await
    }

    /// The runners of the projects that the actor maintains, newest first, without shared runners.
    pub async fn maintained_runners(&self, actor: &Actor) -> Result<Vec<Runner>, FarmError> {
        let mut roles = RoleCache::new(self, actor);
        let mut maintained = Vec::new();
        for runner in self.newest_first().await? {
            if roles.has_role_on(&runner, Role::Maintainer).await? {
                maintained.push(runner);
            }
        }
        Ok(maintained)
    }

    /// The runners that may claim jobs of a project, newest first: its own and the shared ones.
    /// Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn runners_of(&self, access: &ProjectAccess) -> Result<Vec<Runner>, FarmError> {
        access.require(Role::Maintainer)?;
        let id = access.id();
        let mut runners = self.newest_first().await?;
        runners.retain(|runner| match &runner.capabilities.scope {
            RunnerScope::Shared => true,
            RunnerScope::Projects(served) => served.contains(&id),
        });
        Ok(runners)
    }

    async fn newest_first(&self) -> Result<Vec<Runner>, FarmError> {
        let mut runners = self.read(runners::all).await?;
        runners.sort_by_key(|runner| std::cmp::Reverse(runner.id));
        Ok(runners)
    }

    /// A runner, for actors that may see it: everybody sees shared runners, maintainers of any served
    /// project see the others.
    ///
    /// # Errors
    /// `NotFound` for everybody else, as when there is no such runner.
    pub async fn visible_runner(&self, actor: &Actor, id: RunnerId) -> Result<Runner, FarmError> {
        actor.require(Action::ReadProjects)?;
        let runner = self.registered(id).await?;
        let is_open = actor.admin || runner.capabilities.scope == RunnerScope::Shared;
        if is_open
            || RoleCache::new(self, actor)
                .has_role_on(&runner, Role::Maintainer)
                .await?
        {
            return Ok(runner);
        }
        Err(FarmError::NotFound("runner"))
    }

    /// A runner, for actors that may change it: administrators and those who maintain all served
    /// projects.
    ///
    /// # Errors
    /// `NotFound` when there is no such runner or the actor may not see it; `Forbidden` for everybody
    /// else.
    pub async fn editable_runner(&self, actor: &Actor, id: RunnerId) -> Result<Runner, FarmError> {
        // An actor who may not see the runner gets the same answer as for a missing one.
        match self.runner(actor, id, Role::Maintainer).await {
            Err(FarmError::NotFound(_) | FarmError::Forbidden(_)) => {}
            found => return found,
        }
        self.visible_runner(actor, id).await?;
        Err(FarmError::Forbidden(NO_ACCESS))
    }

    /// A runner, for actors that may delete it: administrators and those who maintain the only
    /// project it serves.
    ///
    /// # Errors
    /// As [`Farm::editable_runner`]; `Forbidden` also if it serves other projects.
    pub async fn deletable_runner(&self, actor: &Actor, id: RunnerId) -> Result<Runner, FarmError> {
        let runner = self.editable_runner(actor, id).await?;
        match &runner.capabilities.scope {
            RunnerScope::Projects(served) if served.len() > 1 && !actor.admin => Err(
                FarmError::Forbidden("the runner serves other projects as well"),
            ),
            _ => Ok(runner),
        }
    }

    async fn registered(&self, id: RunnerId) -> Result<Runner, FarmError> {
        let read = move |conn: &mut Conn| runners::get(conn, id);
        let runner = self.read(read).await?;
        match runner.removed_at {
            None => Ok(runner),
            Some(_) => Err(FarmError::NotFound("runner")),
        }
    }

    /// The projects that a runner serves and the actor may see.
    pub async fn served_projects(
        &self,
        actor: &Actor,
        runner: &Runner,
    ) -> Result<Vec<Project>, FarmError> {
        let RunnerScope::Projects(served) = &runner.capabilities.scope else {
            return Ok(Vec::new());
        };
        let mut seen = Vec::new();
        for project in served {
            match self.project_by_id(actor, *project, Role::Guest).await {
                Ok(access) => seen.push(access.project().clone()),
                Err(FarmError::NotFound(_)) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(seen)
    }

    /// Adds a project to those that a runner serves. Requires a maintainer of the project who may see
    /// the runner.
    ///
    /// # Errors
    /// `Forbidden` for everybody else and for a shared or locked runner; `NotFound` when there is no
    /// such runner; `Conflict` when it serves the project already.
    pub async fn enable_runner(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        id: RunnerId,
    ) -> Result<Runner, FarmError> {
        access.require(Role::Maintainer)?;
        let seen = self.visible_runner(actor, id).await?;
        if seen.capabilities.scope == RunnerScope::Shared {
            return Err(FarmError::Forbidden("the runner is shared"));
        }
        let project = access.id();
        // Whether the runner is locked is read in the transaction: it may be locked meanwhile.
        let enable = move |conn: &mut Conn| {
            if runners::get(conn, id)?.locked {
                return Ok(None);
            }
            projects::get(conn, project)?;
            runners::enable(conn, id, project).map(Some)
        };
        let runner = self.write(enable).await?;
        let runner = runner.ok_or(FarmError::Forbidden("the runner is locked"))?;
        // Its parked poll stands under the old projects and would miss jobs of the new one.
        self.inner.wakeups.wake_runner(id);
        Ok(runner)
    }

    /// Removes a project from those that a runner serves. Requires a maintainer of the project.
    ///
    /// # Errors
    /// `Forbidden`, also when it is the runner's only project; `NotFound` when the runner does not
    /// serve the project.
    pub async fn disable_runner(
        &self,
        access: &ProjectAccess,
        id: RunnerId,
    ) -> Result<Runner, FarmError> {
        access.require(Role::Maintainer)?;
        let project = access.id();
        let disable = move |conn: &mut Conn| runners::disable(conn, id, project);
        let disabled = self.write_exactly(disable).await;
        let runner = disabled.map_err(|error| match error {
            StoreError::Conflict(runners::ONLY_PROJECT) => {
                FarmError::Forbidden(runners::ONLY_PROJECT)
            }
            other => other.into(),
        })?;
        self.inner.wakeups.wake_runner(id);
        Ok(runner)
    }
}

/// Caches the roles of an actor in projects while a list of runners is filtered.
struct RoleCache<'a> {
    farm: &'a Farm,
    actor: &'a Actor,
    roles: std::collections::HashMap<ProjectId, Option<Role>>,
}

impl<'a> RoleCache<'a> {
    fn new(farm: &'a Farm, actor: &'a Actor) -> Self {
        Self {
            farm,
            actor,
            roles: std::collections::HashMap::new(),
        }
    }

    /// Whether the actor has this role in any project that a runner serves.
    async fn has_role_on(&mut self, runner: &Runner, need: Role) -> Result<bool, FarmError> {
        let RunnerScope::Projects(served) = &runner.capabilities.scope else {
            return Ok(false);
        };
        for project in served {
            if self.role_in(*project).await? >= Some(need) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn role_in(&mut self, project: ProjectId) -> Result<Option<Role>, FarmError> {
        // Many runners serve the same few projects, and each role costs a read.
        if let Some(role) = self.roles.get(&project) {
            return Ok(*role);
        }
        let access = self
            .farm
            .project_by_id(self.actor, project, Role::Guest)
            .await;
        let role = match access {
            Ok(access) => Some(access.role()),
            Err(FarmError::NotFound(_)) => None,
            Err(other) => return Err(other),
        };
        self.roles.insert(project, role);
        Ok(role)
    }
}
