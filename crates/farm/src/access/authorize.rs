//! Authentication and authorisation: who is calling, and what they may do.
//!
//! What a caller may not see is "not found", as if it did not exist; what it may see but not do is
//! "forbidden". Administrators are owners everywhere. The scopes of the token limit the role of every
//! caller.

use slipway_domain::access::Action;
use slipway_domain::{
    AccessToken, Name, NamespaceId, ProjectId, Role, Scope, ScopeSet, TokenId, UserId, Visibility,
};
use slipway_store::projects::{Namespace, Project};
use slipway_store::{Conn, StoreError, people, projects, tokens};

use crate::error::FarmError;
use crate::farm::Farm;

/// An authenticated user, limited by the token that was used.
#[derive(Clone, Debug)]
pub struct Actor {
    pub user: UserId,
    /// Whether the user is an administrator. The scopes of the token limit what follows from that.
    pub admin: bool,
    /// The widest scope of the token.
    pub scope: Scope,
    name: Name,
    token: TokenId,
    scopes: ScopeSet,
}

impl Actor {
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The id of the token that was used.
    pub fn token(&self) -> TokenId {
        self.token
    }

    pub fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }

    /// Checks that the scopes of the token allow an action.
    ///
    /// # Errors
    /// `Forbidden` when they do not.
    pub fn require(&self, action: Action) -> Result<(), FarmError> {
        if self.scopes.allows(action) {
            return Ok(());
        }
        Err(FarmError::Forbidden(match action {
            Action::UseAccount => "this needs a token with a scope",
            Action::ReadNamespaces => "this needs a token with the scope read or namespaces",
            Action::ManageRegistryAccounts => {
                "this needs a token with the scope namespaces or admin"
            }
            Action::ReadProjects => "this needs a token with the scope read",
            Action::RunBuilds => "this needs a token with the scope write",
            Action::ManageProjects
            | Action::ManageMembers
            | Action::ManageCredentials
            | Action::Administer => "this needs a token with the scope admin",
        }))
    }

    /// The role of this actor where its user has the role `membership`, limited to `ceiling`; `None`
    /// when the actor sees nothing there.
    pub(super) fn role(&self, membership: Option<Role>, ceiling: Option<Role>) -> Option<Role> {
        let own = if self.admin {
            Some(Role::Owner)
        } else {
            membership
        };
        Some(own?.min(ceiling?))
    }

    /// [`Actor::role`] in a namespace.
    pub(super) fn role_in_namespace(&self, membership: Option<Role>) -> Option<Role> {
        self.role(membership, self.scopes.namespace_ceiling())
    }

    /// [`Actor::role`] in a project, whose visibility may admit users who are not members.
    fn role_in(&self, project: &Project, membership: Option<Role>) -> Option<Role> {
        // Everybody who is signed in is at least a guest of a project that is not private.
        let visitor = (project.visibility != Visibility::Private).then_some(Role::Guest);
        let role = self.role(membership.max(visitor), self.scope.ceiling())?;
        Some(if project.public_builds {
            role.max(Role::Reader)
        } else {
            role
        })
    }
}

/// Proof that an actor has a role in a project; only the module `access` makes one.
#[derive(Clone, Debug)]
pub struct ProjectAccess {
    pub(super) project: Project,
    pub(super) role: Role,
    pub(super) member: bool,
}

impl ProjectAccess {
    pub fn project(&self) -> &Project {
        &self.project
    }

    pub fn id(&self) -> ProjectId {
        self.project.id
    }

    /// The role of the actor, limited by its token.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether the actor has access as a member or administrator, and not only by visibility.
    pub fn is_member(&self) -> bool {
        self.member
    }

    /// Checks that the actor has at least this role.
    ///
    /// # Errors
    /// `Forbidden` when it does not.
    pub fn require(&self, need: Role) -> Result<(), FarmError> {
        require(self.role, need)
    }

