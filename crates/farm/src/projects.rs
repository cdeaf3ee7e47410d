//! Namespaces, and the projects in them.

use slipway_domain::image::Repository;
use slipway_domain::names::Invalid;
use slipway_domain::{GitRef, Name, Role, Scope, Submodules, Visibility};
use slipway_store::jobs::Changes;
use slipway_store::projects::{self, Namespace, Project, Settings};
use slipway_store::{Conn, Page, people, pipelines, queue};
use url::Url;

use crate::pipelines::first_pipeline;
use crate::{Actor, Farm, FarmError, NamespaceAccess, ProjectAccess};

/// The longest description of a project, in bytes.
const MAX_DESCRIPTION: usize = 2000;

/// What is changed about a project; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct ProjectUpdate {
    /// Where its source is.
    pub repo_url: Option<String>,
    /// The branch whose image is `latest`.
    pub default_branch: Option<GitRef>,
    /// Where its images are pushed; `Some(None)` leaves that to the farm's registry.
    pub image_repository: Option<Option<Repository>>,
    /// Whether shared runners may take its jobs.
    pub shared_runners: Option<bool>,
    /// How many of its jobs may run at once; `Some(None)` lifts the limit.
    pub max_running: Option<Option<u32>>,
    /// Its name.
    pub name: Option<Name>,
    /// What people say of it.
    pub description: Option<String>,
    /// Who sees it without being a member.
    pub visibility: Option<Visibility>,
    /// Whether all who see it see its builds too.
    pub public_builds: Option<bool>,
    /// Whether its jobs are run and shown at all.
    pub builds_enabled: Option<bool>,
    /// Whether it takes no builds, and those there are can only be looked at.
    pub read_only: Option<bool>,
    /// Which submodules are checked out with its commits.
    pub submodules: Option<Submodules>,
}

impl Farm {
    /// Makes a namespace; its maker becomes its owner. Everybody may, with the scope admin.
    ///
    /// # Errors
    /// `Forbidden` to lesser tokens; `Conflict` when the name is taken.
    pub async fn create_namespace(
        &self,
        actor: &Actor,
        name: &Name,
    ) -> Result<Namespace, FarmError> {
        actor.require_scope(Scope::Admin)?;
        let (name, user, now) = (name.clone(), actor.user, self.now());
        let create = move |conn: &mut Conn| {
            let namespace = projects::insert_namespace(conn, &name, now)?;
            people::set_namespace_member(conn, namespace.id, user, Role::Owner)?;
            Ok(namespace)
        };
        Ok(self.inner.store.write(create).await?)
    }

    /// The namespaces that the actor is a member of, newest first; all for administrators.
    ///
    /// # Errors
    /// None of its own.
    pub async fn namespaces(&self, actor: &Actor, page: Page) -> Result<Vec<Namespace>, FarmError> {
        if !actor.scopes().includes(Scope::Namespaces) {
            actor.require_scope(Scope::Read)?;
        }
        let (user, all) = (actor.user, actor.admin);
        let list = move |conn: &mut Conn| match all {
            true => projects::list_namespaces(conn, page),
            false => projects::list_namespaces_of(conn, user, page),
        };
        Ok(self.inner.store.read(list).await?)
    }

    /// Makes a project with its default pipeline. Maintainers of the namespace do.
    ///
    /// # Errors
    /// `Forbidden` to lower roles; `Invalid` for a source that cannot be cloned or that has a
    /// password in it; `Conflict` when the name is taken.
    pub async fn create_project(
        &self,
        actor: &Actor,
        access: &NamespaceAccess,
        name: &Name,
        settings: Settings,
    ) -> Result<Project, FarmError> {
        access.require(Role::Maintainer)?;
        check_settings(&settings)?;
        let (namespace, name, now) = (access.id(), name.clone(), self.now());
        let by = actor.user;
        let from_repository = self.inner.settings.pipelines_from_repository;
        let create = move |conn: &mut Conn| {
            let project = projects::insert(conn, namespace, &name, &settings, by, now)?;
            pipelines::insert(conn, &first_pipeline(&project, from_repository), now)?;
            Ok(project)
        };
        let project = self.inner.store.write(create).await?;
        tracing::info!(project.id = %project.id, "Project {} is made", project.path());
        Ok(project)
    }

    /// The projects that the actor may see, newest first.
    ///
    /// # Errors
    /// None of its own.
    pub async fn projects(&self, actor: &Actor, page: Page) -> Result<Vec<Project>, FarmError> {
        actor.require_scope(Scope::Read)?;
        let (user, all) = (actor.user, actor.admin);
        let list = move |conn: &mut Conn| match all {
            true => projects::list(conn, None, page),
            false => projects::list_visible(conn, user, page),
        };
        Ok(self.inner.store.read(list).await?)
    }

