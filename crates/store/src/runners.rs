//! Runners: who is registered, what each can take, when each was last heard of.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use slipway_domain::queue::{Capabilities, RunnerScope, RunnerView};
use slipway_domain::{Abilities, Platform, ProjectId, RunnerId, TagSet, TokenHash};

use crate::connection::Conn;
use crate::error::{OrMissing, StoreError};
use crate::page::Page;
use crate::schema::{runner_projects, runners};
use crate::time::{from_ms, from_opt_ms, to_ms};

/// How long a runner counts as online after it was heard of.
const ONLINE_FOR: TimeDelta = TimeDelta::minutes(2);

/// A registered runner.
#[derive(Clone, Debug)]
pub struct Runner {
    /// Its id.
    pub id: RunnerId,
    /// Free text.
    pub description: String,
    /// What it can take.
    pub capabilities: Capabilities,
    /// Whether it serves only projects it is enabled for.
    pub locked: bool,
    /// Whether it is kept from claiming.
    pub paused: bool,
    /// Whether it beats apart from its output, so that its lease can be short.
    pub heartbeat: bool,
    /// What it said of itself.
    pub about: About,
    /// When it registered.
    pub created_at: DateTime<Utc>,
    /// When it was last heard of.
    pub contact_at: Option<DateTime<Utc>>,
    /// When it was removed.
    pub removed_at: Option<DateTime<Utc>>,
    /// Counts the changes of what it can take.
    pub rev: i64,
}

impl Runner {
    /// Whether it was heard of lately.
    pub fn is_online(&self, now: DateTime<Utc>) -> bool {
        self.contact_at.is_some_and(|at| now - at < ONLINE_FOR)
    }

    /// What counts of it when somebody looks at who could take a job.
    pub fn view(self, now: DateTime<Utc>) -> RunnerView {
        RunnerView {
            paused: self.paused,
            online: self.is_online(now),
            capabilities: self.capabilities,
        }
    }

    /// The same, as that of its processes which says `about` of itself.
    #[must_use]
    pub fn saying(mut self, about: &About, heartbeat: bool) -> Self {
        self.capabilities.abilities = about.abilities(heartbeat);
        self.about = about.clone();
        self.heartbeat = heartbeat;
        self
    }
}

/// What a runner says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The program's name.
    pub name: Option<String>,
    /// The program's version.
    pub version: Option<String>,
    /// The commit it was built from.
    pub revision: Option<String>,
    /// The operating system.
    pub platform: Option<String>,
    /// The processor.
    pub architecture: Option<String>,
    /// How it runs jobs.
    pub executor: Option<String>,
    /// What it builds images for besides its own processor.
    pub platforms: Vec<Platform>,
}

impl About {
    /// What it builds images for.
    fn builds_for(&self) -> impl Iterator<Item = Platform> {
        let own = self.architecture.as_deref().and_then(Platform::linux);
        own.into_iter().chain(self.platforms.iter().cloned())
    }

    /// What a runner that says this of itself can do.
    fn abilities(&self, heartbeat: bool) -> Abilities {
        // Only our own runners know more than what stands in commands.
        let own = match heartbeat {
            true => Abilities::default().with_packages().with_specs(),
            false => Abilities::default(),
        };
        self.builds_for()
            .fold(own, |set, platform| set.with_platform(&platform))
    }

    fn stored_platforms(&self) -> Option<String> {
        let all: Vec<String> = self.platforms.iter().map(Platform::to_string).collect();
        (!all.is_empty()).then(|| all.join(","))
    }
}

/// What a new runner is made of.
#[derive(Clone, Debug)]
pub struct NewRunner {
    /// The hash of its token.
    pub token: TokenHash,
    /// Free text.
    pub description: String,
    /// What it can take.
    pub capabilities: Capabilities,
    /// Whether it serves only projects it is enabled for.
    pub locked: bool,
    /// Whether it beats apart from its output.
    pub heartbeat: bool,
    /// Whether it is kept from claiming until somebody lets it.
    pub paused: bool,
    /// What it said of itself.
    pub about: About,
}

#[derive(Queryable)]
struct RunnerRow {
    id: i64,
    _token_hash: Option<String>,
    description: String,
    tags: String,
    run_untagged: bool,
    locked: bool,
    shared: bool,
    paused: bool,
    heartbeat: bool,
    name: Option<String>,
    version: Option<String>,
    revision: Option<String>,
    platform: Option<String>,
    architecture: Option<String>,
    executor: Option<String>,
    created_at: i64,
    contact_at: Option<i64>,
    removed_at: Option<i64>,
    rev: i64,
    platforms: Option<String>,
}

