//! Creates, reads and changes projects.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::image::Repository;
use slipway_domain::{Name, NamespaceId, ProjectId, Role, UserId, Visibility};

use crate::engine::connection::Conn;
use crate::engine::nonces::new_nonce;
use crate::engine::page::{Page, rows};
use crate::engine::time::to_ms;
use crate::error::{OrMissing, StoreError};
use crate::projects::row::{Project, SettingColumns, Settings, lower, read};
use crate::schema::{namespace_members, namespaces, project_loads, project_members, projects};

/// Creates a project.
///
/// # Errors
/// `Conflict` if the name is taken in its namespace.
pub fn insert(
    conn: &mut Conn,
    namespace: NamespaceId,
    name: &Name,
    settings: &Settings,
    created_by: impl Into<Option<UserId>>,
    now: DateTime<Utc>,
) -> Result<Project, StoreError> {
    let created_by: Option<UserId> = created_by.into();
    let id: i64 = diesel::insert_into(projects::table)
        .values((
            projects::namespace_id.eq(namespace.0),
            projects::name.eq(name.as_str()),
            SettingColumns::from(settings),
            projects::created_at.eq(to_ms(now)),
            projects::created_by.eq(created_by.map(|user| user.0)),
            projects::runners_nonce.eq(new_nonce()),
        ))
        .returning(projects::id)
        .get_result(conn)?;
    // Claims count running jobs in this row, so it must exist before the first job does.
    diesel::insert_into(project_loads::table)
        .values((
            project_loads::project_id.eq(id),
            project_loads::running.eq(0),
        ))
        .execute(conn)?;
    get(conn, ProjectId(id))
}

/// Changes a project's name and settings.
///
/// # Errors
/// `Conflict` if the name is taken in its namespace.
pub fn update(
    conn: &mut Conn,
    id: ProjectId,
    name: &Name,
    settings: &Settings,
) -> Result<Project, StoreError> {
    diesel::update(projects::table.find(id.0))
        .set((
            projects::name.eq(name.as_str()),
            SettingColumns::from(settings),
        ))
        .execute(conn)?;
    get(conn, id)
}

/// The projects that a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Project(ProjectId),
    /// All projects of a namespace.
    Namespace(NamespaceId),
    /// All projects, and what is shared by them.
    Farm,
}

/// Gives projects another nonce for their runners tokens, which ends the present tokens.
pub fn reset_runners_nonces(conn: &mut Conn, reach: Reach) -> Result<(), StoreError> {
    // Projects may share a nonce, because their ids are different.
    let nonce = projects::runners_nonce.eq(new_nonce());
    match reach {
        Reach::Project(id) => diesel::update(projects::table.find(id.0))
            .set(nonce)
            .execute(conn)?,
        Reach::Namespace(id) => {
            diesel::update(projects::table.filter(projects::namespace_id.eq(id.0)))
                .set(nonce)
                .execute(conn)?
        }
        Reach::Farm => diesel::update(projects::table).set(nonce).execute(conn)?,
    };
    Ok(())
}

/// Sets whether a project is read-only: its builds can be viewed, but no new ones are created.
pub fn set_read_only(conn: &mut Conn, id: ProjectId, read_only: bool) -> Result<(), StoreError> {
    diesel::update(projects::table.find(id.0))
        .set(projects::read_only.eq(read_only))
        .execute(conn)?;
    Ok(())
}

/// Limits a project to one running job, unless it has a limit.
pub fn limit_to_one(conn: &mut Conn, id: ProjectId) -> Result<(), StoreError> {
    diesel::update(
        projects::table
            .find(id.0)
            .filter(projects::max_running.is_null()),
    )
    .set(projects::max_running.eq(1))
    .execute(conn)?;
    Ok(())
}

/// Reads a project by its id.
///
/// # Errors
/// `NotFound` if it does not exist.
pub fn get(conn: &mut Conn, id: ProjectId) -> Result<Project, StoreError> {
    let row = projects::table
        .inner_join(namespaces::table.on(namespaces::id.eq(projects::namespace_id)))
        .filter(projects::id.eq(id.0))
        .select((projects::all_columns, namespaces::name))
        .first(conn);
    read(row.or_missing("project")?)
}

/// Reads a project by the names of its namespace and its own.
pub fn by_path(conn: &mut Conn, namespace: &Name, name: &Name) -> Result<Project, StoreError> {
    let row = projects::table
        .inner_join(namespaces::table.on(namespaces::id.eq(projects::namespace_id)))
        .filter(lower(namespaces::name).eq(namespace.as_str().to_ascii_lowercase()))
        .filter(lower(projects::name).eq(name.as_str().to_ascii_lowercase()))
        .select((projects::all_columns, namespaces::name))
        .first(conn);
    read(row.or_missing("project")?)
}

/// Where the images of a project are pushed.
#[derive(Clone, Debug)]
pub struct ImagePlace {
    pub project: ProjectId,
    /// `namespace/name`.
    pub path: String,
    /// The project's own setting.
    pub repository: Option<Repository>,
}

