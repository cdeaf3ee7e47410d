//! Triggers: a token that others are given to start builds of one project, and nothing else.

use slipway_domain::names::check_line;
use slipway_domain::{GitRef, Name, ProjectId, Role, Slug, TriggerId, TriggerToken};
use slipway_store::builds::Build;
use slipway_store::projects::{self, Project};
use slipway_store::triggers::{self, Trigger};
use slipway_store::{Conn, StoreError, people};

use crate::access::authorize::{Actor, ProjectAccess};
use crate::builds::create::{BuildCause, BuildRequest};
use crate::error::FarmError;
use crate::farm::Farm;
use crate::projects::build_variables::BuildVariables;

/// A project as those name it who are nobody's user.
#[derive(Clone, Debug)]
pub enum ProjectKey {
    /// By its id.
    Id(ProjectId),
    /// By its namespace's name and its own.
    Path(Name, Name),
}

/// A trigger whose token somebody has; only this module makes one.
#[derive(Clone, Debug)]
pub struct TriggerAccess {
    trigger: Trigger,
    project: Project,
}

impl Farm {
    /// The triggers of a project, in the order they were made. Maintainers see them.
    ///
    /// # Errors
    /// `Forbidden` to lower roles.
    pub async fn triggers(&self, access: &ProjectAccess) -> Result<Vec<Trigger>, FarmError> {
        access.require(Role::Maintainer)?;
        let project = access.id();
        let list = move |conn: &mut Conn| triggers::of_project(conn, project);
        self.read(list).await
    }

    /// Makes a trigger, which starts builds in its maker's name. Maintainers do.
    ///
    /// # Errors
    /// `Forbidden` to lower roles; `Invalid` for a description that cannot be.
    pub async fn create_trigger(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        description: &str,
    ) -> Result<Trigger, FarmError> {
        access.require(Role::Maintainer)?;
        check_line("description", description)?;
        let (project, by, now) = (access.id(), actor.user, self.now());
        let description = description.to_owned();
        let insert = move |conn: &mut Conn| triggers::insert(conn, project, &description, by, now);
        let trigger = self.write(insert).await?;
        tracing::info!(trigger.id = %trigger.id, "Trigger {} is made", trigger.id);
        Ok(trigger)
    }

    /// The trigger of a project that has this token. Maintainers see it.
    ///
    /// # Errors
    /// `Forbidden` to lower roles; `NotFound` when there is none.
    pub async fn trigger_by_token(
        &self,
        access: &ProjectAccess,
        token: &TriggerToken,
    ) -> Result<Trigger, FarmError> {
        access.require(Role::Maintainer)?;
        let trigger = self.trigger_of(token).await?;
        match trigger.project == access.id() {
            true => Ok(trigger),
            false => Err(FarmError::NotFound("trigger")),
        }
    }

    /// Revokes a trigger of a project; builds that it started go on. Maintainers do.
    ///
    /// # Errors
    /// `Forbidden` to lower roles; `NotFound` when there is none.
    pub async fn revoke_trigger(
        &self,
        access: &ProjectAccess,
        id: TriggerId,
    ) -> Result<Trigger, FarmError> {
        access.require(Role::Maintainer)?;
        let (project, now) = (access.id(), self.now());
        let revoke = move |conn: &mut Conn| match triggers::get(conn, id)?.project == project {
            true => triggers::revoke(conn, id, now),
            false => Err(StoreError::NotFound("trigger")),
        };
        let trigger = self.write(revoke).await?;
        tracing::info!(trigger.id = %id, "Trigger {id} is revoked");
        Ok(trigger)
    }

    /// The trigger of a token that works.
    async fn trigger_of(&self, token: &TriggerToken) -> Result<Trigger, FarmError> {
        let missing = FarmError::NotFound("trigger");
        let id = match token.trigger() {
            Some(id) if self.trigger_token(id).hash() == token.hash() => id,
            _ => return Err(missing),
        };
        let find = move |conn: &mut Conn| triggers::get(conn, id);
        let trigger = self.read(find).await?;
        match trigger.revoked_at {
            None => Ok(trigger),
            Some(_) => Err(missing),
        }
    }

    /// Lets whoever has a trigger's token use it on a project.
    ///
    /// # Errors
    /// `NotFound` without such a project or trigger; `BadToken` when it is another project's.
    pub async fn triggering(
        &self,
        project: ProjectKey,
        token: &TriggerToken,
    ) -> Result<TriggerAccess, FarmError> {
        let find = move |conn: &mut Conn| match &project {
            ProjectKey::Id(id) => projects::get(conn, *id),
            ProjectKey::Path(namespace, name) => projects::by_path(conn, namespace, name),
        };
        let project = self.read(find).await?;
        let trigger = self.trigger_of(token).await?;
        match trigger.project == project.id {
            true => Ok(TriggerAccess { trigger, project }),
            false => Err(FarmError::BadToken),
        }
    }

    /// Makes a build of the branch or tag `git_ref`, by the project's default pipeline and in the
    /// name of the trigger's maker.
    ///
    /// # Errors
    /// `Invalid` when the repository has no such ref; `Forbidden` when builds are off, or the
    /// maker may not start builds any more.
    pub async fn fire(
        &self,
        triggering: TriggerAccess,
        git_ref: GitRef,
        variables: BuildVariables,
    ) -> Result<Build, FarmError> {
        let TriggerAccess { trigger, project } = triggering;
        if !project.builds_enabled {
            return Err(FarmError::Forbidden("builds are off in this project"));
        }
        let no_more = FarmError::Forbidden("the trigger's maker may not start builds any more");
        let Some(by) = trigger.created_by else {
            return Err(no_more);
        };
        let of = project.clone();
        let may = move |conn: &mut Conn| {
            let user = people::get(conn, by)?;
            let role = people::project_role(conn, &of, by)?;
            Ok(user.active && (user.admin || role >= Some(Role::Developer)))
        };
        if !self.read(may).await? {
            return Err(no_more);
        }
        let cause = BuildCause::Trigger {
            id: trigger.id,
            by,
            variables,
        };
        let request = BuildRequest {
            pipeline: Slug::default_pipeline(),
            sha: None,
            git_ref: Some(git_ref),
        };
        self.make_build(project, cause, request).await
    }
}
