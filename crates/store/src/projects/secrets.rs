//! Variables of projects and registry credentials of namespaces. Values are sealed by the caller.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::{CredentialId, NamespaceId, ProjectId, VariableId};

use crate::engine::connection::Conn;
use crate::engine::time::{from_ms, to_ms};
use crate::error::StoreError;
use crate::schema::{registry_credentials, variables};

/// A variable that the jobs of a project get.
#[derive(Clone, Debug)]
pub struct Variable {
    pub id: VariableId,
    pub key: String,
    pub sealed: String,
    /// Whether its value may be shown.
    pub public: bool,
    /// Whether jobs get the value in a file, and its path in the variable.
    pub file: bool,
    /// When it was first set.
    pub created_at: DateTime<Utc>,
}

/// A login to a registry for the jobs of a namespace.
#[derive(Clone, Debug)]
pub struct Credential {
    pub id: CredentialId,
    /// The registry's host, with its port.
    pub registry: String,
    pub username: String,
    /// The password, sealed.
    pub sealed: String,
    /// When it was first set.
    pub created_at: DateTime<Utc>,
}

type VariableRow = (i64, i64, String, String, bool, i64, bool);

fn read_variable(
    (id, _, key, sealed, public, created_at, file): VariableRow,
) -> Result<Variable, StoreError> {
    Ok(Variable {
        id: VariableId(id),
        key,
        sealed,
        public,
        file,
        created_at: from_ms(created_at)?,
    })
}

/// Sets a variable of a project, and replaces an earlier one of the same name. The flags are whether
/// it is public and whether it is a file.
pub fn put_variable(
    conn: &mut Conn,
    project: ProjectId,
    key: &str,
    sealed: &str,
    (public, file): (bool, bool),
    now: DateTime<Utc>,
) -> Result<Variable, StoreError> {
    let same = variables::table
        .filter(variables::project_id.eq(project.0))
        .filter(variables::key.eq(key));
    // An update is tried first, because the back ends do not share an `ON CONFLICT` clause.
    let changed = diesel::update(same)
        .set((
            variables::sealed.eq(sealed),
            variables::public.eq(public),
            variables::file.eq(file),
        ))
        .execute(conn)?;
    if changed == 0 {
        diesel::insert_into(variables::table)
            .values((
                variables::project_id.eq(project.0),
                variables::key.eq(key),
                variables::sealed.eq(sealed),
                variables::public.eq(public),
                variables::file.eq(file),
                variables::created_at.eq(to_ms(now)),
            ))
            .execute(conn)?;
    }
    read_variable(same.first(conn)?)
}

/// The variables of a project, by name. There are never many.
pub fn variables_of(conn: &mut Conn, project: ProjectId) -> Result<Vec<Variable>, StoreError> {
    let rows = variables::table
        .filter(variables::project_id.eq(project.0))
        .order(variables::key)
        .load(conn)?;
    rows.into_iter().map(read_variable).collect()
}

/// Deletes a variable of a project.
pub fn delete_variable(conn: &mut Conn, project: ProjectId, key: &str) -> Result<(), StoreError> {
    let target = variables::table
        .filter(variables::project_id.eq(project.0))
        .filter(variables::key.eq(key));
    match diesel::delete(target).execute(conn)? {
        0 => Err(StoreError::NotFound("variable")),
        _ => Ok(()),
    }
}

type CredentialRow = (i64, i64, String, String, String, i64);

fn read_credential(
    (id, _, registry, username, sealed, created_at): CredentialRow,
) -> Result<Credential, StoreError> {
    Ok(Credential {
        id: CredentialId(id),
        registry,
        username,
        sealed,
        created_at: from_ms(created_at)?,
    })
}

/// Sets a namespace's credential for a registry, and replaces an earlier one.
pub fn put_credential(
    conn: &mut Conn,
    namespace: NamespaceId,
    registry: &str,
    username: &str,
    sealed: &str,
    now: DateTime<Utc>,
) -> Result<Credential, StoreError> {
    let same = registry_credentials::table
        .filter(registry_credentials::namespace_id.eq(namespace.0))
        .filter(registry_credentials::registry.eq(registry));
    // An update is tried first, because the back ends do not share an `ON CONFLICT` clause.
    let changed = diesel::update(same)
        .set((
            registry_credentials::username.eq(username),
            registry_credentials::sealed.eq(sealed),
        ))
        .execute(conn)?;
    if changed == 0 {
        diesel::insert_into(registry_credentials::table)
            .values((
                registry_credentials::namespace_id.eq(namespace.0),
                registry_credentials::registry.eq(registry),
                registry_credentials::username.eq(username),
                registry_credentials::sealed.eq(sealed),
                registry_credentials::created_at.eq(to_ms(now)),
            ))
            .execute(conn)?;
    }
    read_credential(same.first(conn)?)
}

/// The registry credentials of a namespace, by registry. There are never many.
pub fn credentials_of(
    conn: &mut Conn,
    namespace: NamespaceId,
) -> Result<Vec<Credential>, StoreError> {
    let rows = registry_credentials::table
        .filter(registry_credentials::namespace_id.eq(namespace.0))
        .order(registry_credentials::registry)
        .load(conn)?;
    rows.into_iter().map(read_credential).collect()
}

/// Deletes a namespace's credential for a registry.
pub fn delete_credential(
    conn: &mut Conn,
    namespace: NamespaceId,
    registry: &str,
) -> Result<(), StoreError> {
    let target = registry_credentials::table
        .filter(registry_credentials::namespace_id.eq(namespace.0))
        .filter(registry_credentials::registry.eq(registry));
    match diesel::delete(target).execute(conn)? {
        0 => Err(StoreError::NotFound("registry credential")),
        _ => Ok(()),
    }
}
