//! Deploy keys: the credentials for a project's repository. Secrets are sealed by the caller.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::ProjectId;

use crate::engine::connection::Conn;
use crate::engine::time::{from_ms, to_ms};
use crate::error::StoreError;
use crate::schema::deploy_keys;

/// The credentials for a project's repository: a key for SSH, or a user name and password for HTTP.
#[derive(Clone, Debug)]
pub struct DeployKey {
    /// The server that it is for.
    pub server: String,
    /// The public half of a key.
    pub public_key: Option<String>,
    /// The only accepted host keys, as lines of a `known_hosts` file.
    pub known_hosts: Option<String>,
    /// The user name, if this is a password.
    pub username: Option<String>,
    /// The private half of the key, or the password, sealed.
    pub sealed: String,
    pub created_at: DateTime<Utc>,
}

type Row = (
    i64,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    String,
    i64,
);

/// Sets the credentials for a project's repository, and replaces earlier ones.
pub fn put(conn: &mut Conn, project: ProjectId, key: &DeployKey) -> Result<(), StoreError> {
    diesel::delete(deploy_keys::table.find(project.0)).execute(conn)?;
    diesel::insert_into(deploy_keys::table)
        .values((
            deploy_keys::project_id.eq(project.0),
            deploy_keys::server.eq(&key.server),
            deploy_keys::public_key.eq(&key.public_key),
            deploy_keys::known_hosts.eq(&key.known_hosts),
            deploy_keys::username.eq(&key.username),
            deploy_keys::sealed.eq(&key.sealed),
            deploy_keys::created_at.eq(to_ms(key.created_at)),
        ))
        .execute(conn)?;
    Ok(())
}

/// The credentials for a project's repository.
pub fn get(conn: &mut Conn, project: ProjectId) -> Result<Option<DeployKey>, StoreError> {
    let row = deploy_keys::table.find(project.0).first::<Row>(conn);
    let read = |(_, server, public_key, known_hosts, username, sealed, created_at): Row| {
        Ok(DeployKey {
            server,
            public_key,
            known_hosts,
            username,
            sealed,
            created_at: from_ms(created_at)?,
        })
    };
    row.optional()?.map(read).transpose()
}

/// Deletes the credentials for a project's repository.
pub fn delete(conn: &mut Conn, project: ProjectId) -> Result<(), StoreError> {
    match diesel::delete(deploy_keys::table.find(project.0)).execute(conn)? {
        0 => Err(StoreError::NotFound("deploy key")),
        _ => Ok(()),
    }
}
