//! Runner managers: the processes that share a runner's token.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::RunnerId;

use crate::engine::connection::Conn;
use crate::engine::time::{from_ms, to_ms};
use crate::error::StoreError;
use crate::runners::row::About;
use crate::schema::runner_managers;

/// One of the processes that share a runner's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// Identifies the manager among those of its runner.
    pub system_id: String,
    /// What it reported about itself.
    pub about: About,
    /// When it first made contact.
    pub created_at: DateTime<Utc>,
    /// When it last made contact.
    pub contact_at: DateTime<Utc>,
}

#[derive(Queryable)]
struct Row {
    _runner_id: i64,
    system_id: String,
    name: Option<String>,
    version: Option<String>,
    revision: Option<String>,
    platform: Option<String>,
    architecture: Option<String>,
    executor: Option<String>,
    created_at: i64,
    contact_at: i64,
}

impl TryFrom<Row> for Manager {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            system_id: row.system_id,
            about: About {
                name: row.name,
                version: row.version,
                revision: row.revision,
                platform: row.platform,
                architecture: row.architecture,
                executor: row.executor,
                platforms: Vec::new(),
                image_archives: false,
                unready: None,
                trust: Vec::new(),
                notes: Vec::new(),
            },
            created_at: from_ms(row.created_at)?,
            contact_at: from_ms(row.contact_at)?,
        })
    }
}

/// The managers of a runner, by the time of their first contact.
pub fn of_runner(conn: &mut Conn, runner: RunnerId) -> Result<Vec<Manager>, StoreError> {
    let rows: Vec<Row> = runner_managers::table
        .filter(runner_managers::runner_id.eq(runner.0))
        .order((runner_managers::created_at, runner_managers::system_id))
        .load(conn)?;
    rows.into_iter().map(Manager::try_from).collect()
}

/// One manager of a runner.
pub fn find(
    conn: &mut Conn,
    runner: RunnerId,
    system_id: &str,
) -> Result<Option<Manager>, StoreError> {
    let row: Option<Row> = runner_managers::table
        .find((runner.0, system_id))
        .first(conn)
        .optional()?;
    row.map(Manager::try_from).transpose()
}

/// Records that a manager made contact and, if given, what it reported about itself.
pub fn record_contact(
    conn: &mut Conn,
    runner: RunnerId,
    system_id: &str,
    about: Option<&About>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let target = runner_managers::table.find((runner.0, system_id));
    // An update is tried first, because the back ends do not share an `ON CONFLICT` clause.
    let known = diesel::update(target)
        .set(runner_managers::contact_at.eq(to_ms(now)))
        .execute(conn)?;
    if known == 0 {
        diesel::insert_into(runner_managers::table)
            .values((
                runner_managers::runner_id.eq(runner.0),
                runner_managers::system_id.eq(system_id),
                runner_managers::created_at.eq(to_ms(now)),
                runner_managers::contact_at.eq(to_ms(now)),
            ))
            .execute(conn)?;
    }
    if let Some(about) = about {
        diesel::update(target)
            .set((
                runner_managers::name.eq(&about.name),
                runner_managers::version.eq(&about.version),
                runner_managers::revision.eq(&about.revision),
                runner_managers::platform.eq(&about.platform),
                runner_managers::architecture.eq(&about.architecture),
                runner_managers::executor.eq(&about.executor),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// Deletes a manager. Returns whether it existed.
pub fn delete(conn: &mut Conn, runner: RunnerId, system_id: &str) -> Result<bool, StoreError> {
    let target = runner_managers::table.find((runner.0, system_id));
    Ok(diesel::delete(target).execute(conn)? > 0)
}
