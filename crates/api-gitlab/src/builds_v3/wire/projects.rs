//! What projects and namespaces look like.

use serde::Serialize;
use slipway_domain::{Role, Visibility};
use slipway_farm::{self as farm, ProjectCompany};

use crate::builds_v3::auth::Call;
use crate::builds_v3::wire;
use crate::convert::timestamp;

/// GitLab's number of "as the user has it set everywhere": the farm notifies nobody.
const NOTIFIED_AS_EVERYWHERE: u8 = 3;

/// What is told of a project where few words are wanted.
#[derive(Serialize)]
pub(crate) struct SimpleProject {
    id: i64,
    name: String,
    name_with_namespace: String,
    path: String,
    path_with_namespace: String,
    ssh_url_to_repo: String,
    http_url_to_repo: String,
    web_url: String,
}

impl From<&farm::Project> for SimpleProject {
    fn from(project: &farm::Project) -> Self {
        let source = Source::of(&project.repo_url);
        Self {
            id: project.id.0,
            name: project.name.to_string(),
            name_with_namespace: format!("{} / {}", project.namespace_name, project.name),
            path: project.name.to_string(),
            path_with_namespace: project.path(),
            ssh_url_to_repo: source.ssh.to_owned(),
            http_url_to_repo: source.http.to_owned(),
            web_url: source.web.to_owned(),
        }
    }
}

/// What a project's one URL says of the three that GitLab has; empty where it says nothing.
#[derive(Debug, PartialEq, Eq)]
struct Source<'a> {
    ssh: &'a str,
    http: &'a str,
    web: &'a str,
}

impl<'a> Source<'a> {
    fn of(repo_url: &'a str) -> Self {
        match repo_url.split_once("://") {
            // Hosts of repositories show people a page where `git` finds the repository.
            Some(("http" | "https", _)) => Self {
                ssh: "",
                http: repo_url,
                web: repo_url.strip_suffix(".git").unwrap_or(repo_url),
            },
            Some(("ssh", _)) | None => Self {
                ssh: repo_url,
                http: "",
                web: "",
            },
            // What is only for `git` itself is neither of the three.
            Some(_) => Self {
                ssh: "",
                http: "",
                web: "",
            },
        }
    }
}

/// An owner of projects.
#[derive(Serialize)]
pub(crate) struct Namespace {
    id: i64,
    name: String,
    path: String,
    kind: &'static str,
}

/// A namespace, which is a user's when one is told as its owner.
pub(crate) fn namespace(id: i64, name: &str, is_users: bool) -> Namespace {
    Namespace {
        id,
        name: name.to_owned(),
        path: name.to_owned(),
        kind: if is_users { "user" } else { "group" },
    }
}

