//! Creates, lists and changes namespaces and projects.

use slipway_domain::access::Action;
use slipway_domain::image::{Repository, check_image_path};
use slipway_domain::{GitRef, Name, Role, Submodules, Visibility};
use slipway_store::jobs::Changes;
use slipway_store::projects::{self, Namespace, Project, Settings};
use slipway_store::{Conn, Page, people, pipelines, queue};

use crate::access::authorize::{Actor, NamespaceAccess, ProjectAccess};
use crate::error::FarmError;
use crate::farm::Farm;
use crate::projects::image_repository::RepositoryRule;
use crate::projects::pipelines::first_pipeline;
use crate::projects::repo_url::check_repo_url;

/// The longest description of a project, in bytes.
pub const MAX_DESCRIPTION: usize = 2000;

/// Changes to a project; absent fields stay as they are.
#[derive(Clone, Debug, Default)]
pub struct ProjectUpdate {
    /// The URL of the repository.
    pub repo_url: Option<String>,
    /// The branch whose image is `latest`.
    pub default_branch: Option<GitRef>,
    /// Where images are pushed; `Some(None)` means the registry of the farm.
    pub image_repository: Option<Option<Repository>>,
    /// Whether shared runners may claim its jobs.
    pub shared_runners: Option<bool>,
    /// How many of its jobs may run at the same time; `Some(None)` removes the limit.
    pub max_running: Option<Option<u32>>,
    pub name: Option<Name>,
    pub description: Option<String>,
    /// Who can see the project without being a member.
    pub visibility: Option<Visibility>,
    /// Whether everybody who can see the project can see its builds.
    pub public_builds: Option<bool>,
    /// Whether builds are enabled: jobs run and are shown.
    pub builds_enabled: Option<bool>,
    /// Whether the project is read-only: existing builds are shown, and no changes are accepted.
    pub read_only: Option<bool>,
    /// Which submodules are checked out.
    pub submodules: Option<Submodules>,
}