    /// Checks that the actor may see the source: readers may, and everybody who sees a project that
    /// is not private.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn require_source(&self) -> Result<(), FarmError> {
        match self.project.visibility {
            Visibility::Private => self.require(Role::Reader),
            Visibility::Internal | Visibility::Public => Ok(()),
        }
    }

    /// Checks that the actor has at least this role for builds, and that the project allows it.
    ///
    /// # Errors
    /// `Forbidden` when the role is too low or builds are disabled; `ReadOnly` when more than reading
    /// is needed and the project is read-only.
    pub fn require_builds(&self, need: Role) -> Result<(), FarmError> {
        self.require(need)?;
        // Reading stays possible: a read-only project is frozen, not hidden.
        if need > Role::Reader {
            check_accepts_builds(&self.project)
        } else {
            check_builds_enabled(&self.project)
        }
    }
}

/// Proof that an actor has a role in a namespace; only this module makes one.
#[derive(Clone, Debug)]
pub struct NamespaceAccess {
    namespace: Namespace,
    role: Role,
}

impl NamespaceAccess {
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub fn id(&self) -> NamespaceId {
        self.namespace.id
    }

    /// The role of the actor, limited by its token.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Checks that the actor has at least this role.
    ///
    /// # Errors
    /// `Forbidden` when it does not.
    pub fn require(&self, need: Role) -> Result<(), FarmError> {
        require(self.role, need)
    }
}

fn check_builds_enabled(project: &Project) -> Result<(), FarmError> {
    if project.builds_enabled {
        return Ok(());
    }
    Err(FarmError::Forbidden("builds are disabled in this project"))
}

/// Checks that a project accepts new builds, and changes to its builds, from anybody: people, triggers
/// and webhooks.
///
/// # Errors
/// `Forbidden` when builds are disabled; `ReadOnly`.
pub(crate) fn check_accepts_builds(project: &Project) -> Result<(), FarmError> {
    check_builds_enabled(project)?;
    if project.read_only {
        return Err(FarmError::ReadOnly);
    }
    Ok(())
}

pub(super) fn require(role: Role, need: Role) -> Result<(), FarmError> {
    if role >= need {
        return Ok(());
    }
    Err(FarmError::Forbidden(match need {
        Role::Guest | Role::Reader => "this needs the role reader",
        Role::Developer => "this needs the role developer, and a token with the scope write",
        Role::Maintainer => "this needs the role maintainer, and a token with the scope admin",
        Role::Owner => "this needs the role owner, and a token with the scope admin",
    }))
}

impl Farm {
    /// Authenticates a token.
    ///
    /// # Errors
    /// `BadToken` when nobody has the token or its user is blocked, `EndedToken` when it was revoked
    /// or has expired.
    pub async fn authenticate(&self, token: &AccessToken) -> Result<Actor, FarmError> {
        let now = self.expiry_now();
        let hash = token.hash();
        let found = self.read(move |conn| tokens::by_hash(conn, hash)).await;
        let (token, user) = match found {
            Err(FarmError::NotFound(_)) => return Err(FarmError::BadToken),
            found => found?,
        };
        // A blocked user looks like an unknown token: the answer must not confirm that the token
        // exists.
        if !user.active {
            return Err(FarmError::BadToken);
        }
        if !token.is_valid_at(now) {
            return Err(FarmError::EndedToken);
        }
        // Not every request writes: the last use is precise to a minute.
        if token.use_must_be_recorded(now) {
            let id = token.id;
            let noted = self.write(move |c| tokens::record_use(c, id, now));
            noted.await?;
        }
        let scope = token.scopes.widest();
        Ok(Actor {
            user: user.id,
            admin: user.admin,
            scope,
            name: user.name,
            token: token.id,
            scopes: token.scopes,
        })
    }

