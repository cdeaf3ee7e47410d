//! The processes that share a runner's token, which stock runners call runner managers.

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
    /// The name that it has for its host.
    pub system_id: String,
    /// What it said of itself.
    pub about: About,
    /// When it was first heard of.
    pub created_at: DateTime<Utc>,
    /// When it was last heard of.
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
            },
            created_at: from_ms(row.created_at)?,
            contact_at: from_ms(row.contact_at)?,
        })
    }
}

/// The processes of a runner, those first that were heard of first.
pub fn of_runner(conn: &mut Conn, runner: RunnerId) -> Result<Vec<Manager>, StoreError> {
    let rows: Vec<Row> = runner_managers::table
        .filter(runner_managers::runner_id.eq(runner.0))
        .order((runner_managers::created_at, runner_managers::system_id))
        .load(conn)?;
    rows.into_iter().map(Manager::try_from).collect()
}

/// One process of a runner, if it was heard of.
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

/// Notes that a process was heard of and, when it says so, what it is.
pub fn note(
    conn: &mut Conn,
    runner: RunnerId,
    system_id: &str,
    about: Option<&About>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let target = runner_managers::table.find((runner.0, system_id));
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

/// Forgets a process. Returns whether there was one.
pub fn remove(conn: &mut Conn, runner: RunnerId, system_id: &str) -> Result<bool, StoreError> {
    let target = runner_managers::table.find((runner.0, system_id));
    Ok(diesel::delete(target).execute(conn)? > 0)
}
