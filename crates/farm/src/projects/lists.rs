//! Projects as they are listed to people: searched, in an order, and with who has what part in them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use slipway_domain::{Name, NamespaceId, ProjectId, Role, Scope, UserId, Visibility};
use slipway_store::project_search::{self, Order, ProjectRelation, Search};
use slipway_store::projects::{Namespace, Project};
use slipway_store::{Conn, Page, StoreError, people};

use crate::access::authorize::{Actor, NamespaceAccess};
use crate::error::FarmError;
use crate::farm::Farm;
use slipway_store::people::User;

/// Which projects somebody wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectSelection {
    /// All there are.
    All,
    /// Those that the actor may see.
    Seen,
    /// Those that the actor is a member of.
    Joined,
    /// Those that the actor owns.
    Owned,
}

/// Which page of which projects somebody wants to see.
#[derive(Clone, Debug)]
pub struct ProjectQuery {
    /// ProjectSelection.
    pub whose: ProjectSelection,
    /// A part of the name, without regard to case.
    pub text: Option<String>,
    /// Who sees them.
    pub visibility: Option<Visibility>,
    /// What they are put in order by.
    pub order: Order,
    /// Whether the least comes first.
    pub ascending: bool,
    /// How many come before those that are wanted.
    pub offset: i64,
    /// How many are wanted at the most.
    pub limit: i64,
}

/// What is told with projects of those who have a part in them.
#[derive(Clone, Debug, Default)]
pub struct ProjectContext {
    /// The actor's roles in the projects themselves.
    pub own_roles: HashMap<ProjectId, Role>,
    /// The actor's roles in namespaces.
    pub namespace_roles: HashMap<NamespaceId, Role>,
    /// The users to whom namespaces belong: those that bear their names and own them.
    pub owners: HashMap<NamespaceId, User>,
    /// When builds of each project were last asked for.
    pub last_builds: HashMap<ProjectId, DateTime<Utc>>,
}

impl Farm {
    /// One page of the projects that are searched for, and how many there are on all pages.
    ///
    /// # Errors
    /// `Forbidden` when all are wanted by somebody who is no administrator.
    pub async fn find_projects(
        &self,
        actor: &Actor,
        query: ProjectQuery,
    ) -> Result<(Vec<Project>, u64), FarmError> {
        actor.require_scope(Scope::Read)?;
        let relation = match query.whose {
            ProjectSelection::All => {
                self.admin(actor)?;
                ProjectRelation::All
            }
            ProjectSelection::Seen if actor.admin => ProjectRelation::All,
            ProjectSelection::Seen => ProjectRelation::Visible(actor.user),
            ProjectSelection::Joined => ProjectRelation::Member(actor.user),
            ProjectSelection::Owned => ProjectRelation::Owner(actor.user),
        };
        let wanted = Search {
            relation,
            text: query.text,
            visibility: query.visibility,
            order: query.order,
            ascending: query.ascending,
            offset: query.offset,
            limit: query.limit,
        };
        let search = move |conn: &mut Conn| project_search::search(conn, &wanted);
        let (found, total) = self.read(search).await?;
        Ok((found, u64::try_from(total).unwrap_or(0)))
    }

    /// What is told with these projects of those who have a part in them.
    ///
    /// # Errors
    /// None of its own.
    pub async fn project_context(
        &self,
        actor: &Actor,
        projects: &[Project],
    ) -> Result<ProjectContext, FarmError> {
        let user = actor.user;
        let listed: Vec<(ProjectId, NamespaceId, Name)> = projects
            .iter()
            .map(|project| {
                let name = project.namespace_name.clone();
                (project.id, project.namespace, name)
            })
            .collect();
        let read = move |conn: &mut Conn| {
            let own = people::memberships(conn, user)?;
            let mut company = ProjectContext {
                own_roles: own.projects,
                namespace_roles: own.namespaces,
                ..ProjectContext::default()
            };
            for (project, namespace, name) in &listed {
                if let Some(at) = project_search::last_build_at(conn, *project)? {
                    company.last_builds.insert(*project, at);
                }
                if !company.owners.contains_key(namespace)
                    && let Some(owner) = owner_of(conn, *namespace, name)?
                {
                    company.owners.insert(*namespace, owner);
                }
            }
            Ok(company)
        };
        self.read(read).await
    }

    /// The users that these namespaces belong to: those that bear their names and own them.
    ///
    /// # Errors
    /// None of its own.
    pub async fn owners_of(
        &self,
        namespaces: &[Namespace],
    ) -> Result<HashMap<NamespaceId, User>, FarmError> {
        let namespaces = namespaces.to_vec();
        let read = move |conn: &mut Conn| {
            let mut owners = HashMap::new();
            for namespace in &namespaces {
                if let Some(owner) = owner_of(conn, namespace.id, &namespace.name)? {
                    owners.insert(namespace.id, owner);
                }
            }
            Ok(owners)
        };
        self.read(read).await
    }

    /// All namespaces that the actor is a member of, newest first; all there are for
    /// administrators.
    ///
    /// # Errors
    /// None of its own.
    pub async fn all_namespaces(&self, actor: &Actor) -> Result<Vec<Namespace>, FarmError> {
        let everything = Page {
            before: None,
            limit: i64::MAX,
        };
        self.namespaces(actor, everything).await
    }

    /// The namespace that bears the actor's own name, made if there is none.
    ///
    /// # Errors
    /// `Forbidden` to tokens without the scope admin, and where the name is somebody else's.
    pub async fn own_namespace(&self, actor: &Actor) -> Result<NamespaceAccess, FarmError> {
        actor.require_scope(Scope::Admin)?;
        let taken = "the namespace of your name is not yours: say which one";
        match self.namespace(actor, actor.name(), Role::Maintainer).await {
            Err(FarmError::NotFound(_)) => {}
            found => return found,
        }
        match self.create_namespace(actor, actor.name()).await {
            Ok(_) => {}
            Err(FarmError::Conflict(_)) => return Err(FarmError::Forbidden(taken)),
            Err(other) => return Err(other),
        }
        self.namespace(actor, actor.name(), Role::Maintainer).await
    }

    /// A user by its id, who sees itself; administrators see everybody.
    ///
    /// # Errors
    /// `NotFound` when the actor may not know of it.
    pub async fn user_by_id(&self, actor: &Actor, id: UserId) -> Result<User, FarmError> {
        if id != actor.user && self.admin(actor).is_err() {
            return Err(FarmError::NotFound("user"));
        }
        let find = move |conn: &mut Conn| people::get(conn, id);
        self.read(find).await
    }

    /// All users that the actor sees, in the order they were made: itself, or everybody for
    /// administrators.
    ///
    /// # Errors
    /// None of its own.
    pub async fn users_seen_by(&self, actor: &Actor) -> Result<Vec<User>, FarmError> {
        if self.admin(actor).is_err() {
            return Ok(vec![self.user(actor).await?]);
        }
        self.read(people::all).await
    }
}

fn owner_of(
    conn: &mut Conn,
    namespace: NamespaceId,
    name: &Name,
) -> Result<Option<User>, StoreError> {
    let user = match people::by_name(conn, name) {
        Err(StoreError::NotFound(_)) => return Ok(None),
        found => found?,
    };
    let owns = people::namespace_role(conn, namespace, user.id)? == Some(Role::Owner);
    Ok(owns.then_some(user))
}
