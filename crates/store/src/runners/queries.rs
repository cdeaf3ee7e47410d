//! Creates, reads and changes runners.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::queue::{Capabilities, RunnerScope};
use slipway_domain::{ProjectId, RunnerId, TagSet, TokenHash};

use crate::engine::connection::Conn;
use crate::engine::page::{Page, rows};
use crate::engine::time::to_ms;
use crate::error::{OrMissing, StoreError};
use crate::runners::projects::{projects_of, set_projects};
use crate::runners::row::{About, Runner, RunnerRow};
use crate::schema::{runner_projects, runners};

/// The values of a new runner.
#[derive(Clone, Debug)]
pub struct NewRunner {
    /// The hash of its token.
    pub token: TokenHash,
    pub description: String,
    /// What it can run.
    pub capabilities: Capabilities,
    /// Whether it is locked to the projects that it already serves.
    pub locked: bool,
    /// Whether it sends heartbeats apart from its output.
    pub heartbeat: bool,
    /// Whether it may not claim jobs until it is resumed.
    pub paused: bool,
    /// What it reported about itself.
    pub about: About,
}

/// Registers a runner.
pub fn insert(conn: &mut Conn, new: &NewRunner, now: DateTime<Utc>) -> Result<Runner, StoreError> {
    let id: i64 = diesel::insert_into(runners::table)
        .values((
            (
                runners::token_hash.eq(new.token.to_hex()),
                runners::description.eq(&new.description),
                runners::tags.eq(new.capabilities.tags.to_list()),
                runners::run_untagged.eq(new.capabilities.run_untagged),
                runners::locked.eq(new.locked),
                runners::shared.eq(new.capabilities.scope == RunnerScope::Shared),
                runners::paused.eq(new.paused),
                runners::heartbeat.eq(new.heartbeat),
            ),
            (
                runners::name.eq(&new.about.name),
                runners::version.eq(&new.about.version),
                runners::revision.eq(&new.about.revision),
                runners::platform.eq(&new.about.platform),
                runners::architecture.eq(&new.about.architecture),
                runners::executor.eq(&new.about.executor),
                runners::platforms.eq(new.about.stored_platforms()),
                runners::image_archives.eq(new.about.image_archives),
                runners::created_at.eq(to_ms(now)),
                runners::rev.eq(0),
            ),
        ))
        .returning(runners::id)
        .get_result(conn)?;
    if let RunnerScope::Projects(projects) = &new.capabilities.scope {
        set_projects(conn, RunnerId(id), projects)?;
    }
    get(conn, RunnerId(id))
}

/// Reads a runner, also a deleted one.
pub fn get(conn: &mut Conn, id: RunnerId) -> Result<Runner, StoreError> {
    let row: RunnerRow = runners::table.find(id.0).first(conn).or_missing("runner")?;
    let projects = projects_of(conn, id)?;
    row.into_runner(projects)
}

/// Reads the runner that a token belongs to.
pub fn by_token(conn: &mut Conn, token: TokenHash) -> Result<Runner, StoreError> {
    let row: RunnerRow = runners::table
        .filter(runners::token_hash.eq(token.to_hex()))
        .first(conn)
        .or_missing("runner")?;
    let projects = projects_of(conn, RunnerId(row.id))?;
    row.into_runner(projects)
}

/// The registered runners, newest first.
pub fn list(conn: &mut Conn, page: Page) -> Result<Vec<Runner>, StoreError> {
    let rows: Vec<RunnerRow> = runners::table
        .filter(
            runners::removed_at
                .is_null()
                .and(runners::id.lt(page.below())),
        )
        .order(runners::id.desc())
        .limit(rows(page.limit))
        .load(conn)?;
    let mut list = Vec::with_capacity(rows.len());
    for row in rows {
        let projects = projects_of(conn, RunnerId(row.id))?;
        list.push(row.into_runner(projects)?);
    }
    Ok(list)
}

/// All registered runners, in two statements however many there are.
pub fn all(conn: &mut Conn) -> Result<Vec<Runner>, StoreError> {
    let served: Vec<(i64, i64)> = runner_projects::table.load(conn)?;
    let rows: Vec<RunnerRow> = runners::table
        .filter(runners::removed_at.is_null())
        .load(conn)?;
    with_projects(rows, &served)
}

/// The revision of each runner, without deleted ones.
pub fn revisions(conn: &mut Conn) -> Result<HashMap<RunnerId, i64>, StoreError> {
    let rows: Vec<(i64, i64)> = runners::table
        .filter(runners::removed_at.is_null())
        .select((runners::id, runners::rev))
        .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|(id, rev)| (RunnerId(id), rev))
        .collect())
}

/// Several runners, also deleted ones, in two statements however many there are.
pub(crate) fn by_ids(conn: &mut Conn, ids: &[i64]) -> Result<Vec<Runner>, StoreError> {
    let served: Vec<(i64, i64)> = runner_projects::table
        .filter(runner_projects::runner_id.eq_any(ids))
        .load(conn)?;
    let rows: Vec<RunnerRow> = runners::table.filter(runners::id.eq_any(ids)).load(conn)?;
    with_projects(rows, &served)
}

