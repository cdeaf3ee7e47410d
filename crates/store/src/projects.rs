//! Projects, and the namespaces that they are in.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::image::Repository;
use slipway_domain::{GitRef, Name, NamespaceId, ProjectId, Role, Submodules, UserId, Visibility};

use crate::connection::Conn;
use crate::error::{OrMissing, StoreError};
use crate::page::Page;
use crate::schema::{namespace_members, namespaces, project_loads, project_members, projects};
use crate::time::{from_ms, parse, to_ms};

mod namespace;

pub use namespace::{
    Namespace, insert_namespace, list_namespaces, list_namespaces_of, list_namespaces_of_from,
    namespace, namespace_by_name, namespace_locked, set_max_builds,
};

/// A source repository that the farm builds.
#[derive(Clone, Debug)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Its owner.
    pub namespace: NamespaceId,
    /// Its owner's name.
    pub namespace_name: Name,
    /// Its name; case is kept and does not tell two apart.
    pub name: Name,
    /// Where its source is.
    pub repo_url: String,
    /// The branch whose image is `latest`.
    pub default_branch: GitRef,
    /// Where its images are pushed; the farm's registry decides when absent.
    pub image_repository: Option<Repository>,
    /// Whether shared runners may take its jobs.
    pub shared_runners: bool,
    /// How many of its jobs may run at once.
    pub max_running: Option<u32>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// What people say of it.
    pub description: String,
    /// Who sees it without being a member.
    pub visibility: Visibility,
    /// Whether all who see it see its builds too.
    pub public_builds: bool,
    /// Whether its jobs are run and shown at all.
    pub builds_enabled: bool,
    /// Who made it.
    pub created_by: Option<UserId>,
    /// Whether its builds are looked at only.
    pub read_only: bool,
    /// Which submodules are checked out with its commits.
    pub submodules: Submodules,
}

impl Project {
    /// `namespace/name`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.namespace_name, self.name)
    }
}

/// What can be set about a project.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where its source is.
    pub repo_url: String,
    /// The branch whose image is `latest`.
    pub default_branch: GitRef,
    /// Where its images are pushed.
    pub image_repository: Option<Repository>,
    /// Whether shared runners may take its jobs.
    pub shared_runners: bool,
    /// How many of its jobs may run at once.
    pub max_running: Option<u32>,
    /// What people say of it.
    pub description: String,
    /// Who sees it without being a member.
    pub visibility: Visibility,
    /// Whether all who see it see its builds too.
    pub public_builds: bool,
    /// Whether its jobs are run and shown at all.
    pub builds_enabled: bool,
    /// Which submodules are checked out with its commits.
    pub submodules: Submodules,
}

impl Settings {
    /// The settings of a project of which only its source is known.
    pub fn of_source(repo_url: impl Into<String>, default_branch: GitRef) -> Self {
        Self {
            repo_url: repo_url.into(),
            default_branch,
            image_repository: None,
            shared_runners: true,
            max_running: None,
            description: String::new(),
            visibility: Visibility::Private,
            public_builds: false,
            builds_enabled: true,
            submodules: Submodules::default(),
        }
    }
}

#[derive(Queryable)]
pub(crate) struct ProjectRow {
    id: i64,
    namespace_id: i64,
    name: String,
    repo_url: String,
    default_branch: String,
    image_repository: Option<String>,
    shared_runners: bool,
    max_running: Option<i32>,
    created_at: i64,
    description: String,
    visibility: String,
    public_builds: bool,
    builds_enabled: bool,
    created_by: Option<i64>,
    read_only: bool,
    submodules: String,
}

pub(crate) fn read((row, namespace): (ProjectRow, String)) -> Result<Project, StoreError> {
    Ok(Project {
        id: ProjectId(row.id),
        namespace: NamespaceId(row.namespace_id),
        namespace_name: parse(&namespace, "namespace name")?,
        name: parse(&row.name, "project name")?,
        repo_url: row.repo_url,
        default_branch: parse(&row.default_branch, "branch")?,
        image_repository: row
            .image_repository
            .map(|text| parse(&text, "repository"))
            .transpose()?,
        shared_runners: row.shared_runners,
        max_running: row.max_running.and_then(|limit| u32::try_from(limit).ok()),
        created_at: from_ms(row.created_at)?,
        description: row.description,
        visibility: parse(&row.visibility, "visibility")?,
        public_builds: row.public_builds,
        builds_enabled: row.builds_enabled,
        created_by: row.created_by.map(UserId),
        read_only: row.read_only,
        submodules: parse(&row.submodules, "submodules")?,
    })
}

diesel::define_sql_function! {
    /// Lower case, as both back ends have it for ASCII.
    fn lower(text: diesel::sql_types::Text) -> diesel::sql_types::Text;
}