impl RunnerRow {
    fn into_runner(self, projects: BTreeSet<ProjectId>) -> Result<Runner, StoreError> {
        let scope = if self.shared {
            RunnerScope::Shared
        } else {
            RunnerScope::Projects(projects)
        };
        let platforms = self.platforms.iter().flat_map(|list| list.split(','));
        let about = About {
            name: self.name,
            version: self.version,
            revision: self.revision,
            platform: self.platform,
            architecture: self.architecture,
            executor: self.executor,
            platforms: platforms
                .map(|text| text.parse().map_err(|_| StoreError::Corrupt("platform")))
                .collect::<Result<_, _>>()?,
        };
        Ok(Runner {
            id: RunnerId(self.id),
            description: self.description,
            capabilities: Capabilities {
                tags: TagSet::from_list(&self.tags).map_err(|_| StoreError::Corrupt("tags"))?,
                run_untagged: self.run_untagged,
                scope,
                abilities: about.abilities(self.heartbeat),
            },
            locked: self.locked,
            paused: self.paused,
            heartbeat: self.heartbeat,
            about,
            created_at: from_ms(self.created_at)?,
            contact_at: from_opt_ms(self.contact_at)?,
            removed_at: from_opt_ms(self.removed_at)?,
            rev: self.rev,
        })
    }
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

/// Reads a runner, removed ones included.
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

/// The runners that are registered, newest first.
pub fn list(conn: &mut Conn, page: Page) -> Result<Vec<Runner>, StoreError> {
    let rows: Vec<RunnerRow> = runners::table
        .filter(
            runners::removed_at
                .is_null()
                .and(runners::id.lt(page.below())),
        )
        .order(runners::id.desc())
        .limit(page.limit)
        .load(conn)?;
    let mut list = Vec::with_capacity(rows.len());
    for row in rows {
        let projects = projects_of(conn, RunnerId(row.id))?;
        list.push(row.into_runner(projects)?);
    }
    Ok(list)
}

/// All runners that are registered, in two statements however many there are.
pub fn all(conn: &mut Conn) -> Result<Vec<Runner>, StoreError> {
    let mut projects: HashMap<i64, BTreeSet<ProjectId>> = HashMap::new();
    let pairs: Vec<(i64, i64)> = runner_projects::table.load(conn)?;
    for (runner, project) in pairs {
        projects
            .entry(runner)
            .or_default()
            .insert(ProjectId(project));
    }
    let rows: Vec<RunnerRow> = runners::table
        .filter(runners::removed_at.is_null())
        .load(conn)?;
    rows.into_iter()
        .map(|row| {
            let served = projects.remove(&row.id).unwrap_or_default();
            row.into_runner(served)
        })
        .collect()
}

/// Several runners, removed ones too, in two statements however many there are.
pub(crate) fn by_ids(conn: &mut Conn, ids: &[i64]) -> Result<Vec<Runner>, StoreError> {
    let mut projects: HashMap<i64, BTreeSet<ProjectId>> = HashMap::new();
    let pairs: Vec<(i64, i64)> = runner_projects::table
        .filter(runner_projects::runner_id.eq_any(ids))
        .load(conn)?;
    for (runner, project) in pairs {
        let served = projects.entry(runner).or_default();
        served.insert(ProjectId(project));
    }
    let rows: Vec<RunnerRow> = runners::table.filter(runners::id.eq_any(ids)).load(conn)?;
    rows.into_iter()
        .map(|row| {
            let served = projects.remove(&row.id).unwrap_or_default();
            row.into_runner(served)
        })
        .collect()
}

fn projects_of(conn: &mut Conn, id: RunnerId) -> Result<BTreeSet<ProjectId>, StoreError> {
    let ids: Vec<i64> = runner_projects::table
        .filter(runner_projects::runner_id.eq(id.0))
        .select(runner_projects::project_id)
        .load(conn)?;
    Ok(ids.into_iter().map(ProjectId).collect())
}

fn set_projects(
    conn: &mut Conn,
    id: RunnerId,
    projects: &BTreeSet<ProjectId>,
) -> Result<(), StoreError> {
    diesel::delete(runner_projects::table.filter(runner_projects::runner_id.eq(id.0)))
        .execute(conn)?;
    for project in projects {
        diesel::insert_into(runner_projects::table)
            .values((
                runner_projects::runner_id.eq(id.0),
                runner_projects::project_id.eq(project.0),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// Lets a runner serve one more project.
///
/// # Errors
/// `Conflict` when it does already.
pub fn enable(conn: &mut Conn, id: RunnerId, project: ProjectId) -> Result<Runner, StoreError> {
    if projects_of(conn, id)?.contains(&project) {
        return Err(StoreError::Conflict(
            "the runner serves the project already",
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

/// Keeps a runner from serving a project any longer.
///
/// # Errors
/// `NotFound` when it does not serve it; `Conflict` when it serves no other.
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

/// Names the conflict of a runner that would have no project left.
pub const ONLY_PROJECT: &str = "the runner serves no other project: remove it instead";

/// The runners that serve a project and are not shared.
pub fn bound_to(conn: &mut Conn, project: ProjectId) -> Result<Vec<RunnerId>, StoreError> {
    let ids: Vec<i64> = runner_projects::table
        .filter(runner_projects::project_id.eq(project.0))
        .select(runner_projects::runner_id)
        .load(conn)?;
    Ok(ids.into_iter().map(RunnerId).collect())
}

/// Counts a change of what a runner can take.
pub(crate) fn changed(conn: &mut Conn, id: RunnerId) -> Result<Runner, StoreError> {
    diesel::update(runners::table.find(id.0))
        .set(runners::rev.eq(runners::rev + 1))
        .execute(conn)?;
    get(conn, id)
}

/// What is changed about a runner; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// Free text.
    pub description: Option<String>,
    /// Its tags.
    pub tags: Option<TagSet>,
    /// Whether it takes jobs without tags.
    pub run_untagged: Option<bool>,
    /// Whether it serves only projects it is enabled for.
    pub locked: Option<bool>,
    /// Whether it is kept from claiming.
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

/// Notes that a runner was heard of, and what it says of itself.
pub fn note_contact(
    conn: &mut Conn,
    id: RunnerId,
    about: Option<&About>,
    heartbeat: bool,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::update(runners::table.find(id.0))
        .set(runners::contact_at.eq(to_ms(now)))
        .execute(conn)?;
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
                runners::heartbeat.eq(heartbeat),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// Gives a runner another token; the one before is worth nothing from then on.
///
/// # Errors
/// `NotFound` when it is removed.
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

/// Removes a runner: its token is worth nothing any more, what it did stays readable.
pub fn remove(conn: &mut Conn, id: RunnerId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let changed = diesel::update(
        runners::table
            .find(id.0)
            .filter(runners::removed_at.is_null()),
    )
    .set((
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
