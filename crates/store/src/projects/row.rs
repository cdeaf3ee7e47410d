//! A project, its settings and its table row.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::image::Repository;
use slipway_domain::{GitRef, Name, NamespaceId, Nonce, ProjectId, Submodules, UserId, Visibility};

use crate::engine::nonces::from_opt_nonce;
use crate::engine::time::{from_ms, parse};
use crate::error::StoreError;
use crate::schema::projects;

/// A source repository that the farm builds.
#[derive(Clone, Debug)]
pub struct Project {
    pub id: ProjectId,
    pub namespace: NamespaceId,
    pub namespace_name: Name,
    /// Case is preserved, but names that differ only in case are the same.
    pub name: Name,
    pub repo_url: String,
    /// The branch whose image is tagged `latest`.
    pub default_branch: GitRef,
    /// Where its images are pushed; if absent, the farm's registry.
    pub image_repository: Option<Repository>,
    /// Whether shared runners may run its jobs.
    pub shared_runners: bool,
    /// How many of its jobs may run at once.
    pub max_running: Option<u32>,
    pub created_at: DateTime<Utc>,
    pub description: String,
    /// Who sees it without being a member.
    pub visibility: Visibility,
    /// Whether everybody who sees the project also sees its builds.
    pub public_builds: bool,
    /// Whether jobs are run and shown at all.
    pub builds_enabled: bool,
    pub created_by: Option<UserId>,
    /// Whether builds can be viewed, but not created.
    pub read_only: bool,
    /// Which submodules are checked out with its commits.
    pub submodules: Submodules,
    /// What its runners token is derived from, besides its id. Absent in projects of earlier
    /// versions whose token was never reset.
    pub runners_nonce: Option<Nonce>,
}

impl Project {
    /// `namespace/name`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.namespace_name, self.name)
    }
}

/// The settings of a project.
#[derive(Clone, Debug)]
pub struct Settings {
    pub repo_url: String,
    /// The branch whose image is tagged `latest`.
    pub default_branch: GitRef,
    /// Where its images are pushed; if absent, the farm's registry.
    pub image_repository: Option<Repository>,
    /// Whether shared runners may run its jobs.
    pub shared_runners: bool,
    /// How many of its jobs may run at once.
    pub max_running: Option<u32>,
    pub description: String,
    /// Who sees it without being a member.
    pub visibility: Visibility,
    /// Whether everybody who sees the project also sees its builds.
    pub public_builds: bool,
    /// Whether jobs are run and shown at all.
    pub builds_enabled: bool,
    /// Which submodules are checked out with its commits.
    pub submodules: Submodules,
}

impl Settings {
    /// Default settings for a project with this source.
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
    runners_nonce: Option<String>,
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
            .map(|text| Repository::stored(&text))
            .transpose()
            .map_err(|_| StoreError::Corrupt("repository"))?,
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
        runners_nonce: from_opt_nonce(row.runners_nonce.as_deref())?,
    })
}

diesel::define_sql_function! {
    /// Lower case. Both back ends agree on it for ASCII.
    fn lower(text: diesel::sql_types::Text) -> diesel::sql_types::Text;
}

/// The columns of [`Settings`].
#[derive(Insertable, AsChangeset)]
#[diesel(table_name = projects, treat_none_as_null = true)]
pub(crate) struct SettingColumns<'a> {
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