/// Where the images of all projects are pushed.
pub fn image_places(conn: &mut Conn) -> Result<Vec<ImagePlace>, StoreError> {
    let rows: Vec<(i64, String, String, Option<String>)> = projects::table
        .inner_join(namespaces::table.on(namespaces::id.eq(projects::namespace_id)))
        .select((
            projects::id,
            namespaces::name,
            projects::name,
            projects::image_repository,
        ))
        .load(conn)?;
    let place = |(id, namespace, name, repository): (i64, String, String, Option<String>)| {
        Ok(ImagePlace {
            project: ProjectId(id),
            path: format!("{namespace}/{name}"),
            repository: repository
                .map(|text| Repository::stored(&text))
                .transpose()
                .map_err(|_| StoreError::Corrupt("image repository"))?,
        })
    };
    rows.into_iter().map(place).collect()
}

/// The paths `namespace/name` of some projects.
pub fn paths(
    conn: &mut Conn,
    ids: &BTreeSet<ProjectId>,
) -> Result<HashMap<ProjectId, String>, StoreError> {
    /// How many ids one statement may have, on SQLite as a parameter each.
    const CHUNK: usize = 1000;
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let mut paths = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(CHUNK) {
        let rows: Vec<(i64, String, String)> = projects::table
            .inner_join(namespaces::table.on(namespaces::id.eq(projects::namespace_id)))
            .filter(projects::id.eq_any(ids))
            .select((projects::id, namespaces::name, projects::name))
            .load(conn)?;
        let rows = rows.into_iter();
        paths.extend(
            rows.map(|(id, namespace, name)| (ProjectId(id), format!("{namespace}/{name}"))),
        );
    }
    Ok(paths)
}

/// The projects, newest first; only those of `namespace` if that is given.
pub fn list(
    conn: &mut Conn,
    namespace: Option<NamespaceId>,
    page: Page,
) -> Result<Vec<Project>, StoreError> {
    let query = projects::table
        .inner_join(namespaces::table.on(namespaces::id.eq(projects::namespace_id)))
        .filter(projects::id.lt(page.below()))
        .order(projects::id.desc())
        .limit(rows(page.limit))
        .select((projects::all_columns, namespaces::name));
    let rows = match namespace {
        Some(namespace) => query
            .filter(projects::namespace_id.eq(namespace.0))
            .load(conn)?,
        None => query.load(conn)?,
    };
    rows.into_iter().map(read).collect()
}

/// The projects that a user may see, newest first: those the user is a member of, directly or
/// through the namespace, and those that every user may see.
pub fn list_visible(conn: &mut Conn, user: UserId, page: Page) -> Result<Vec<Project>, StoreError> {
    let rows = projects::table
        .inner_join(namespaces::table.on(namespaces::id.eq(projects::namespace_id)))
        .filter(
            projects::visibility
                .ne(Visibility::Private.as_str())
                .or(belongs_to(user, "")),
        )
        .filter(projects::id.lt(page.below()))
        .order(projects::id.desc())
        .limit(rows(page.limit))
        .select((projects::all_columns, namespaces::name))
        .load(conn)?;
    rows.into_iter().map(read).collect()
}

/// The ids of all projects whose builds a user may see.
pub fn readable_ids(conn: &mut Conn, user: UserId) -> Result<BTreeSet<ProjectId>, StoreError> {
    let visible = projects::visibility
        .ne(Visibility::Private.as_str())
        .or(belongs_to(user, ""));
    let ids: Vec<i64> = projects::table
        .filter(projects::builds_enabled)
        .filter(belongs_to(user, Role::Guest.as_str()).or(projects::public_builds.and(visible)))
        .select(projects::id)
        .load(conn)?;
    Ok(ids.into_iter().map(ProjectId).collect())
}

/// Whether a user is a member of the project or of its namespace with a role other than `except`.
#[diesel::dsl::auto_type]
pub(crate) fn belongs_to(user: UserId, except: &'static str) -> _ {
    let id: i64 = user.0;
    let namespaces_of = namespace_members::table
        .filter(namespace_members::user_id.eq(id))
        .filter(namespace_members::role.ne(except))
        .select(namespace_members::namespace_id);
    let projects_of = project_members::table
        .filter(project_members::user_id.eq(id))
        .filter(project_members::role.ne(except))
        .select(project_members::project_id);
    projects::namespace_id
        .eq_any(namespaces_of)
        .or(projects::id.eq_any(projects_of))
}

/// Whether a user is an owner of the project or of its namespace.
#[diesel::dsl::auto_type]
pub(crate) fn is_owned_by(user: UserId) -> _ {
    let id: i64 = user.0;
    let owner: &'static str = Role::Owner.as_str();
    let namespaces_of = namespace_members::table
        .filter(namespace_members::user_id.eq(id))
        .filter(namespace_members::role.eq(owner))
        .select(namespace_members::namespace_id);
    let projects_of = project_members::table
        .filter(project_members::user_id.eq(id))
        .filter(project_members::role.eq(owner))
        .select(project_members::project_id);
    projects::namespace_id
        .eq_any(namespaces_of)
        .or(projects::id.eq_any(projects_of))
}