/// Combines `rows` with the projects they serve, given as pairs of runner and project.
fn with_projects(rows: Vec<RunnerRow>, served: &[(i64, i64)]) -> Result<Vec<Runner>, StoreError> {
    let mut projects: HashMap<i64, BTreeSet<ProjectId>> = HashMap::new();
    for (runner, project) in served {
        let served = projects.entry(*runner).or_default();
        served.insert(ProjectId(*project));
    }
    let to_runner = |row: RunnerRow| {
        let served = projects.remove(&row.id).unwrap_or_default();
        row.into_runner(served)
    };
    rows.into_iter().map(to_runner).collect()
}

/// Counts a change of what a runner can run.
pub(crate) fn changed(conn: &mut Conn, id: RunnerId) -> Result<Runner, StoreError> {
    diesel::update(runners::table.find(id.0))
        .set(runners::rev.eq(runners::rev + 1))
        .execute(conn)?;
    get(conn, id)
}

/// Changes of a runner. An absent member stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Update {
    pub description: Option<String>,
    pub tags: Option<TagSet>,
    /// Whether it runs jobs without tags.
    pub run_untagged: Option<bool>,
    /// Whether it is locked to the projects that it already serves.
    pub locked: Option<bool>,
    /// Whether it may not claim jobs.
    pub paused: Option<bool>,
}

/// Changes a runner.
pub fn update(conn: &mut Conn, id: RunnerId, change: &Update) -> Result<Runner, StoreError> {
    let old = get(conn, id)?;
    let tags = change.tags.as_ref().unwrap_or(&old.capabilities.tags);
    diesel::update(runners::table.find(id.0))
        .set((
            runners::description.eq(change.description.as_ref().unwrap_or(&old.description)),
            runners::tags.eq(tags.to_list()),
            runners::run_untagged.eq(change.run_untagged.unwrap_or(old.capabilities.run_untagged)),
            runners::locked.eq(change.locked.unwrap_or(old.locked)),
            runners::paused.eq(change.paused.unwrap_or(old.paused)),
            runners::rev.eq(runners::rev + 1),
        ))
        .execute(conn)?;
    get(conn, id)
}

/// Records that a runner made contact and, if given, what it reported about itself.
pub fn record_contact(
    conn: &mut Conn,
    id: RunnerId,
    about: Option<&About>,
    heartbeat: bool,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::update(runners::table.find(id.0))
        .set(runners::contact_at.eq(to_ms(now)))
        .execute(conn)?;
    // Most requests carry no `about`, so they write only one column.
    if let Some(about) = about {
        diesel::update(runners::table.find(id.0))
            .set((
                runners::name.eq(&about.name),
                runners::version.eq(&about.version),
                runners::revision.eq(&about.revision),
                runners::platform.eq(&about.platform),
                runners::architecture.eq(&about.architecture),
                runners::executor.eq(&about.executor),
                runners::platforms.eq(about.stored_platforms()),
                runners::image_archives.eq(about.image_archives),
                runners::unready.eq(&about.unready),
                runners::trust.eq(about.stored_trust()),
                runners::notes.eq(about.stored_notes()),
                runners::heartbeat.eq(heartbeat),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// Replaces a runner's token. The previous one stops working.
///
/// # Errors
/// `NotFound` if the runner was deleted.
pub fn set_token(conn: &mut Conn, id: RunnerId, token: TokenHash) -> Result<(), StoreError> {
    let target = runners::table
        .find(id.0)
        .filter(runners::removed_at.is_null());
    let changed = diesel::update(target)
        .set(runners::token_hash.eq(token.to_hex()))
        .execute(conn)?;
    match changed {
        0 => Err(StoreError::NotFound("runner")),
        _ => Ok(()),
    }
}

/// Deletes a runner: its token stops working, but the row stays for the jobs that it ran.
pub fn delete(conn: &mut Conn, id: RunnerId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let changed = diesel::update(
        runners::table
            .find(id.0)
            .filter(runners::removed_at.is_null()),
    )
    .set((
        // Without a hash, no token finds the row any more.
        runners::token_hash.eq(None::<String>),
        runners::removed_at.eq(to_ms(now)),
        runners::rev.eq(runners::rev + 1),
    ))
    .execute(conn)?;
    if changed == 0 {
        Err(StoreError::NotFound("runner"))
    } else {
        Ok(())
    }
}

/// Lets a runner serve one more project.
///
/// # Errors
/// `Conflict` if it already does.
pub fn enable(conn: &mut Conn, id: RunnerId, project: ProjectId) -> Result<Runner, StoreError> {
    if projects_of(conn, id)?.contains(&project) {
        return Err(StoreError::Conflict(
            "the runner already serves the project",
        ));
    }
    diesel::insert_into(runner_projects::table)
        .values((
            runner_projects::runner_id.eq(id.0),
            runner_projects::project_id.eq(project.0),
        ))
        .execute(conn)?;
    changed(conn, id)
}

/// Stops a runner from serving a project.
///
/// # Errors
/// `NotFound` if it does not serve it; `Conflict` if it serves no other.
pub fn disable(conn: &mut Conn, id: RunnerId, project: ProjectId) -> Result<Runner, StoreError> {
    let served = projects_of(conn, id)?;
    if !served.contains(&project) {
        return Err(StoreError::NotFound("runner"));
    }
    if served.len() == 1 {
        return Err(StoreError::Conflict(ONLY_PROJECT));
    }
    diesel::delete(runner_projects::table.find((id.0, project.0))).execute(conn)?;
    changed(conn, id)
}

/// The conflict of a runner that would have no project left.
pub const ONLY_PROJECT: &str = "the runner serves no other project: delete it instead";
