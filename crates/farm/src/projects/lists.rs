//! Searches and sorts projects, and reads what lists show besides: roles, owners, last builds.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use slipway_domain::access::Action;
use slipway_domain::{Name, NamespaceId, ProjectId, Role, UserId, Visibility};
use slipway_store::project_search::{self, Order, ProjectRelation, Search};
use slipway_store::projects::{Namespace, Project};
use slipway_store::{Conn, Page, StoreError, people};

use crate::access::authorize::{Actor, NamespaceAccess};
use crate::error::FarmError;
use crate::farm::Farm;
use slipway_store::people::User;

/// Which projects to list, by their relation to the actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectSelection {
    /// All projects; requires an administrator.
    All,
    /// Projects that the actor may see.
    Seen,
    /// Projects that the actor is a member of.
    Joined,
    /// Projects that the actor owns.
    Owned,
}

/// A page of a search for projects.
#[derive(Clone, Debug)]
pub struct ProjectQuery {
    pub whose: ProjectSelection,
    /// A part of the name; case is ignored.
    pub text: Option<String>,
    pub visibility: Option<Visibility>,
    pub order: Order,
    pub ascending: bool,
    /// How many projects come before the page.
    pub offset: i64,
    /// The largest length of the page.
    pub limit: i64,
}

/// What lists show of projects besides the projects themselves.
#[derive(Clone, Debug, Default)]
pub struct ProjectContext {
    /// The roles of the actor in projects, without those in their namespaces.
    pub own_roles: HashMap<ProjectId, Role>,
    /// The roles of the actor in namespaces.
    pub namespace_roles: HashMap<NamespaceId, Role>,
    /// The users that own the namespace of their own name.
    pub owners: HashMap<NamespaceId, User>,
    /// When the last build of each project was created.
    pub last_builds: HashMap<ProjectId, DateTime<Utc>>,
}

impl Farm {
    /// A page of the projects that match, and how many match in total.
    ///
    /// # Errors
    /// `Forbidden` for tokens without the scope read, and for all projects without an administrator.
    pub async fn find_projects(
        &self,
        actor: &Actor,
        query: ProjectQuery,
    ) -> Result<(Vec<Project>, u64), FarmError> {
        actor.require(Action::ReadProjects)?;
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

    /// Reads what lists show of these projects besides.
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

    /// The users that own the namespace of their own name, among these namespaces.
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

    /// All namespaces that the actor is a member of, newest first; all for administrators.
    ///
    /// # Errors
    /// As [`Farm::namespaces`].
    pub async fn all_namespaces(&self, actor: &Actor) -> Result<Vec<Namespace>, FarmError> {
        let everything = Page {
            before: None,
            limit: i64::MAX,
        };
        self.namespaces(actor, everything).await
    }

    /// The namespace with the name of the actor, created if it does not exist.
    ///
    /// # Errors
    /// `Forbidden` for tokens without the scope admin, and when the namespace belongs to others.
    pub async fn own_namespace(&self, actor: &Actor) -> Result<NamespaceAccess, FarmError> {
        actor.require(Action::ManageProjects)?;
        let taken = "the namespace with your name belongs to others: name another one";
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

    /// A user by id. Users see themselves; administrators see everybody.
    ///
    /// # Errors
    /// `NotFound` when the actor may not see the user.
    pub async fn user_by_id(&self, actor: &Actor, id: UserId) -> Result<User, FarmError> {
        if id != actor.user && self.admin(actor).is_err() {
            return Err(FarmError::NotFound("user"));
        }
        let find = move |conn: &mut Conn| people::get(conn, id);
        self.read(find).await
    }

    /// All users that the actor may see, oldest first: itself, or everybody for administrators.
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
