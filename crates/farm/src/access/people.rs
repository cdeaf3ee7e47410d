//! Users, and members of namespaces and projects.

use slipway_domain::{AccessToken, Name, RegistrationToken, Role, Scope, ScopeSet, UserId};
use slipway_store::people::{self, Member, User};
use slipway_store::projects::Reach;
use slipway_store::registration::{self, NewRegistration};
use slipway_store::tokens::{self, NewToken};
use slipway_store::{Conn, Page, StoreError};

use crate::access::authorize::{Actor, NamespaceAccess, ProjectAccess};
use crate::access::departures::{end_all_runner_tokens, end_runner_tokens, stops_maintaining};
use crate::error::FarmError;
use crate::farm::Farm;

/// Changes to a user; absent fields stay as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct UserUpdate {
    /// Whether the user can sign in and use tokens.
    pub active: Option<bool>,
    /// Whether the user is an administrator.
    pub admin: Option<bool>,
}

/// The plain tokens that a new farm generated. Configured tokens are not included.
#[derive(Debug, Default)]
pub struct BootstrapTokens {
    /// A token of the administrator `root` with all scopes.
    pub admin_token: Option<AccessToken>,
    /// A token to register shared runners.
    pub registration_token: Option<RegistrationToken>,
}

const LAST_OWNER: &str = "a namespace must keep at least one owner";

impl Farm {
    /// Creates the administrator `root` and the first tokens in a database without users. Does nothing
    /// in any other database.
    ///
    /// # Errors
    /// `Invalid` when a configured token is too short to be a secret.
    pub async fn bootstrap(
        &self,
        admin_token: Option<AccessToken>,
        registration_token: Option<RegistrationToken>,
    ) -> Result<BootstrapTokens, FarmError> {
        let given = [
            admin_token.as_ref().map(AccessToken::expose),
            registration_token.as_ref().map(RegistrationToken::expose),
        ];
        if given
            .into_iter()
            .flatten()
            .any(|token| token.len() < MIN_TOKEN)
        {
            let why = format!("a configured token must have at least {MIN_TOKEN} bytes");
            return Err(FarmError::Invalid(why));
        }
        let chance = &self.inner.chance;
        let made = BootstrapTokens {
            admin_token: match admin_token {
                Some(_) => None,
                None => Some(AccessToken::from_entropy(chance.bytes())),
            },
            registration_token: match registration_token {
                Some(_) => None,
                None => Some(RegistrationToken::from_entropy(chance.bytes())),
            },
        };
        let (Some(admin), Some(register)) = (
            admin_token.as_ref().or(made.admin_token.as_ref()),
            registration_token
                .as_ref()
                .or(made.registration_token.as_ref()),
        ) else {
            return Ok(BootstrapTokens::default());
        };
        let (admin, register, now) = (admin.hash(), register.hash(), self.now());
        let root: Name = "root".parse()?;
        let scopes = ScopeSet::new(Scope::ALL.iter().copied())?;
        let first = move |conn: &mut Conn| {
            // Checked in the transaction: two coordinators may start on the same empty database.
            if people::any(conn)? {
                return Ok(false);
            }
            let user = people::insert(conn, &root, true, now)?.id;
            let token = NewToken {
                user,
                name: "first token".to_owned(),
                hash: admin,
                scopes: scopes.clone(),
                expires_at: None,
            };
            tokens::insert(conn, &token, now)?;
            let registration = NewRegistration {
                hash: register,
                description: "shared runners".to_owned(),
                project: None,
                created_by: Some(user),
                single_use: false,
                expires_at: None,
            };
            registration::insert(conn, &registration, now)?;
            Ok(true)
        };
        let is_first = self.write(first).await?;
        Ok(if is_first {
            made
        } else {
            BootstrapTokens::default()
        })
    }

    /// The user of the actor.
    pub async fn user(&self, actor: &Actor) -> Result<User, FarmError> {
        let id = actor.user;
        self.read(move |conn| people::get(conn, id)).await
    }

