//! Which user is a member of which namespace or project, and in which role.
//!
//! A member of a namespace is a member of all its projects. A user who is a member of both a project and
//! its namespace has the higher of the two roles.

use std::collections::HashMap;

use diesel::prelude::*;
use slipway_domain::{Name, NamespaceId, ProjectId, Role, UserId};

use crate::engine::connection::Conn;
use crate::engine::page::{Page, rows};
use crate::engine::time::parse;
use crate::error::StoreError;
use crate::projects::row::Project;
use crate::schema::{namespace_members, project_members, users};

/// A user's role in one namespace or project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub user: UserId,
    pub name: Name,
    pub role: Role,
}

/// The roles of a user in projects and in namespaces. A role in a namespace is not repeated for its
/// projects.
#[derive(Clone, Debug, Default)]
pub struct Memberships {
    pub projects: HashMap<ProjectId, Role>,
    pub namespaces: HashMap<NamespaceId, Role>,
}

/// The memberships of a user.
pub fn memberships(conn: &mut Conn, user: UserId) -> Result<Memberships, StoreError> {
    let projects: Vec<(i64, String)> = project_members::table
        .filter(project_members::user_id.eq(user.0))
        .select((project_members::project_id, project_members::role))
        .load(conn)?;
    let namespaces: Vec<(i64, String)> = namespace_members::table
        .filter(namespace_members::user_id.eq(user.0))
        .select((namespace_members::namespace_id, namespace_members::role))
        .load(conn)?;
    let projects = projects
        .into_iter()
        .map(|(id, word)| Ok((ProjectId(id), parse(&word, "role")?)));
    let namespaces = namespaces
        .into_iter()
        .map(|(id, word)| Ok((NamespaceId(id), parse(&word, "role")?)));
    Ok(Memberships {
        projects: projects.collect::<Result<_, StoreError>>()?,
        namespaces: namespaces.collect::<Result<_, StoreError>>()?,
    })
}

/// The role of a user in a namespace.
pub fn namespace_role(
    conn: &mut Conn,
    namespace: NamespaceId,
    user: UserId,
) -> Result<Option<Role>, StoreError> {
    let word: Option<String> = namespace_members::table
        .find((namespace.0, user.0))
        .select(namespace_members::role)
        .first(conn)
        .optional()?;
    word.map(|word| parse(&word, "role")).transpose()
}

/// The role of a user in a project: the higher of the roles in the project and in its namespace.
pub fn project_role(
    conn: &mut Conn,
    project: &Project,
    user: UserId,
) -> Result<Option<Role>, StoreError> {
    let word: Option<String> = project_members::table
        .find((project.id.0, user.0))
        .select(project_members::role)
        .first(conn)
        .optional()?;
    let own = word.map(|word| parse(&word, "role")).transpose()?;
    Ok(own.max(namespace_role(conn, project.namespace, user)?))
}

type MemberRow = (i64, String, String);

fn read_member((user, name, role): MemberRow) -> Result<Member, StoreError> {
    Ok(Member {
        user: UserId(user),
        name: parse(&name, "user name")?,
        role: parse(&role, "role")?,
    })
}

/// The members of a namespace, newest user first.
pub fn namespace_members(
    conn: &mut Conn,
    namespace: NamespaceId,
    page: Page,
) -> Result<Vec<Member>, StoreError> {
    let rows = namespace_members::table
        .inner_join(users::table.on(users::id.eq(namespace_members::user_id)))
        .filter(namespace_members::namespace_id.eq(namespace.0))
        .filter(users::id.lt(page.below()))
        .order(users::id.desc())
        .limit(rows(page.limit))
        .select((users::id, users::name, namespace_members::role))
        .load(conn)?;
    rows.into_iter().map(read_member).collect()
}

/// How many owners a namespace has.
pub fn namespace_owners(conn: &mut Conn, namespace: NamespaceId) -> Result<i64, StoreError> {
    Ok(namespace_members::table
        .filter(namespace_members::namespace_id.eq(namespace.0))
        .filter(namespace_members::role.eq(Role::Owner.as_str()))
        .count()
        .get_result(conn)?)
}

/// Adds a member to a namespace, or changes the role of a member.
pub fn set_namespace_member(
    conn: &mut Conn,
    namespace: NamespaceId,
    user: UserId,
    role: Role,
) -> Result<(), StoreError> {
    // An update is tried first, because the back ends do not share an `ON CONFLICT` clause.
    let changed = diesel::update(namespace_members::table.find((namespace.0, user.0)))
        .set(namespace_members::role.eq(role.as_str()))
        .execute(conn)?;
    if changed == 0 {
        diesel::insert_into(namespace_members::table)
            .values((
                namespace_members::namespace_id.eq(namespace.0),
                namespace_members::user_id.eq(user.0),
                namespace_members::role.eq(role.as_str()),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// Deletes a user's membership in a namespace.
pub fn delete_namespace_member(
    conn: &mut Conn,
    namespace: NamespaceId,
    user: UserId,
) -> Result<(), StoreError> {
    let row = namespace_members::table.find((namespace.0, user.0));
    match diesel::delete(row).execute(conn)? {
        0 => Err(StoreError::NotFound("member")),
        _ => Ok(()),
    }
}

/// The members of a project, without those of its namespace, newest user first.
pub fn project_members(
    conn: &mut Conn,
    project: ProjectId,
    page: Page,
) -> Result<Vec<Member>, StoreError> {
    let rows = project_members::table
        .inner_join(users::table.on(users::id.eq(project_members::user_id)))
        .filter(project_members::project_id.eq(project.0))
        .filter(users::id.lt(page.below()))
        .order(users::id.desc())
        .limit(rows(page.limit))
        .select((users::id, users::name, project_members::role))
        .load(conn)?;
    rows.into_iter().map(read_member).collect()
}

/// Adds a member to a project, or changes the role of a member.
pub fn set_project_member(
    conn: &mut Conn,
    project: ProjectId,
    user: UserId,
    role: Role,
) -> Result<(), StoreError> {
    // An update is tried first, because the back ends do not share an `ON CONFLICT` clause.
    let changed = diesel::update(project_members::table.find((project.0, user.0)))
        .set(project_members::role.eq(role.as_str()))
        .execute(conn)?;
    if changed == 0 {
        diesel::insert_into(project_members::table)
            .values((
                project_members::project_id.eq(project.0),
                project_members::user_id.eq(user.0),
                project_members::role.eq(role.as_str()),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// Deletes a user's membership in a project.
pub fn delete_project_member(
    conn: &mut Conn,
    project: ProjectId,
    user: UserId,
) -> Result<(), StoreError> {
    let row = project_members::table.find((project.0, user.0));
    match diesel::delete(row).execute(conn)? {
        0 => Err(StoreError::NotFound("member")),
        _ => Ok(()),
    }
}