/// A project with all that is told of it. What the farm has no word for is off, none or zero.
#[derive(Serialize)]
pub(crate) struct Project {
    #[serde(flatten)]
    simple: SimpleProject,
    description: Option<String>,
    default_branch: String,
    tag_list: [&'static str; 0],
    public: bool,
    archived: bool,
    visibility_level: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<wire::User>,
    namespace: Namespace,
    issues_enabled: bool,
    merge_requests_enabled: bool,
    wiki_enabled: bool,
    builds_enabled: bool,
    snippets_enabled: bool,
    shared_runners_enabled: bool,
    public_builds: bool,
    creator_id: Option<i64>,
    created_at: String,
    last_activity_at: String,
    avatar_url: Option<String>,
    star_count: u32,
    forks_count: u32,
    open_issues_count: u32,
    permissions: Permissions,
    #[serde(skip_serializing_if = "Option::is_none")]
    runners_token: Option<String>,
}

/// What the caller is a member of.
#[derive(Serialize)]
struct Permissions {
    project_access: Option<Access>,
    group_access: Option<Access>,
}

/// A membership.
#[derive(Serialize)]
struct Access {
    access_level: u8,
    notification_level: u8,
}

impl From<&Role> for Access {
    fn from(role: &Role) -> Self {
        Self {
            access_level: access_level(*role),
            notification_level: NOTIFIED_AS_EVERYWHERE,
        }
    }
}

/// GitLab's number of a role.
pub(crate) fn access_level(role: Role) -> u8 {
    match role {
        Role::Guest => 10,
        Role::Reader => 20,
        Role::Developer => 30,
        Role::Maintainer => 40,
        Role::Owner => 50,
    }
}

/// The role of one of GitLab's numbers.
pub(crate) fn role(level: u8) -> Option<Role> {
    let mut all = Role::ALL.iter().copied();
    all.find(|role| access_level(*role) == level)
}

/// GitLab's number of a visibility.
fn level(visibility: Visibility) -> u8 {
    match visibility {
        Visibility::Private => 0,
        Visibility::Internal => 10,
        Visibility::Public => 20,
    }
}

/// The visibility of one of GitLab's numbers.
pub(crate) fn visibility(level: u8) -> Option<Visibility> {
    let mut all = Visibility::ALL.iter().copied();
    all.find(|visibility| self::level(*visibility) == level)
}

/// A project as the caller sees it, with the runners token for those who may have it.
pub(crate) fn project(
    call: &Call,
    project: &farm::Project,
    company: &ProjectCompany,
    runners_token: Option<String>,
) -> Project {
    let owner = company.owners.get(&project.namespace);
    let own = company.own_roles.get(&project.id);
    let by_namespace = company.namespace_roles.get(&project.namespace);
    let last_build = company.last_builds.get(&project.id).copied();
    Project {
        simple: project.into(),
        description: Some(project.description.clone()).filter(|text| !text.is_empty()),
        default_branch: project.default_branch.to_string(),
        tag_list: [],
        public: project.visibility == Visibility::Public,
        archived: false,
        visibility_level: level(project.visibility),
        owner: owner.map(|owner| wire::user(call, owner)),
        namespace: namespace(
            project.namespace.0,
            project.namespace_name.as_str(),
            owner.is_some(),
        ),
        issues_enabled: false,
        merge_requests_enabled: false,
        wiki_enabled: false,
        builds_enabled: project.builds_enabled,
        snippets_enabled: false,
        shared_runners_enabled: project.shared_runners,
        public_builds: project.public_builds,
        creator_id: project.created_by.map(|user| user.0),
        created_at: timestamp(project.created_at),
        last_activity_at: timestamp(last_build.unwrap_or(project.created_at)),
        avatar_url: None,
        star_count: 0,
        forks_count: 0,
        open_issues_count: 0,
        permissions: Permissions {
            project_access: own.map(Access::from),
            group_access: by_namespace.map(Access::from),
        },
        runners_token,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_told_as_far_as_it_is_known() {
        let urls = |url| {
            let source = Source::of(url);
            (source.ssh, source.http, source.web)
        };
        let https = "https://git.example/acme/api.git";
        assert_eq!(urls(https), ("", https, "https://git.example/acme/api"));
        let http = "http://git.example/acme/api";
        assert_eq!(urls(http), ("", http, http));
        for ssh in ["git@git.example:acme/api.git", "ssh://git@git.example/api"] {
            assert_eq!(urls(ssh), (ssh, "", ""));
        }
        assert_eq!(urls("git://git.example/api"), ("", "", ""));
    }

    #[test]
    fn levels_are_gitlabs_numbers() {
        for known in Visibility::ALL {
            assert_eq!(visibility(level(*known)), Some(*known));
        }
        assert_eq!(visibility(5), None);
        let levels: Vec<u8> = Role::ALL.iter().map(|role| access_level(*role)).collect();
        assert_eq!(levels, [10, 20, 30, 40, 50]);
        assert_eq!(role(40), Some(Role::Maintainer));
        assert_eq!(role(0), None);
    }
}
