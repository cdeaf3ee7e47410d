//! Who is calling, and what that one may do.

use slipway_domain::{ProjectId, Role, Scope, UserId};
use slipway_store::projects::Project;

/// A user who is calling, with the power of the token that was used.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The user.
    pub user: UserId,
    /// Whether the user is an administrator, and the token carries that.
    pub admin: bool,
    /// The widest scope of the token.
    pub scope: Scope,
}

/// Proof that an actor may act on a project in a role; only this module makes one.
#[derive(Clone, Debug)]
pub struct ProjectAccess {
    project: Project,
    role: Role,
}

impl ProjectAccess {
    /// The project.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// The project's id.
    pub fn id(&self) -> ProjectId {
        self.project.id
    }

    /// The role in which the actor acts, already lowered to what the token allows.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Refuses those whose role is too low.
    ///
    /// # Errors
    /// `Forbidden`.
    pub(crate) fn require(&self, need: Role) -> Result<(), crate::FarmError> {
        if self.role < need {
            return Err(crate::FarmError::Forbidden("this needs more rights on the project"));
        }
        Ok(())
    }
}
