//! The pipelines of a project.

use slipway_domain::pipeline::Definition;
use slipway_domain::{ProjectId, Role, Slug};
use slipway_store::pipelines::{self, NewPipeline, Pipeline};
use slipway_store::projects::Project;
use slipway_store::{Conn, StoreError};

use crate::access::authorize::ProjectAccess;
use crate::error::FarmError;
use crate::farm::Farm;

/// What a pipeline is to run from now on; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct PipelineChange {
    /// Its jobs, or those for commits whose repository has none.
    pub definition: Option<Definition>,
    /// Whether the jobs come from the repository at the commit; not when a definition is given and
    /// nothing said of this.
    pub from_repository: Option<bool>,
}

impl From<Definition> for PipelineChange {
    fn from(definition: Definition) -> Self {
        Self {
            definition: Some(definition),
            from_repository: None,
        }
    }
}

impl Farm {
    /// The pipelines of a project, by slug.
    ///
    /// # Errors
    /// None of its own.
    pub async fn pipelines(&self, access: &ProjectAccess) -> Result<Vec<Pipeline>, FarmError> {
        let id = access.id();
        let list = move |conn: &mut Conn| pipelines::of_project(conn, id);
        self.read(list).await
    }

    /// One pipeline of a project.
    ///
    /// # Errors
    /// `NotFound` when there is none of that slug.
    pub async fn pipeline(
        &self,
        access: &ProjectAccess,
        slug: &Slug,
    ) -> Result<Pipeline, FarmError> {
        let (id, slug) = (access.id(), slug.clone());
        let find = move |conn: &mut Conn| pipelines::by_slug(conn, id, &slug);
        self.read(find).await
    }

    /// Adds a pipeline to a project. Maintainers do.
    ///
    /// # Errors
    /// `Forbidden` to lower roles; `Invalid` for a definition that cannot run; `Conflict` when the
    /// slug is taken.
    pub async fn create_pipeline(
        &self,
        access: &ProjectAccess,
        slug: &Slug,
        change: impl Into<PipelineChange>,
    ) -> Result<Pipeline, FarmError> {
        access.require(Role::Maintainer)?;
        let new = change.into().checked()?.made(access.id(), slug.clone());
        let now = self.now();
        let insert = move |conn: &mut Conn| pipelines::insert(conn, &new, now);
        self.write(insert).await
    }

    /// Changes what a pipeline runs, or adds it; builds that exist keep what they have. Whoever
    /// gives a definition means it: the repository is not read any more, unless they say so.
    /// Maintainers do.
    ///
    /// # Errors
    /// `Forbidden` to lower roles; `Invalid` for a definition that cannot run.
    pub async fn put_pipeline(
        &self,
        access: &ProjectAccess,
        slug: &Slug,
        change: impl Into<PipelineChange>,
    ) -> Result<Pipeline, FarmError> {
        access.require(Role::Maintainer)?;
        let change = change.into().checked()?;
        let (id, slug, now) = (access.id(), slug.clone(), self.now());
        let put = move |conn: &mut Conn| match pipelines::by_slug(conn, id, &slug) {
            Ok(old) => {
                let from_repository = change.reads_repository(old.from_repository);
                let definition = change.definition.as_ref().unwrap_or(&old.definition);
                pipelines::update(conn, old.id, definition, from_repository)
            }
            Err(StoreError::NotFound(_)) => {
                pipelines::insert(conn, &change.clone().made(id, slug.clone()), now)
            }
            Err(other) => Err(other),
        };
        self.write(put).await
    }
}

impl PipelineChange {
    /// Refuses what cannot run, and what says nothing.
    fn checked(self) -> Result<Self, FarmError> {
        match (&self.definition, self.from_repository) {
            (Some(definition), _) => definition.check()?,
            (None, Some(_)) => {}
            (None, None) => {
                let why = "a pipeline needs a definition, or from_repository".to_owned();
                return Err(FarmError::Invalid(why));
            }
        }
        Ok(self)
    }

    fn reads_repository(&self, before: bool) -> bool {
        let unsaid = before && self.definition.is_none();
        self.from_repository.unwrap_or(unsaid)
    }

    fn made(self, project: ProjectId, slug: Slug) -> NewPipeline {
        let from_repository = self.reads_repository(false);
        NewPipeline {
            project,
            slug,
            definition: self.definition.unwrap_or_else(Definition::single_image),
            from_repository,
        }
    }
}

/// The pipeline that every project has from its beginning.
pub(crate) fn first_pipeline(project: &Project, from_repository: bool) -> NewPipeline {
    NewPipeline {
        project: project.id,
        slug: Slug::default_pipeline(),
        definition: Definition::single_image(),
        from_repository,
    }
}
