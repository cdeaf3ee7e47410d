//! Namespaces: the owners of projects.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::{Name, NamespaceId, UserId};

use crate::engine::connection::Conn;
use crate::engine::page::{Page, rows};
use crate::engine::time::{from_ms, parse, to_ms};
use crate::error::{OrMissing, StoreError};
use crate::projects::row::lower;
use crate::schema::{namespace_members, namespaces};

/// An owner of projects.
#[derive(Clone, Debug)]
pub struct Namespace {
    pub id: NamespaceId,
    /// Case is preserved, but names that differ only in case are the same.
    pub name: Name,
    pub created_at: DateTime<Utc>,
    /// How many builds of its projects may be unfinished at once, for the APIs that enforce this
    /// limit. Absent for no limit.
    pub max_builds: Option<u32>,
}

type NamespaceRow = (i64, String, i64, Option<i32>);

fn read_namespace(
    (id, name, created_at, max_builds): NamespaceRow,
) -> Result<Namespace, StoreError> {
    Ok(Namespace {
        id: NamespaceId(id),
        name: parse(&name, "namespace name")?,
        created_at: from_ms(created_at)?,
        max_builds: max_builds.and_then(|limit| u32::try_from(limit).ok()),
    })
}

/// Creates a namespace.
///
/// # Errors
/// `Conflict` if the name is taken.
pub fn insert_namespace(
    conn: &mut Conn,
    name: &Name,
    now: DateTime<Utc>,
) -> Result<Namespace, StoreError> {
    let id: i64 = diesel::insert_into(namespaces::table)
        .values((
            namespaces::name.eq(name.as_str()),
            namespaces::created_at.eq(to_ms(now)),
        ))
        .returning(namespaces::id)
        .get_result(conn)?;
    read_namespace(namespaces::table.find(id).first(conn)?)
}

/// Reads a namespace by its name.
pub fn namespace_by_name(conn: &mut Conn, name: &Name) -> Result<Namespace, StoreError> {
    let row =
        namespaces::table.filter(lower(namespaces::name).eq(name.as_str().to_ascii_lowercase()));
    read_namespace(row.first(conn).or_missing("namespace")?)
}

/// Reads a namespace by its id.
///
/// # Errors
/// `NotFound` if it does not exist.
pub fn namespace(conn: &mut Conn, id: NamespaceId) -> Result<Namespace, StoreError> {
    read_namespace(
        namespaces::table
            .find(id.0)
            .first(conn)
            .or_missing("namespace")?,
    )
}

/// The namespaces, newest first.
pub fn list_namespaces(conn: &mut Conn, page: Page) -> Result<Vec<Namespace>, StoreError> {
    let rows = namespaces::table
        .filter(namespaces::id.lt(page.below()))
        .order(namespaces::id.desc())
        .limit(rows(page.limit))
        .load(conn)?;
    rows.into_iter().map(read_namespace).collect()
}

/// The namespaces that a user is a member of, newest first.
pub fn list_namespaces_of(
    conn: &mut Conn,
    user: UserId,
    page: Page,
) -> Result<Vec<Namespace>, StoreError> {
    let rows = namespaces::table
        .inner_join(namespace_members::table.on(namespace_members::namespace_id.eq(namespaces::id)))
        .filter(namespace_members::user_id.eq(user.0))
        .filter(namespaces::id.lt(page.below()))
        .order(namespaces::id.desc())
        .limit(rows(page.limit))
        .select(namespaces::all_columns)
        .load(conn)?;
    rows.into_iter().map(read_namespace).collect()
}

/// The namespaces that a user is a member of with ids above `after`, oldest first.
pub fn list_namespaces_of_after(
    conn: &mut Conn,
    user: UserId,
    after: i64,
    limit: i64,
) -> Result<Vec<Namespace>, StoreError> {
    let rows = namespaces::table
        .inner_join(namespace_members::table.on(namespace_members::namespace_id.eq(namespaces::id)))
        .filter(namespace_members::user_id.eq(user.0))
        .filter(namespaces::id.gt(after))
        .order(namespaces::id)
        .limit(rows(limit))
        .select(namespaces::all_columns)
        .load(conn)?;
    rows.into_iter().map(read_namespace).collect()
}

/// Sets how many builds of a namespace may be unfinished at once.
pub fn set_max_builds(
    conn: &mut Conn,
    id: NamespaceId,
    limit: Option<u32>,
) -> Result<Namespace, StoreError> {
    let limit = limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX));
    diesel::update(namespaces::table.find(id.0))
        .set(namespaces::max_builds.eq(limit))
        .execute(conn)?;
    namespace(conn, id)
}

/// Reads a namespace and locks it until the transaction ends, so that only one request at a time
/// counts its builds.
pub fn namespace_locked(conn: &mut Conn, id: NamespaceId) -> Result<Namespace, StoreError> {
    // Writing the stored value back locks the row on both back ends.
    diesel::update(namespaces::table.find(id.0))
        .set(namespaces::max_builds.eq(namespaces::max_builds))
        .execute(conn)?;
    namespace(conn, id)
}
