//! Pipelines that are named within a whole namespace, and namespaces named after a title.

use chrono::{DateTime, Utc};
use slipway_domain::access::Action;
use slipway_domain::names::{check_line, slugify};
use slipway_domain::{Name, Role, Slug};
use slipway_store::pipelines::{self, Pipeline};
use slipway_store::projects::{self, Namespace, Project, Settings};
use slipway_store::{Conn, StoreError, people};

use crate::access::authorize::{Actor, NamespaceAccess, ProjectAccess};
use crate::error::FarmError;
use crate::farm::Farm;
use crate::projects::manage::check_other_settings;
use crate::projects::pipelines::first_pipeline;
use crate::projects::repo_url::check_repository_name;

/// The longest title or description of a pipeline, in bytes.
const MAX_TEXT: usize = 2000;

/// A pipeline to create together with its project.
#[derive(Clone, Debug)]
pub struct NewNamespacePipeline {
    /// The title. Its slug becomes the name of the project.
    pub title: String,
    pub description: Option<String>,
    /// The repository as `owner/name`; taken from the URL when absent.
    pub repo_name: Option<String>,
    /// The settings of the project. Its repository is any text: only builds that are submitted with
    /// their sources can run unless it is a URL.
    pub settings: Settings,
}

/// Changes to a pipeline besides its jobs; absent fields stay as they are.
#[derive(Clone, Debug, Default)]
pub struct PipelineUpdate {
    pub title: Option<String>,
    /// `Some(None)` removes the description.
    pub description: Option<Option<String>>,
    /// The repository as `owner/name`.
    pub repo_name: Option<Option<String>>,
    /// The name of the pipeline inside its repository.
    pub source_slug: Option<Option<String>>,
    /// Whether people may start builds by hand.
    pub allow_manual: Option<bool>,
    pub archived: Option<bool>,
}

impl Farm {
    /// The namespaces that the actor is a member of, oldest first, after the one with the id `after`.
    ///
    /// # Errors
    /// `Forbidden` for tokens without the scope namespaces or read.
    pub async fn own_namespaces(
        &self,
        actor: &Actor,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Namespace>, FarmError> {
        actor.require(Action::ReadNamespaces)?;
        let user = actor.user;
        let list =
            move |conn: &mut Conn| projects::list_namespaces_of_after(conn, user, after, limit);
        self.read(list).await
    }

    /// Creates a namespace named after a title, with a number appended if the name is taken. The
    /// actor owns it.
    ///
    /// # Errors
    /// `Forbidden` for tokens without the scope admin; `Invalid` when the title yields no name.
    pub async fn create_titled_namespace(
        &self,
        actor: &Actor,
        text: &str,
    ) -> Result<Namespace, FarmError> {
        actor.require(Action::ManageProjects)?;
        let plain = slugify(text);
        plain.parse::<Name>()?;
        let (user, now) = (actor.user, self.now());
        let create = move |conn: &mut Conn| {
            // The search ends where the name gets too long to be valid.
            let numbered = (2..).map(|number| format!("{plain}-{number}"));
            for text in std::iter::once(plain.clone()).chain(numbered) {
                let Ok(name) = text.parse::<Name>() else {
                    break;
                };
                match projects::namespace_by_name(conn, &name) {
                    Ok(_) => {}
                    Err(StoreError::NotFound(_)) => {
                        let namespace = projects::insert_namespace(conn, &name, now)?;
                        people::set_namespace_member(conn, namespace.id, user, Role::Owner)?;
                        return Ok(namespace);
                    }
                    Err(error) => return Err(error),
                }
            }
            Err(StoreError::Conflict("the name is taken"))
        };
        self.write(create).await
    }

    /// A pipeline by its slug in a namespace, archived or not.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn namespace_pipeline(
        &self,
        actor: &Actor,
        namespace: &NamespaceAccess,
        slug: &str,
    ) -> Result<(ProjectAccess, Pipeline), FarmError> {
        let (id, slug) = (namespace.id(), slug.to_owned());
        let find = move |conn: &mut Conn| pipelines::by_wide_slug(conn, id, &slug);
        self.wide_pipeline_found_by(actor, find).await
    }

