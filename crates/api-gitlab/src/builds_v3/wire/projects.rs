//! Projects, namespaces, and what belongs to a project.

use serde::Serialize;

use super::User;

/// A project, with `simple=true`.
#[derive(Serialize)]
pub(crate) struct SimpleProject {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) name_with_namespace: String,
    pub(crate) path: String,
    pub(crate) path_with_namespace: String,
    pub(crate) ssh_url_to_repo: String,
    pub(crate) http_url_to_repo: String,
    pub(crate) web_url: String,
}

/// A namespace.
#[derive(Serialize)]
pub(crate) struct Namespace {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) kind: &'static str,
}

/// A project. Features that the farm does not have are off, null or zero.
#[derive(Serialize)]
pub(crate) struct Project {
    #[serde(flatten)]
    pub(crate) simple: SimpleProject,
    pub(crate) description: Option<String>,
    pub(crate) default_branch: String,
    pub(crate) tag_list: [&'static str; 0],
    pub(crate) public: bool,
    pub(crate) archived: bool,
    pub(crate) visibility_level: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<User>,
    pub(crate) namespace: Namespace,
    pub(crate) issues_enabled: bool,
    pub(crate) merge_requests_enabled: bool,
    pub(crate) wiki_enabled: bool,
    pub(crate) builds_enabled: bool,
    pub(crate) snippets_enabled: bool,
    pub(crate) shared_runners_enabled: bool,
    pub(crate) public_builds: bool,
    pub(crate) creator_id: Option<i64>,
    pub(crate) created_at: String,
    pub(crate) last_activity_at: String,
    pub(crate) avatar_url: Option<String>,
    pub(crate) star_count: u32,
    pub(crate) forks_count: u32,
    pub(crate) open_issues_count: u32,
    pub(crate) permissions: Permissions,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runners_token: Option<String>,
}

/// The caller's own memberships.
#[derive(Serialize)]
pub(crate) struct Permissions {
    pub(crate) project_access: Option<Access>,
    pub(crate) group_access: Option<Access>,
}

/// A membership.
#[derive(Serialize)]
pub(crate) struct Access {
    pub(crate) access_level: u8,
    pub(crate) notification_level: u8,
}

/// A member of a project.
#[derive(Serialize)]
pub(crate) struct Member {
    pub(crate) id: i64,
    pub(crate) username: String,
    pub(crate) name: String,
    pub(crate) access_level: u8,
}

/// A trigger, with its token.
#[derive(Serialize)]
pub(crate) struct Trigger {
    pub(crate) token: String,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
    pub(crate) deleted_at: Option<String>,
    pub(crate) last_used: Option<String>,
    pub(crate) id: i64,
}

/// A variable of a project, with its value.
#[derive(Serialize)]
pub(crate) struct Variable<'a> {
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
}
