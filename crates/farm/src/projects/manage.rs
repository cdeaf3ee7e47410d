//! Namespaces, and the projects in them.

use slipway_domain::image::Repository;
use slipway_domain::{GitRef, Name, Role, Scope, Submodules, Visibility};
use slipway_store::jobs::Changes;
use slipway_store::projects::{self, Namespace, Project, Settings};
use slipway_store::{Conn, Page, people, pipelines, queue};

use crate::access::authorize::{Actor, NamespaceAccess, ProjectAccess};
use crate::error::FarmError;
use crate::farm::Farm;
use crate::projects::pipelines::first_pipeline;
use crate::projects::repo_url::check_repo_url;

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
        self.write(create).await
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
        self.read(list).await
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
        let project = self.write(create).await?;
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
        self.read(list).await
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
        let (project, pending) = self.write(update).await?;
        // What was held back so far may be free to run now.
        self.announce_changes(Changes {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_no_jobs_at_all_is_refused() {
        assert!(check_max_running(Some(0)).is_err());
        assert!(check_max_running(Some(1)).is_ok());
        assert!(check_max_running(None).is_ok());
    }
}
