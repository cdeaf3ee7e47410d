//! Projects, namespaces, and what belongs to a project.

use slipway_domain::{Role, TriggerToken, Visibility};
use slipway_farm::{self as farm, PlainVariable, ProjectContext};

use super::users::user;
use crate::builds_v3::wire::{
    Access, Member, Namespace, Permissions, Project, SimpleProject, Trigger, Variable,
};
use crate::convert::timestamp;

/// GitLab's notification level "global", its default. The farm sends no notifications.
const GLOBAL_NOTIFICATION_LEVEL: u8 = 3;

impl From<&farm::Project> for SimpleProject {
    fn from(project: &farm::Project) -> Self {
        let urls = RepositoryUrls::from_repo_url(&project.repo_url);
        Self {
            id: project.id.0,
            name: project.name.to_string(),
            name_with_namespace: format!("{} / {}", project.namespace_name, project.name),
            path: project.name.to_string(),
            path_with_namespace: project.path(),
            ssh_url_to_repo: urls.ssh.to_owned(),
            http_url_to_repo: urls.http.to_owned(),
            web_url: urls.web.to_owned(),
        }
    }
}

/// GitLab's three URLs of a project, as far as they follow from the repository URL; empty if not.
#[derive(Debug, PartialEq, Eq)]
struct RepositoryUrls<'a> {
    ssh: &'a str,
    http: &'a str,
    web: &'a str,
}

impl<'a> RepositoryUrls<'a> {
    fn from_repo_url(repo_url: &'a str) -> Self {
        match repo_url.split_once("://") {
            // Forges serve the web page of a repository at its clone URL, without `.git`.
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
            // Other protocols, such as `git://`, are none of the three.
            Some(_) => Self {
                ssh: "",
                http: "",
                web: "",
            },
        }
    }
}

/// A namespace; `is_user` tells whether it belongs to a user or is a group.
pub(crate) fn namespace(id: i64, name: &str, is_user: bool) -> Namespace {
    Namespace {
        id,
        name: name.to_owned(),
        path: name.to_owned(),
        kind: if is_user { "user" } else { "group" },
    }
}

impl From<&Role> for Access {
    fn from(role: &Role) -> Self {
        Self {
            access_level: access_level(*role),
            notification_level: GLOBAL_NOTIFICATION_LEVEL,
        }
    }
}

/// GitLab's number for a role.
fn access_level(role: Role) -> u8 {
    match role {
        Role::Guest => 10,
        Role::Reader => 20,
        Role::Developer => 30,
        Role::Maintainer => 40,
        Role::Owner => 50,
    }
}

/// The role with one of GitLab's numbers.
pub(crate) fn role_of_level(level: u8) -> Option<Role> {
    let mut all = Role::ALL.iter().copied();
    all.find(|role| access_level(*role) == level)
}

/// GitLab's number for a visibility.
fn visibility_level(visibility: Visibility) -> u8 {
    match visibility {
        Visibility::Private => 0,
        Visibility::Internal => 10,
        Visibility::Public => 20,
    }
}

/// The visibility with one of GitLab's numbers.
pub(crate) fn visibility_of_level(level: u8) -> Option<Visibility> {
    let mut all = Visibility::ALL.iter().copied();
    all.find(|visibility| visibility_level(*visibility) == level)
}

/// A project, as the caller sees it. `runners_token` is given only if the caller may see it.
pub(crate) fn project(
    base_url: &str,
    project: &farm::Project,
    company: &ProjectContext,
    runners_token: Option<String>,
) -> Project {
    let owner = company.owners.get(&project.namespace);
    let own_role = company.own_roles.get(&project.id);
    let namespace_role = company.namespace_roles.get(&project.namespace);
    // A project without builds was last active when it was created.
    let last_build = company.last_builds.get(&project.id).copied();
    Project {
        simple: project.into(),
        // GitLab sends null, not an empty text.
        description: Some(project.description.clone()).filter(|text| !text.is_empty()),
        default_branch: project.default_branch.to_string(),
        tag_list: [],
        public: project.visibility == Visibility::Public,
        archived: false,
        visibility_level: visibility_level(project.visibility),
        owner: owner.map(|owner| user(base_url, owner)),
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
            project_access: own_role.map(Access::from),
            group_access: namespace_role.map(Access::from),
        },
        runners_token,
    }
}

/// A member of a project.
pub(crate) fn member(member: &farm::Member) -> Member {
    Member {
        id: member.user.0,
        username: member.name.to_string(),
        name: member.name.to_string(),
        access_level: access_level(member.role),
    }
}

/// A trigger and its token.
pub(crate) fn trigger(trigger: &farm::Trigger, token: &TriggerToken) -> Trigger {
    // A trigger only changes when it is used or revoked.
    let changed = trigger.revoked_at.or(trigger.last_used_at);
    Trigger {
        token: token.expose().to_owned(),
        created_at: timestamp(trigger.created_at),
        updated_at: timestamp(changed.unwrap_or(trigger.created_at)),
        deleted_at: trigger.revoked_at.map(timestamp),
        last_used: trigger.last_used_at.map(timestamp),
        id: trigger.id.0,
    }
}

/// A variable and its value.
pub(crate) fn variable(variable: &PlainVariable) -> Variable<'_> {
    Variable {
        key: &variable.key,
        value: &variable.value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_urls_follow_from_the_scheme() {
        let urls = |url| {
            let urls = RepositoryUrls::from_repo_url(url);
            (urls.ssh, urls.http, urls.web)
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
    fn roles_and_visibilities_have_gitlabs_numbers() {
        for known in Visibility::ALL {
            assert_eq!(visibility_of_level(visibility_level(*known)), Some(*known));
        }
        assert_eq!(visibility_of_level(5), None);
        let levels: Vec<u8> = Role::ALL.iter().map(|role| access_level(*role)).collect();
        assert_eq!(levels, [10, 20, 30, 40, 50]);
        assert_eq!(role_of_level(40), Some(Role::Maintainer));
        assert_eq!(role_of_level(0), None);
    }
}