impl Farm {
    /// Creates a namespace, which the actor owns. Requires a token with the scope admin.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` for a name that cannot be part of an image repository; `Conflict` when the
    /// name is taken.
    pub async fn create_namespace(
        &self,
        actor: &Actor,
        name: &Name,
    ) -> Result<Namespace, FarmError> {
        actor.require(Action::ManageProjects)?;
        check_image_path("namespace name", name)?;
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
    /// `Forbidden` for tokens without the scope namespaces or read.
    pub async fn namespaces(&self, actor: &Actor, page: Page) -> Result<Vec<Namespace>, FarmError> {
        actor.require(Action::ReadNamespaces)?;
        let (user, all) = (actor.user, actor.admin);
        let list = move |conn: &mut Conn| {
            if all {
                projects::list_namespaces(conn, page)
            } else {
                projects::list_namespaces_of(conn, user, page)
            }
        };
        self.read(list).await
    }

    /// Creates a project with its default pipeline. Requires a maintainer of the namespace.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` for a URL that git cannot clone or that contains a password, and for a
    /// name or an image repository that Docker refuses; `Conflict` when the name is taken, and for the
    /// image repository of another project.
    pub async fn create_project(
        &self,
        actor: &Actor,
        access: &NamespaceAccess,
        name: &Name,
        settings: Settings,
    ) -> Result<Project, FarmError> {
        access.require(Role::Maintainer)?;
        check_image_path("project name", name)?;
        check_settings(&settings)?;
        let rule = self.repository_rule();
        if let Some(repository) = &settings.image_repository {
            rule.check_place(access.namespace().name.as_str(), repository)?;
        }
        let (namespace, name, now) = (access.id(), name.clone(), self.now());
        let by = actor.user;
        let from_repository = self.inner.settings.pipelines_from_repository;
        let create = move |conn: &mut Conn| {
            let project = projects::insert(conn, namespace, &name, &settings, by, now)?;
            if let Some(repository) = &settings.image_repository {
                rule.check_free(conn, Some(project.id), repository)?;
            }
            pipelines::insert(conn, &first_pipeline(&project, from_repository), now)?;
            Ok(project)
        };
        let project = self.write(create).await?;
        tracing::info!(project.id = %project.id, "Created project {}", project.path());
        Ok(project)
    }

    /// The projects that the actor may see, newest first.
    ///
    /// # Errors
    /// `Forbidden` for tokens without the scope read.
    pub async fn projects(&self, actor: &Actor, page: Page) -> Result<Vec<Project>, FarmError> {
        actor.require(Action::ReadProjects)?;
        let (user, all) = (actor.user, actor.admin);
        let list = move |conn: &mut Conn| {
            if all {
                projects::list(conn, None, page)
            } else {
                projects::list_visible(conn, user, page)
            }
        };
        self.read(list).await
    }

    /// Changes the settings of a project. Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` and `Conflict` as for [`Farm::create_project`].
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
        // The name of a project from before this rule may stay.
        if let Some(name) = change
            .name
            .as_ref()
            .filter(|name| **name != access.project().name)
        {
            check_image_path("project name", name)?;
        }
        let repository = change.image_repository.as_ref().and_then(Option::as_ref);
        check_image_repository(repository)?;
        let rule = self.repository_rule();
        let is_new = |new: &&Repository| access.project().image_repository.as_ref() != Some(*new);
        // One that the project has had since before this rule may stay.
        let repository = repository.filter(is_new).cloned();
        if let Some(repository) = &repository {
            rule.check_place(access.project().namespace_name.as_str(), repository)?;
        }
        check_max_running(change.max_running.flatten())?;
        check_description(change.description.as_deref().unwrap_or_default())?;
        let update = move |conn: &mut Conn| {
            // Read in the transaction, so that two updates of different fields do not undo each
            // other.
            let old = projects::get(conn, id)?;
            if let Some(repository) = &repository {
                rule.check_free(conn, Some(id), repository)?;
            }
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
        // Jobs that the old settings held back may be free to run now.
        self.announce_changes(Changes {
            pending,
            ..Changes::default()
        })
        .await;
        Ok(project)
    }
}

impl Farm {
    fn repository_rule(&self) -> RepositoryRule {
        let settings = &self.inner.settings;
        RepositoryRule {
            registry: settings.registry.clone(),
            shared: settings.shared_targets.clone(),
        }
    }
}

/// Checks that Docker accepts where images are to be pushed.
fn check_image_repository(repository: Option<&Repository>) -> Result<(), FarmError> {
    repository.map_or(Ok(()), |repository| Ok(repository.check()?))
}

pub(crate) fn check_settings(settings: &Settings) -> Result<(), FarmError> {
    check_repo_url(&settings.repo_url)?;
    check_other_settings(settings)
}

/// Checks everything but the URL of the repository.
pub(crate) fn check_other_settings(settings: &Settings) -> Result<(), FarmError> {
    check_image_repository(settings.image_repository.as_ref())?;
    check_description(&settings.description)?;
    check_max_running(settings.max_running)
}

fn check_description(text: &str) -> Result<(), FarmError> {
    if text.len() > MAX_DESCRIPTION || text.contains('\0') {
        let why =
            format!("a description must have at most {MAX_DESCRIPTION} bytes and no zero byte");
        return Err(FarmError::Invalid(why));
    }
    Ok(())
}

fn check_max_running(limit: Option<u32>) -> Result<(), FarmError> {
    match limit {
        Some(0) => {
            let why = "max_running must be at least 1, or null for no limit".to_owned();
            Err(FarmError::Invalid(why))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_zero_jobs_is_refused() {
        assert!(check_max_running(Some(0)).is_err());
        assert!(check_max_running(Some(1)).is_ok());
        assert!(check_max_running(None).is_ok());
    }
}
