//! Robots: accounts of a namespace that pull base images for builds that name them.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::{Name, NamespaceId};

use crate::engine::connection::Conn;
use crate::engine::time::{from_ms, parse, to_ms};
use crate::error::{OrMissing, StoreError};
use crate::schema::robots;

/// An account that pulls base images for builds that name it.
#[derive(Clone, Debug)]
pub struct Robot {
    /// Unique in its namespace.
    pub name: Name,
    /// The registry's host, with its port.
    pub registry: String,
    /// Its password at the registry, sealed.
    pub sealed: String,
    /// When it was first set.
    pub created_at: DateTime<Utc>,
}

type Row = (i64, i64, String, String, String, i64);

fn read((_, _, name, registry, sealed, created_at): Row) -> Result<Robot, StoreError> {
    Ok(Robot {
        name: parse(&name, "robot")?,
        registry,
        sealed,
        created_at: from_ms(created_at)?,
    })
}

/// Creates a robot of a namespace, or replaces the registry and password of the one with this name.
pub fn put(
    conn: &mut Conn,
    namespace: NamespaceId,
    name: &Name,
    registry: &str,
    sealed: &str,
    now: DateTime<Utc>,
) -> Result<Robot, StoreError> {
    let same = robots::table
        .filter(robots::namespace_id.eq(namespace.0))
        .filter(robots::name.eq(name.as_str()));
    // An update is tried first, because the back ends do not share an `ON CONFLICT` clause.
    let changed = diesel::update(same)
        .set((robots::registry.eq(registry), robots::sealed.eq(sealed)))
        .execute(conn)?;
    if changed == 0 {
        diesel::insert_into(robots::table)
            .values((
                robots::namespace_id.eq(namespace.0),
                robots::name.eq(name.as_str()),
                robots::registry.eq(registry),
                robots::sealed.eq(sealed),
                robots::created_at.eq(to_ms(now)),
            ))
            .execute(conn)?;
    }
    get(conn, namespace, name)
}

/// Reads a robot by its name.
///
/// # Errors
/// `NotFound` if it does not exist.
pub fn get(conn: &mut Conn, namespace: NamespaceId, name: &Name) -> Result<Robot, StoreError> {
    let row = robots::table
        .filter(robots::namespace_id.eq(namespace.0))
        .filter(robots::name.eq(name.as_str()))
        .first(conn);
    read(row.or_missing("robot")?)
}

/// The robots of a namespace, by name. There are never many.
pub fn of_namespace(conn: &mut Conn, namespace: NamespaceId) -> Result<Vec<Robot>, StoreError> {
    let rows = robots::table
        .filter(robots::namespace_id.eq(namespace.0))
        .order(robots::name)
        .load(conn)?;
    rows.into_iter().map(read).collect()
}

/// Deletes a robot of a namespace. Builds that named it keep their credentials.
pub fn delete(conn: &mut Conn, namespace: NamespaceId, name: &Name) -> Result<(), StoreError> {
    let target = robots::table
        .filter(robots::namespace_id.eq(namespace.0))
        .filter(robots::name.eq(name.as_str()));
    match diesel::delete(target).execute(conn)? {
        0 => Err(StoreError::NotFound("robot")),
        _ => Ok(()),
    }
}
