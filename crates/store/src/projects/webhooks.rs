//! Webhooks: the secrets that their deliveries are signed with, and the build that each delivery
//! created.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::{BuildUuid, ProjectId};

use crate::engine::connection::Conn;
use crate::engine::time::{parse, to_ms};
use crate::error::StoreError;
use crate::schema::{hook_deliveries, hook_secrets};

/// Sets the sealed webhook secret of a project, and replaces an earlier one.
pub fn put_secret(
    conn: &mut Conn,
    project: ProjectId,
    sealed: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    // An update is tried first, because the back ends do not share an `ON CONFLICT` clause.
    let changed = diesel::update(hook_secrets::table.find(project.0))
        .set(hook_secrets::sealed.eq(sealed))
        .execute(conn)?;
    if changed == 0 {
        diesel::insert_into(hook_secrets::table)
            .values((
                hook_secrets::project_id.eq(project.0),
                hook_secrets::sealed.eq(sealed),
                hook_secrets::created_at.eq(to_ms(now)),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// The sealed webhook secret of a project; `None` if it has none of its own.
pub fn secret(conn: &mut Conn, project: ProjectId) -> Result<Option<String>, StoreError> {
    Ok(hook_secrets::table
        .find(project.0)
        .select(hook_secrets::sealed)
        .first(conn)
        .optional()?)
}

/// Deletes the webhook secret of a project.
pub fn delete_secret(conn: &mut Conn, project: ProjectId) -> Result<(), StoreError> {
    match diesel::delete(hook_secrets::table.find(project.0)).execute(conn)? {
        0 => Err(StoreError::NotFound("webhook secret")),
        _ => Ok(()),
    }
}

/// The build that an earlier delivery with this id created.
pub fn build_of(
    conn: &mut Conn,
    project: ProjectId,
    delivery: &str,
) -> Result<Option<BuildUuid>, StoreError> {
    let uuid: Option<String> = hook_deliveries::table
        .find((project.0, delivery))
        .select(hook_deliveries::build_uuid)
        .first(conn)
        .optional()?;
    uuid.map(|uuid| parse(&uuid, "build id")).transpose()
}

/// Records the build that a delivery created.
///
/// # Errors
/// `Conflict` if the same delivery was recorded meanwhile.
pub fn record(
    conn: &mut Conn,
    project: ProjectId,
    delivery: &str,
    build: BuildUuid,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    // The primary key rejects a repeated delivery.
    diesel::insert_into(hook_deliveries::table)
        .values((
            hook_deliveries::project_id.eq(project.0),
            hook_deliveries::delivery.eq(delivery),
            hook_deliveries::build_uuid.eq(build.to_string()),
            hook_deliveries::created_at.eq(to_ms(now)),
        ))
        .execute(conn)?;
    Ok(())
}

/// Deletes the records of deliveries before `until`. Returns how many.
pub fn delete_before(conn: &mut Conn, until: DateTime<Utc>) -> Result<usize, StoreError> {
    let old = hook_deliveries::table.filter(hook_deliveries::created_at.lt(to_ms(until)));
    Ok(diesel::delete(old).execute(conn)?)
}
