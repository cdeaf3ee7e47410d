//! Registration tokens: who may add runners, and for which projects.
//!
//! Nobody hands out more than they have: a maintainer's token makes runners of that one project,
//! and only administrators make runners for all. The plain token is told once.

use chrono::{DateTime, Utc};
use slipway_domain::{ProjectId, RegistrationToken, Role, TokenId};
use slipway_store::registration::{self, NewRegistration, Registration};
use slipway_store::{Conn, Page};

use crate::access::authorize::{Actor, ProjectAccess};
use crate::access::tokens::{check_expiry, check_name};
use crate::error::FarmError;
use crate::farm::Farm;

/// What somebody who makes a registration token asks for.
#[derive(Clone, Debug)]
pub struct RegistrationRequest {
    /// Free text.
    pub description: String,
    /// Whether it registers one runner and no more.
    pub single_use: bool,
    /// When it stops working.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Farm {
    /// Makes a token for shared runners. Administrators do.
    ///
    /// # Errors
    /// `Forbidden` to everybody else; `Invalid` for a description or a time that cannot be.
    pub async fn create_shared_registration(
        &self,
        actor: &Actor,
        request: RegistrationRequest,
    ) -> Result<(Registration, RegistrationToken), FarmError> {
        self.admin(actor)?;
        self.make_registration(actor, None, request).await
    }

    /// Makes a token for runners of one project. Its maintainers do.
    ///
    /// # Errors
    /// `Forbidden` to lower roles; `Invalid` for a description or a time that cannot be.
    pub async fn create_project_registration(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        request: RegistrationRequest,
    ) -> Result<(Registration, RegistrationToken), FarmError> {
        access.require(Role::Maintainer)?;
        self.make_registration(actor, Some(access.id()), request)
            .await
    }

    async fn make_registration(
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
        tracing::info!(token.id = %made.id, "Registration token {} is made", made.id);
        Ok((made, plain))
    }

    /// The tokens for shared runners, newest first. Administrators see them.
    ///
    /// # Errors
    /// `Forbidden` to everybody else.
    pub async fn shared_registrations(
        &self,
        actor: &Actor,
        page: Page,
    ) -> Result<Vec<Registration>, FarmError> {
        self.admin(actor)?;
        let list = move |conn: &mut Conn| registration::list(conn, None, page);
        self.read(list).await
    }

    /// The tokens for runners of one project, newest first. Its maintainers see them.
    ///
    /// # Errors
    /// `Forbidden` to lower roles.
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

    /// Revokes a registration token; runners that it registered stay. Who may make one like it
    /// may revoke it.
    ///
    /// # Errors
    /// `NotFound` when there is none that the actor may know of, `Forbidden` when it may not.
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
            None if actor.admin => self.admin(actor)?,
            None => return Err(missing()),
        }
        let now = self.now();
        let revoke = move |conn: &mut Conn| registration::revoke(conn, id, now);
        self.write(revoke).await?;
        tracing::info!(token.id = %id, "Registration token {id} is revoked");
        Ok(())
    }
}