    /// The oldest pipeline of a namespace that is named `source_slug` inside the repository
    /// `repo_name`; case is ignored.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn pipeline_of_source(
        &self,
        actor: &Actor,
        namespace: &NamespaceAccess,
        repo_name: &str,
        source_slug: &str,
    ) -> Result<(ProjectAccess, Pipeline), FarmError> {
        let id = namespace.id();
        let (repo_name, source_slug) = (repo_name.to_lowercase(), source_slug.to_owned());
        let find = move |conn: &mut Conn| pipelines::by_source(conn, id, &repo_name, &source_slug);
        self.wide_pipeline_found_by(actor, find).await
    }

    async fn wide_pipeline_found_by(
        &self,
        actor: &Actor,
        find: impl FnOnce(&mut Conn) -> Result<Pipeline, StoreError> + Send + 'static,
    ) -> Result<(ProjectAccess, Pipeline), FarmError> {
        let pipeline = self.read(find).await?;
        let access = self.project_by_id(actor, pipeline.project, Role::Reader);
        Ok((access.await?, pipeline))
    }

    /// The pipelines of a namespace that are not archived, oldest first, after the one with the id
    /// `after`.
    pub async fn pipelines_in(
        &self,
        namespace: &NamespaceAccess,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(Pipeline, Project)>, FarmError> {
        let id = namespace.id();
        let list = move |conn: &mut Conn| {
            let mut listed = Vec::new();
            for pipeline in pipelines::of_namespace(conn, id, after, limit)? {
                let project = projects::get(conn, pipeline.project)?;
                listed.push((pipeline, project));
            }
            Ok(listed)
        };
        self.read(list).await
    }

    /// Creates a pipeline together with a project of its name. Requires a developer of the namespace.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` for invalid texts or settings; `Conflict` when the name is taken.
    pub async fn create_namespace_pipeline(
        &self,
        actor: &Actor,
        namespace: &NamespaceAccess,
        new: NewNamespacePipeline,
    ) -> Result<(Pipeline, Project), FarmError> {
        namespace.require(Role::Developer)?;
        check_repository_name(&new.settings.repo_url)?;
        check_other_settings(&new.settings)?;
        let name: Name = slugify(&new.title).parse()?;
        let derived = || {
            let name = repo_name_of(&new.settings.repo_url)?;
            check_line("name in a repository", &name)
                .is_ok()
                .then_some(name)
        };
        let repo_name = new.repo_name.or_else(derived);
        let update = PipelineUpdate {
            title: Some(new.title),
            description: Some(new.description),
            repo_name: Some(repo_name),
            ..PipelineUpdate::default()
        };
        update.check()?;
        let (id, by, now) = (namespace.id(), actor.user, self.now());
        let from_repository = self.inner.settings.pipelines_from_repository;
        let create = move |conn: &mut Conn| {
            match pipelines::by_wide_slug(conn, id, name.as_str()) {
                Ok(_) => return Err(StoreError::Conflict("the name is taken")),
                Err(StoreError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
            let project = projects::insert(conn, id, &name, &new.settings, by, now)?;
            let made = pipelines::insert(conn, &first_pipeline(&project, from_repository), now)?;
            Ok((pipelines::describe(conn, &update.of(made, now))?, project))
        };
        let (pipeline, project) = self.write(create).await?;
        tracing::info!(project.id = %project.id, "Created project {}", project.path());
        Ok((pipeline, project))
    }

    /// Changes a pipeline besides its jobs. Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` for invalid texts; `NotFound`.
    pub async fn describe_pipeline(
        &self,
        access: &ProjectAccess,
        slug: &Slug,
        update: PipelineUpdate,
    ) -> Result<Pipeline, FarmError> {
        access.require(Role::Maintainer)?;
        update.check()?;
        let (id, slug, now) = (access.id(), slug.clone(), self.now());
        let describe = move |conn: &mut Conn| {
            let old = pipelines::by_slug(conn, id, &slug)?;
            pipelines::describe(conn, &update.of(old, now))
        };
        self.write(describe).await
    }
}

impl PipelineUpdate {
    fn check(&self) -> Result<(), FarmError> {
        if let Some(title) = &self.title {
            check_line("name of a pipeline", title)?;
            if title.trim().is_empty() {
                return Err(FarmError::Invalid("a pipeline must have a name".to_owned()));
            }
        }
        for text in [&self.repo_name, &self.source_slug].into_iter().flatten() {
            check_line("name in a repository", text.as_deref().unwrap_or_default())?;
        }
        let description = self.description.iter().flatten().next();
        if description.is_some_and(|text| text.len() > MAX_TEXT || text.contains('\0')) {
            return Err(FarmError::Invalid(format!(
                "a description must have at most {MAX_TEXT} bytes and no zero byte"
            )));
        }
        Ok(())
    }

    fn of(&self, old: Pipeline, now: DateTime<Utc>) -> Pipeline {
        let change = self.clone();
        let repo_name = change.repo_name.unwrap_or(old.repo_name);
        Pipeline {
            title: change.title.unwrap_or(old.title),
            description: change.description.unwrap_or(old.description),
            repo_name: repo_name.map(|name| name.to_lowercase()),
            source_slug: change.source_slug.unwrap_or(old.source_slug),
            allow_manual: change.allow_manual.unwrap_or(old.allow_manual),
            archived_at: match change.archived {
                Some(true) => Some(old.archived_at.unwrap_or(now)),
                Some(false) => None,
                None => old.archived_at,
            },
            ..old
        }
    }
}

/// The last two parts of the path in the URL of a repository: `owner/name`.
fn repo_name_of(url: &str) -> Option<String> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map(|(_, path)| path)?,
        None => url.split_once(':').map_or(url, |(_, path)| path),
    };
    let path = path.trim_end_matches('/').trim_end_matches(".git");
    let mut parts = path.rsplit('/').filter(|part| !part.is_empty());
    let name = parts.next()?;
    Some(match parts.next() {
        Some(owner) => format!("{owner}/{name}"),
        None => name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_name_is_the_end_of_the_url() {
        for (address, name) in [
            ("https://h/acme/core.git", Some("acme/core")),
            ("https://h/x/acme/core/", Some("acme/core")),
            ("git@h:acme/core.git", Some("acme/core")),
            ("ssh://git@h:2222/acme/core", Some("acme/core")),
            ("https://h/core", Some("core")),
            ("https://h", None),
            ("acme/core", Some("acme/core")),
            ("", None),
        ] {
            assert_eq!(repo_name_of(address).as_deref(), name, "{address}");
        }
    }
}