    /// Changes a project's settings. Maintainers do.
    ///
    /// # Errors
    /// `Forbidden` to lower roles; `Invalid` as for [`Farm::create_project`].
    pub async fn update_project(
        &self,
        access: &ProjectAccess,
        change: ProjectUpdate,
    ) -> Result<Project, FarmError> {
        access.require(Role::Maintainer)?;
        let id = access.id();
        if let Some(url) = &change.repo_url {
            check_repo_url(url)?;
        }
        check_max_running(change.max_running.flatten())?;
        check_description(change.description.as_deref().unwrap_or_default())?;
        let update = move |conn: &mut Conn| {
            let old = projects::get(conn, id)?;
            let change = change.clone();
            let settings = Settings {
                repo_url: change.repo_url.unwrap_or(old.repo_url),
                default_branch: change.default_branch.unwrap_or(old.default_branch),
                image_repository: change.image_repository.unwrap_or(old.image_repository),
                shared_runners: change.shared_runners.unwrap_or(old.shared_runners),
                max_running: change.max_running.unwrap_or(old.max_running),
                description: change.description.unwrap_or(old.description),
                visibility: change.visibility.unwrap_or(old.visibility),
                public_builds: change.public_builds.unwrap_or(old.public_builds),
                builds_enabled: change.builds_enabled.unwrap_or(old.builds_enabled),
                submodules: change.submodules.unwrap_or(old.submodules),
            };
            let name = change.name.unwrap_or(old.name);
            if let Some(read_only) = change.read_only {
                projects::set_read_only(conn, id, read_only)?;
            }
            let project = projects::update(conn, id, &name, &settings)?;
            Ok((project, queue::pending_keys(conn, id)?))
        };
        let (project, pending) = self.inner.store.write(update).await?;
        // What was held back so far may be free to run now.
        self.publish(Changes {
            pending,
            ..Changes::default()
        })
        .await;
        Ok(project)
    }
}

pub(crate) fn check_settings(settings: &Settings) -> Result<(), FarmError> {
    check_repo_url(&settings.repo_url)?;
    check_description(&settings.description)?;
    check_max_running(settings.max_running)
}

fn check_description(text: &str) -> Result<(), FarmError> {
    if text.len() > MAX_DESCRIPTION || text.contains('\0') {
        let why =
            format!("a description has at most {MAX_DESCRIPTION} bytes and none that is zero");
        return Err(FarmError::Invalid(why));
    }
    Ok(())
}

fn check_max_running(limit: Option<u32>) -> Result<(), FarmError> {
    match limit {
        Some(0) => {
            let why = "max_running is at least 1, or null for no limit".to_owned();
            Err(FarmError::Invalid(why))
        }
        _ => Ok(()),
    }
}

/// Checks that git can be told to clone `text`, and that no secret is kept in it.
pub(crate) fn check_repo_url(text: &str) -> Result<(), FarmError> {
    let expected = "a URL that begins with https://, http://, ssh:// or git://, or USER@HOST:PATH";
    let invalid = || FarmError::from(Invalid::new("repo_url", text, expected));
    let plain = !text.is_empty()
        && text.len() <= 2000
        && !text.starts_with('-')
        && !text.contains(|c: char| c.is_control() || c.is_whitespace());
    if !plain {
        return Err(invalid());
    }
    if !text.contains("://") {
        return if is_scp_form(text) {
            Ok(())
        } else {
            Err(invalid())
        };
    }
    let url = Url::parse(text).map_err(|_| invalid())?;
    let known = matches!(url.scheme(), "http" | "https" | "ssh" | "git");
    // Over HTTP a user name alone is as good as always a token.
    let secret = url.password().is_some()
        || (matches!(url.scheme(), "http" | "https") && !url.username().is_empty());
    if secret {
        // The URL itself is left out of the answer: it has a secret in it.
        let why = "repo_url must not have a user or a password in it, as all who see the project \
                   see it: give the plain URL";
        return Err(FarmError::Invalid(why.to_owned()));
    }
    match url.host_str() {
        Some(host) if known && !host.starts_with('-') => Ok(()),
        _ => Err(invalid()),
    }
}

/// `user@host:path`, as ssh's copy program has it and git takes it too.
fn is_scp_form(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    match text.split_once(':') {
        Some((place, path)) => match place.split_once('@') {
            Some((user, host)) => {
                word(user) && word(host) && !path.is_empty() && !path.starts_with('-')
            }
            None => false,
        },
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_url_that_git_clones() {
        for good in [
            "https://git.example/acme/api.git",
            "http://127.0.0.1:3000/acme/api",
            "ssh://git@git.example:2222/acme/api",
            "git://git.example/api",
            "git@git.example:acme/api.git",
        ] {
            assert!(check_repo_url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "api",
            "/srv/git/api",
            "file:///srv/git/api",
            "ext::sh -c id",
            "ext://sh",
            "--upload-pack=id",
            "-oProxyCommand=id@h:p",
            "git@-oProxyCommand=id:p",
            "ssh://-oProxyCommand=id/p",
            "https://",
            "https://git.example/a b",
            "https://git.example/a\n",
        ] {
            assert!(check_repo_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_source_keeps_no_secret_and_the_refusal_does_not_repeat_it() {
        for bad in [
            "https://me:hunter2@git.example/a",
            "https://hunter2@git.example/a",
        ] {
            let error = check_repo_url(bad).unwrap_err().to_string();
            assert!(
                error.contains("plain URL") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_limit_of_no_jobs_at_all_is_refused() {
        assert!(check_max_running(Some(0)).is_err());
        assert!(check_max_running(Some(1)).is_ok());
        assert!(check_max_running(None).is_ok());
    }
}