    /// Checks that the actor is an administrator with a token of the scope admin.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn admin(&self, actor: &Actor) -> Result<(), FarmError> {
        if actor.admin && actor.scopes.allows(Action::Administer) {
            return Ok(());
        }
        Err(FarmError::Forbidden(
            "this needs an administrator, and a token with the scope admin",
        ))
    }

    /// Checks that an actor has at least the role `need` in a project.
    ///
    /// # Errors
    /// `NotFound` when there is no such project that the actor may see, `Forbidden` when its role is
    /// too low.
    pub async fn project(
        &self,
        actor: &Actor,
        namespace: &Name,
        name: &Name,
        need: Role,
    ) -> Result<ProjectAccess, FarmError> {
        let (namespace, name) = (namespace.clone(), name.clone());
        let find = move |conn: &mut Conn| projects::by_path(conn, &namespace, &name);
        self.project_found_by(actor, find, need).await
    }

    /// [`Farm::project`], by id.
    ///
    /// # Errors
    /// As [`Farm::project`].
    pub async fn project_by_id(
        &self,
        actor: &Actor,
        id: ProjectId,
        need: Role,
    ) -> Result<ProjectAccess, FarmError> {
        let find = move |conn: &mut Conn| projects::get(conn, id);
        self.project_found_by(actor, find, need).await
    }

    async fn project_found_by(
        &self,
        actor: &Actor,
        find: impl FnOnce(&mut Conn) -> Result<Project, StoreError> + Send + 'static,
        need: Role,
    ) -> Result<ProjectAccess, FarmError> {
        let user = actor.user;
        let both = move |conn: &mut Conn| {
            let project = find(conn)?;
            let membership = people::project_role(conn, &project, user)?;
            Ok((project, membership))
        };
        let (project, membership) = self.read(both).await?;
        let role = actor
            .role_in(&project, membership)
            .ok_or(FarmError::NotFound("project"))?;
        require(role, need)?;
        Ok(ProjectAccess {
            project,
            role,
            member: actor.admin || membership.is_some(),
        })
    }

    /// Checks that an actor would have the role `need` in a project of a namespace, if it existed.
    ///
    /// # Errors
    /// As [`Farm::project`].
    pub async fn absent_project(
        &self,
        actor: &Actor,
        namespace: &Name,
        need: Role,
    ) -> Result<(), FarmError> {
        let (namespace, user) = (namespace.clone(), actor.user);
        let find = move |conn: &mut Conn| {
            let namespace = projects::namespace_by_name(conn, &namespace)?;
            people::namespace_role(conn, namespace.id, user)
        };
        let membership = self.read(find).await?;
        // The scope namespaces does not count here: it gives no rights on projects.
        let role = actor.role(membership, actor.scope.ceiling());
        require(role.ok_or(FarmError::NotFound("namespace"))?, need)
    }

    /// Checks that an actor has at least the role `need` in a namespace.
    ///
    /// # Errors
    /// As [`Farm::project`].
    pub async fn namespace(
        &self,
        actor: &Actor,
        name: &Name,
        need: Role,
    ) -> Result<NamespaceAccess, FarmError> {
        let name = name.clone();
        let find = move |conn: &mut Conn| projects::namespace_by_name(conn, &name);
        self.namespace_found_by(actor, find, need).await
    }

    /// [`Farm::namespace`], by id.
    ///
    /// # Errors
    /// As [`Farm::project`].
    pub async fn namespace_by_id(
        &self,
        actor: &Actor,
        id: NamespaceId,
        need: Role,
    ) -> Result<NamespaceAccess, FarmError> {
        let find = move |conn: &mut Conn| projects::namespace(conn, id);
        self.namespace_found_by(actor, find, need).await
    }

    async fn namespace_found_by(
        &self,
        actor: &Actor,
        find: impl FnOnce(&mut Conn) -> Result<Namespace, StoreError> + Send + 'static,
        need: Role,
    ) -> Result<NamespaceAccess, FarmError> {
        let (namespace, membership) = self.namespace_and_membership(actor, find).await?;
        let role = actor
            .role_in_namespace(membership)
            .ok_or(FarmError::NotFound("namespace"))?;
        require(role, need)?;
        Ok(NamespaceAccess { namespace, role })
    }

    pub(super) async fn namespace_and_membership(
        &self,
        actor: &Actor,
        find: impl FnOnce(&mut Conn) -> Result<Namespace, StoreError> + Send + 'static,
    ) -> Result<(Namespace, Option<Role>), FarmError> {
        let user = actor.user;
        let both = move |conn: &mut Conn| {
            let namespace = find(conn)?;
            let membership = people::namespace_role(conn, namespace.id, user)?;
            Ok((namespace, membership))
        };
        self.read(both).await
    }
}
