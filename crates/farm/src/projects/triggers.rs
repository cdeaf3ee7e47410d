//! Triggers: each has a token that can start builds of one project, and nothing else.

use slipway_domain::names::check_line;
use slipway_domain::{Name, ProjectId, RefName, Role, Slug, TriggerId, TriggerToken};
use slipway_store::builds::Build;
use slipway_store::projects::{self, Project};
use slipway_store::triggers::{self, Trigger};
use slipway_store::{Conn, StoreError, people};

use crate::access::authorize::{Actor, ProjectAccess, check_accepts_builds};
use crate::builds::create::from_commit::{BuildCause, BuildRequest};
use crate::error::FarmError;
use crate::farm::Farm;
use crate::projects::build_variables::BuildVariables;

/// How a caller without a user names a project.
#[derive(Clone, Debug)]
pub enum ProjectKey {
    Id(ProjectId),
    /// Namespace and name.
    Path(Name, Name),
}

/// Proof that a caller has the token of a trigger of this project; only this module makes one.
#[derive(Clone, Debug)]
pub struct TriggerAccess {
    trigger: Trigger,
    project: Project,
}

impl Farm {
    /// The triggers of a project, oldest first. Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn triggers(&self, access: &ProjectAccess) -> Result<Vec<Trigger>, FarmError> {
        access.require(Role::Maintainer)?;
        let project = access.id();
        let list = move |conn: &mut Conn| triggers::of_project(conn, project);
        self.read(list).await
    }

    /// Creates a trigger, which starts builds in the name of the actor. Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` for an invalid description.
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
        tracing::info!(trigger.id = %trigger.id, "Created trigger {}", trigger.id);
        Ok(trigger)
    }

    /// The trigger of a project with this token. Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` when the project has no such trigger.
    pub async fn trigger_by_token(
        &self,
        access: &ProjectAccess,
        token: &TriggerToken,
    ) -> Result<Trigger, FarmError> {
        access.require(Role::Maintainer)?;
        let trigger = self.trigger_of(token).await?;
        if trigger.project == access.id() {
            Ok(trigger)
        } else {
            Err(FarmError::NotFound("trigger"))
        }
    }

    /// Revokes a trigger of a project. Builds that it started continue. Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` when the project has no such trigger.
    pub async fn revoke_trigger(
        &self,
        access: &ProjectAccess,
        id: TriggerId,
    ) -> Result<Trigger, FarmError> {
        access.require(Role::Maintainer)?;
        let (project, now) = (access.id(), self.now());
        let revoke = move |conn: &mut Conn| {
            if triggers::get(conn, id)?.project == project {
                triggers::revoke(conn, id, now)
            } else {
                Err(StoreError::NotFound("trigger"))
            }
        };
        let trigger = self.write(revoke).await?;
        tracing::info!(trigger.id = %id, "Revoked trigger {id}");
        Ok(trigger)
    }

    /// The trigger with this token, unless it is revoked.
    async fn trigger_of(&self, token: &TriggerToken) -> Result<Trigger, FarmError> {
        let missing = FarmError::NotFound("trigger");
        let Some(id) = token.trigger() else {
            return Err(missing);
        };
        let find = move |conn: &mut Conn| triggers::get(conn, id);
        let trigger = self.read(find).await?;
        let is_its_token = self.trigger_token(&trigger).hash() == token.hash();
        if is_its_token && trigger.revoked_at.is_none() {
            Ok(trigger)
        } else {
            Err(missing)
        }
    }

    /// Checks the token of a trigger for a project.
    ///
    /// # Errors
    /// `NotFound` when there is no such project or trigger; `BadToken` for a trigger of another
    /// project.
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
        if trigger.project == project.id {
            Ok(TriggerAccess { trigger, project })
        } else {
            Err(FarmError::BadToken)
        }
    }

    /// Creates a build of the branch or tag `git_ref` with the default pipeline of the project, in the
    /// name of the user who created the trigger.
    ///
    /// # Errors
    /// `Invalid` when the repository has no such ref; `Forbidden` when builds are disabled, or that
    /// user may no longer start builds; `ReadOnly`.
    pub async fn fire(
        &self,
        triggering: TriggerAccess,
        git_ref: RefName,
        variables: BuildVariables,
    ) -> Result<Build, FarmError> {
        let TriggerAccess { trigger, project } = triggering;
        check_accepts_builds(&project)?;
        let forbidden =
            FarmError::Forbidden("the user who created the trigger may no longer start builds");
        let Some(by) = trigger.created_by else {
            return Err(forbidden);
        };
        // The rights of that user may have changed since the trigger was created.
        let of = project.clone();
        let may = move |conn: &mut Conn| {
            let user = people::get(conn, by)?;
            let role = people::project_role(conn, &of, by)?;
            Ok(user.active && (user.admin || role >= Some(Role::Developer)))
        };
        if !self.read(may).await? {
            return Err(forbidden);
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
