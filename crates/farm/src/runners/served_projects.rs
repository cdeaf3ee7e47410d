//! Which projects a runner serves, and who may say so.
//!
//! A runner that serves several projects is seen by the maintainers of each, who may let it serve
//! more of theirs; it is changed by those alone who are maintainers of all of them.

use slipway_domain::queue::RunnerScope;
use slipway_domain::{ProjectId, Role, RunnerId, Scope};
use slipway_store::projects::{self, Project};
use slipway_store::runners::{self, Runner};
use slipway_store::{Conn, StoreError};

use crate::access::authorize::{Actor, ProjectAccess};
use crate::error::FarmError;
use crate::farm::Farm;

/// What somebody who may see a runner may not always do with it.
const NO_ACCESS: &str = "this needs a maintainer of a project that the runner serves";

impl Farm {
    /// All runners that are registered, newest first. Administrators see them.
    ///
    /// # Errors
    /// `Forbidden` to everybody else.
    pub async fn all_runners(&self, actor: &Actor) -> Result<Vec<Runner>, FarmError> {
        self.admin(actor)?;
        self.newest_first().await
    }

    /// The runners of the projects that the actor maintains, newest first; shared ones
    /// are nobody's.
    ///
    /// # Errors
    /// None of its own.
    pub async fn maintained_runners(&self, actor: &Actor) -> Result<Vec<Runner>, FarmError> {
        let mut runners = self.newest_first().await?;
        let mut known = Known::new(self, actor);
        let mut kept = Vec::new();
        for runner in runners.drain(..) {
            if known.any_of(&runner, Role::Maintainer).await? {
                kept.push(runner);
            }
        }
        Ok(kept)
    }

    /// The runners that may take a project's jobs, newest first: its own and the shared ones.
    /// Maintainers see them.
    ///
    /// # Errors
    /// `Forbidden` to lower roles.
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

    /// A runner, for those who may look at it: everybody at a shared one, the maintainers of any
    /// project that it serves at another.
    ///
    /// # Errors
    /// `NotFound` when there is none; `Forbidden` to others. That there is one is no secret, as
    /// builds name theirs.
    pub async fn visible_runner(&self, actor: &Actor, id: RunnerId) -> Result<Runner, FarmError> {
        actor.require_scope(Scope::Read)?;
        let runner = self.registered(id).await?;
        let is_open = actor.admin || runner.capabilities.scope == RunnerScope::Shared;
        if is_open
            || Known::new(self, actor)
                .any_of(&runner, Role::Maintainer)
                .await?
        {
            return Ok(runner);
        }
        Err(FarmError::Forbidden(NO_ACCESS))
    }

    /// A runner, for those who may change it: administrators, and who maintains all projects that
    /// it serves.
    ///
    /// # Errors
    /// `NotFound` when there is none; `Forbidden` to others.
    pub async fn editable_runner(&self, actor: &Actor, id: RunnerId) -> Result<Runner, FarmError> {
        match self.runner(actor, id, Role::Maintainer).await {
            Err(FarmError::NotFound(_)) => {}
            found => return found,
        }
        self.registered(id).await?;
        Err(FarmError::Forbidden(NO_ACCESS))
    }

    /// A runner, for those who may remove it: administrators, and who maintains the one project
    /// that it serves.
    ///
    /// # Errors
    /// `NotFound` when there is none; `Forbidden` to others.
    pub async fn deletable_runner(&self, actor: &Actor, id: RunnerId) -> Result<Runner, FarmError> {
        let runner = self.editable_runner(actor, id).await?;
        match &runner.capabilities.scope {
            RunnerScope::Projects(served) if served.len() > 1 && !actor.admin => {
                Err(FarmError::Forbidden("the runner serves other projects too"))
            }
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

    /// The projects that a runner serves, as far as the actor may see them.
    ///
    /// # Errors
    /// None of its own.
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

    /// Lets a runner serve a project too. Maintainers of the project do who may see the runner.
    ///
    /// # Errors
    /// `Forbidden` to others, and for a runner that is shared or locked; `NotFound` when there is
    /// none; `Conflict` when it serves the project already.
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
        let enable = move |conn: &mut Conn| {
            if runners::get(conn, id)?.locked {
                return Ok(None);
            }
            projects::get(conn, project)?;
            runners::enable(conn, id, project).map(Some)
        };
        let runner = self.write(enable).await?;
        let runner = runner.ok_or(FarmError::Forbidden("the runner is locked"))?;
        self.inner.wakeups.wake_runner(id);
        Ok(runner)
    }

    /// Keeps a runner from serving a project any longer. Maintainers of the project do.
    ///
    /// # Errors
    /// `Forbidden` to lower roles, and when it is the runner's only project; `NotFound` when it
    /// does not serve the project.
    pub async fn disable_runner(
        &self,
        access: &ProjectAccess,
        id: RunnerId,
    ) -> Result<Runner, FarmError> {
        access.require(Role::Maintainer)?;
        let project = access.id();
        let disable = move |conn: &mut Conn| runners::disable(conn, id, project);
        let disabled = self.inner.store.write(disable).await;
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

/// The roles of an actor that were looked up already, while many runners are gone through.
struct Known<'a> {
    farm: &'a Farm,
    actor: &'a Actor,
    roles: std::collections::HashMap<ProjectId, Option<Role>>,
}

impl<'a> Known<'a> {
    fn new(farm: &'a Farm, actor: &'a Actor) -> Self {
        Self {
            farm,
            actor,
            roles: std::collections::HashMap::new(),
        }
    }

    /// Whether the actor has this role in any of the projects that a runner serves.
    async fn any_of(&mut self, runner: &Runner, need: Role) -> Result<bool, FarmError> {
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
