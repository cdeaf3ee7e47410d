//! Registration tokens: who may add runners, and to which projects.
//!
//! Nobody can grant more than they have: a maintainer's token registers runners of one project, and
//! only administrators can let shared runners register. The plain token is returned once.

use chrono::{DateTime, Utc};
use slipway_domain::{ProjectId, RegistrationToken, Role, TokenId};
use slipway_store::projects::{self, Reach};
use slipway_store::registration::{self, NewRegistration, Registration};
use slipway_store::{Conn, Page};

use crate::access::authorize::{Actor, ProjectAccess};
use crate::access::tokens::{check_expiry, check_name};
use crate::error::FarmError;
use crate::farm::Farm;

/// A registration token to create.
#[derive(Clone, Debug)]
pub struct RegistrationRequest {
    pub description: String,
    /// Whether it registers only one runner.
    pub single_use: bool,
    pub expires_at: Option<DateTime<Utc>>,
}

impl Farm {
    /// Creates a token for shared runners. Requires an administrator.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` for an invalid description or a time in the past.
    pub async fn create_shared_registration(
        &self,
        actor: &Actor,
        request: RegistrationRequest,
    ) -> Result<(Registration, RegistrationToken), FarmError> {
        self.admin(actor)?;
        self.insert_registration(actor, None, request).await
    }

    /// Creates a token for runners of one project. Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` for an invalid description or a time in the past.
    pub async fn create_project_registration(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        request: RegistrationRequest,
    ) -> Result<(Registration, RegistrationToken), FarmError> {
        access.require(Role::Maintainer)?;
        self.insert_registration(actor, Some(access.id()), request)
            .await
    }

    /// Replaces the runners token of a project; runners that registered with the old one stay.
    /// Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn reset_project_runners_token(
        &self,
        access: &ProjectAccess,
    ) -> Result<RegistrationToken, FarmError> {
        access.require(Role::Maintainer)?;
        let id = access.id();
        let reset = move |conn: &mut Conn| {
            projects::reset_runners_nonces(conn, Reach::Project(id))?;
            projects::get(conn, id)
        };
        let project = self.write(reset).await?;
        tracing::info!(project.id = %id, "Reset the runners token of {}", project.path());
        Ok(self.project_runners_token(&project))
    }

    async fn insert_registration(
        &self,
        actor: &Actor,
        project: Option<ProjectId>,
        request: RegistrationRequest,
    ) -> Result<(Registration, RegistrationToken), FarmError> {
        let now = self.now();
        check_name(&request.description)?;
        check_expiry(request.expires_at, now)?;
        let plain = RegistrationToken::from_entropy(self.inner.chance.bytes());
        let new = NewRegistration {
            hash: plain.hash(),
            description: request.description,
            project,
            created_by: Some(actor.user),
            single_use: request.single_use,
            expires_at: request.expires_at,
        };
        let insert = move |conn: &mut Conn| registration::insert(conn, &new, now);
        let made = self.write(insert).await?;
        tracing::info!(token.id = %made.id, "Created registration token {}", made.id);
        Ok((made, plain))
    }

    /// The tokens for shared runners, newest first. Requires an administrator.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn shared_registrations(
        &self,
        actor: &Actor,
        page: Page,
    ) -> Result<Vec<Registration>, FarmError> {
        self.admin(actor)?;
        let list = move |conn: &mut Conn| registration::list(conn, None, page);
        self.read(list).await
    }

    /// The tokens for runners of one project, newest first. Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn project_registrations(
        &self,
        access: &ProjectAccess,
        page: Page,
    ) -> Result<Vec<Registration>, FarmError> {
        access.require(Role::Maintainer)?;
        let project = access.id();
        let list = move |conn: &mut Conn| registration::list(conn, Some(project), page);
        self.read(list).await
    }

    /// Revokes a registration token; runners that it registered stay. Requires the rights to create
    /// such a token.
    ///
    /// # Errors
    /// `NotFound` when the actor may not see such a token, `Forbidden` when its role is too low.
    pub async fn revoke_registration(&self, actor: &Actor, id: TokenId) -> Result<(), FarmError> {
        let find = move |conn: &mut Conn| registration::get(conn, id);
        let missing = || FarmError::NotFound("registration token");
        match self.read(find).await?.project {
            Some(project) => {
                let access = self.project_by_id(actor, project, Role::Reader).await;
                let access = access.map_err(|error| match error {
                    FarmError::NotFound(_) => missing(),
                    other => other,
                })?;
                access.require(Role::Maintainer)?;
            }
            // For anybody else a shared token must look as if it did not exist.
            None if actor.admin => self.admin(actor)?,
            None => return Err(missing()),
        }
        let now = self.now();
        let revoke = move |conn: &mut Conn| registration::revoke(conn, id, now);
        self.write(revoke).await?;
        tracing::info!(token.id = %id, "Revoked registration token {id}");
        Ok(())
    }
}