    /// All users, newest first. Requires an administrator.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn users(&self, actor: &Actor, page: Page) -> Result<Vec<User>, FarmError> {
        self.admin(actor)?;
        self.read(move |conn| people::list(conn, page)).await
    }

    /// Creates a user. Requires an administrator.
    ///
    /// # Errors
    /// `Forbidden`; `Conflict` when the name is taken.
    pub async fn create_user(
        &self,
        actor: &Actor,
        name: &Name,
        admin: bool,
    ) -> Result<User, FarmError> {
        self.admin(actor)?;
        let (name, now) = (name.clone(), self.now());
        let insert = move |conn: &mut Conn| people::insert(conn, &name, admin, now);
        let user = self.write(insert).await?;
        tracing::info!(user.id = %user.id, "Created user {}", user.id);
        Ok(user)
    }

    /// Blocks or unblocks a user, or changes whether it is an administrator. Requires an
    /// administrator, who cannot block or demote themselves, so that one always remains.
    ///
    /// The runners tokens that the user could read until then are reset.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` when there is no such user; `Conflict` for oneself.
    pub async fn update_user(
        &self,
        actor: &Actor,
        name: &Name,
        change: UserUpdate,
    ) -> Result<User, FarmError> {
        self.admin(actor)?;
        let (name, own, now) = (name.clone(), actor.user, self.now());
        let update = move |conn: &mut Conn| {
            let user = people::by_name(conn, &name)?;
            let admin = change.admin.unwrap_or(user.admin);
            let active = change.active.unwrap_or(user.active);
            // At least one administrator always remains, because none can demote itself.
            if user.id == own && !(admin && active) {
                return Err(StoreError::Conflict("you cannot block or demote yourself"));
            }
            if (user.active && !active) || (user.admin && !admin) {
                end_all_runner_tokens(conn, &user, now)?;
            }
            people::update(conn, user.id, admin, active)
        };
        self.write(update).await
    }

    /// The members of a namespace, newest user first.
    pub async fn namespace_members(
        &self,
        access: &NamespaceAccess,
        page: Page,
    ) -> Result<Vec<Member>, FarmError> {
        let id = access.id();
        let list = move |conn: &mut Conn| people::namespace_members(conn, id, page);
        self.read(list).await
    }

    /// Adds a member to a namespace or changes its role. Requires an owner.
    ///
    /// When the user stops maintaining the namespace, the runners tokens of its projects are reset.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` when there is no such user; `Conflict` when no owner would remain.
    pub async fn set_namespace_member(
        &self,
        access: &NamespaceAccess,
        user: &Name,
        role: Role,
    ) -> Result<Member, FarmError> {
        access.require(Role::Owner)?;
        let (id, user, now) = (access.id(), user.clone(), self.now());
        let set = move |conn: &mut Conn| {
            let user = people::by_name(conn, &user)?;
            let before = people::namespace_role(conn, id, user.id)?;
            // Only a change to a lower role can leave the namespace without an owner.
            if role < Role::Owner {
                keep_an_owner(conn, id, user.id)?;
            }
            people::set_namespace_member(conn, id, user.id, role)?;
            if stops_maintaining(before, Some(role)) {
                end_runner_tokens(conn, user.id, Reach::Namespace(id), now)?;
            }
            Ok(Member {
                user: user.id,
                name: user.name,
                role,
            })
        };
        self.write(set).await
    }

    /// Removes a member from a namespace. Requires an owner.
    ///
    /// When a maintainer leaves, the runners tokens of the projects are reset.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` when there is no such member; `Conflict` when no owner would remain.
    pub async fn remove_namespace_member(
        &self,
        access: &NamespaceAccess,
        user: &Name,
    ) -> Result<(), FarmError> {
        access.require(Role::Owner)?;
        let (id, user, now) = (access.id(), user.clone(), self.now());
        let remove = move |conn: &mut Conn| {
            let user = people::by_name(conn, &user)?;
            keep_an_owner(conn, id, user.id)?;
            let before = people::namespace_role(conn, id, user.id)?;
            people::delete_namespace_member(conn, id, user.id)?;
            if stops_maintaining(before, None) {
                end_runner_tokens(conn, user.id, Reach::Namespace(id), now)?;
            }
            Ok(())
        };
        self.write(remove).await
    }

    /// The members of a project itself, newest user first, without those of its namespace.
    pub async fn project_members(
        &self,
        access: &ProjectAccess,
        page: Page,
    ) -> Result<Vec<Member>, FarmError> {
        let id = access.id();
        let list = move |conn: &mut Conn| people::project_members(conn, id, page);
        self.read(list).await
    }

    /// Adds a member to a project or changes its role. Requires an owner.
    ///
    /// When the user stops maintaining the project, its runners token is reset.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` when there is no such user.
    pub async fn set_project_member(
        &self,
        access: &ProjectAccess,
        user: &Name,
        role: Role,
    ) -> Result<Member, FarmError> {
        let user = user.clone();
        let find = move |conn: &mut Conn| people::by_name(conn, &user);
        self.set_project_member_found_by(access, find, role).await
    }

    /// [`Farm::set_project_member`], by the user's id.
    ///
    /// # Errors
    /// As [`Farm::set_project_member`].
    pub async fn set_project_member_by_id(
        &self,
        access: &ProjectAccess,
        user: UserId,
        role: Role,
    ) -> Result<Member, FarmError> {
        let find = move |conn: &mut Conn| people::get(conn, user);
        self.set_project_member_found_by(access, find, role).await
    }

    async fn set_project_member_found_by(
        &self,
        access: &ProjectAccess,
        find: impl Fn(&mut Conn) -> Result<User, StoreError> + Send + 'static,
        role: Role,
    ) -> Result<Member, FarmError> {
        access.require(Role::Owner)?;
        let (project, now) = (access.project().clone(), self.now());
        let set = move |conn: &mut Conn| {
            let user = find(conn)?;
            let before = people::project_role(conn, &project, user.id)?;
            people::set_project_member(conn, project.id, user.id, role)?;
            let after = people::project_role(conn, &project, user.id)?;
            if stops_maintaining(before, after) {
                end_runner_tokens(conn, user.id, Reach::Project(project.id), now)?;
            }
            Ok(Member {
                user: user.id,
                name: user.name,
                role,
            })
        };
        self.write(set).await
    }

    /// Removes a member from a project. Requires an owner.
    ///
    /// When a maintainer leaves, the runners token of the project is reset.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` when there is no such member.
    pub async fn remove_project_member(
        &self,
        access: &ProjectAccess,
        user: &Name,
    ) -> Result<(), FarmError> {
        access.require(Role::Owner)?;
        let (project, user, now) = (access.project().clone(), user.clone(), self.now());
        let remove = move |conn: &mut Conn| {
            let user = people::by_name(conn, &user)?;
            let before = people::project_role(conn, &project, user.id)?;
            people::delete_project_member(conn, project.id, user.id)?;
            let after = people::project_role(conn, &project, user.id)?;
            if stops_maintaining(before, after) {
                end_runner_tokens(conn, user.id, Reach::Project(project.id), now)?;
            }
            Ok(())
        };
        self.write(remove).await
    }
}

/// The shortest token that an operator may configure, in bytes.
const MIN_TOKEN: usize = 16;

/// Refuses a change of `user` that would leave the namespace without an owner.
fn keep_an_owner(
    conn: &mut Conn,
    namespace: slipway_domain::NamespaceId,
    user: UserId,
) -> Result<(), StoreError> {
    let is_owner = people::namespace_role(conn, namespace, user)? == Some(Role::Owner);
    if is_owner && people::namespace_owners(conn, namespace)? <= 1 {
        return Err(StoreError::Conflict(LAST_OWNER));
    }
    Ok(())
}