/// Makes a project.
///
/// # Errors
/// `Conflict` when the name is taken in its namespace.
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
        ))
        .returning(projects::id)
        .get_result(conn)?;
    diesel::insert_into(project_loads::table)
        .values((
            project_loads::project_id.eq(id),
            project_loads::running.eq(0),
        ))
        .execute(conn)?;
    get(conn, ProjectId(id))
}

/// The columns that settings are kept in.
#[derive(Insertable, AsChangeset)]
#[diesel(table_name = projects, treat_none_as_null = true)]
struct SettingColumns<'a> {
    repo_url: &'a str,
    default_branch: &'a str,
    image_repository: Option<&'a str>,
    shared_runners: bool,
    max_running: Option<i32>,
    description: &'a str,
    visibility: &'static str,
    public_builds: bool,
    builds_enabled: bool,
    submodules: &'static str,
}

impl<'a> From<&'a Settings> for SettingColumns<'a> {
    fn from(settings: &'a Settings) -> Self {
        let limit = settings.max_running;
        Self {
            repo_url: &settings.repo_url,
            default_branch: settings.default_branch.as_str(),
            image_repository: settings.image_repository.as_ref().map(Repository::as_str),
            shared_runners: settings.shared_runners,
            max_running: limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX)),
            description: &settings.description,
            visibility: settings.visibility.as_str(),
            public_builds: settings.public_builds,
            builds_enabled: settings.builds_enabled,
            submodules: settings.submodules.as_str(),
        }
    }
}

/// Changes a project's name and settings.
///
/// # Errors
/// `Conflict` when the name is taken in its namespace.
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

/// Lets a project take builds, or have them looked at only.
pub fn set_read_only(conn: &mut Conn, id: ProjectId, read_only: bool) -> Result<(), StoreError> {
    diesel::update(projects::table.find(id.0))
        .set(projects::read_only.eq(read_only))
        .execute(conn)?;
    Ok(())
}

/// Lets one job of a project run at a time, if nobody said how many may.
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

/// Reads a project.
pub fn get(conn: &mut Conn, id: ProjectId) -> Result<Project, StoreError> {
    let row = projects::table
        .inner_join(namespaces::table.on(namespaces::id.eq(projects::namespace_id)))
        .filter(projects::id.eq(id.0))
        .select((projects::all_columns, namespaces::name))
        .first(conn);
    read(row.or_missing("project")?)
}

/// Reads a project by its namespace's name and its own.
pub fn by_path(conn: &mut Conn, namespace: &Name, name: &Name) -> Result<Project, StoreError> {
    let row = projects::table
        .inner_join(namespaces::table.on(namespaces::id.eq(projects::namespace_id)))
        .filter(lower(namespaces::name).eq(namespace.as_str().to_ascii_lowercase()))
        .filter(lower(projects::name).eq(name.as_str().to_ascii_lowercase()))
        .select((projects::all_columns, namespaces::name))
        .first(conn);
    read(row.or_missing("project")?)
}

/// The projects, newest first; those of one namespace when it is given.
pub fn list(
    conn: &mut Conn,
    namespace: Option<NamespaceId>,
    page: Page,
) -> Result<Vec<Project>, StoreError> {
    let query = projects::table
        .inner_join(namespaces::table.on(namespaces::id.eq(projects::namespace_id)))
        .filter(projects::id.lt(page.below()))
        .order(projects::id.desc())
        .limit(page.limit)
        .select((projects::all_columns, namespaces::name));
    let rows = match namespace {
        Some(namespace) => query
            .filter(projects::namespace_id.eq(namespace.0))
            .load(conn)?,
        None => query.load(conn)?,
    };
    rows.into_iter().map(read).collect()
}

/// The projects that a user may see, newest first: as a member of each or of its namespace, or
/// because every user does.
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
        .limit(page.limit)
        .select((projects::all_columns, namespaces::name))
        .load(conn)?;
    rows.into_iter().map(read).collect()
}

/// The ids of all projects whose builds a user may see.
pub fn readable_ids(conn: &mut Conn, user: UserId) -> Result<BTreeSet<ProjectId>, StoreError> {
    let seen = projects::visibility
        .ne(Visibility::Private.as_str())
        .or(belongs_to(user, ""));
    let ids: Vec<i64> = projects::table
        .filter(projects::builds_enabled)
        .filter(belongs_to(user, Role::Guest.as_str()).or(projects::public_builds.and(seen)))
        .select(projects::id)
        .load(conn)?;
    Ok(ids.into_iter().map(ProjectId).collect())
}

/// Whether a user is a member of the project or of its namespace, in another role than `but`.
#[diesel::dsl::auto_type]
pub(crate) fn belongs_to(user: UserId, but: &'static str) -> _ {
    let id: i64 = user.0;
    let namespaces_of = namespace_members::table
        .filter(namespace_members::user_id.eq(id))
        .filter(namespace_members::role.ne(but))
        .select(namespace_members::namespace_id);
    let projects_of = project_members::table
        .filter(project_members::user_id.eq(id))
        .filter(project_members::role.ne(but))
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
