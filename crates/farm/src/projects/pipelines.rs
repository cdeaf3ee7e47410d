//! Pipelines of a project.

use slipway_domain::pipeline::Definition;
use slipway_domain::{ProjectId, Role, Slug};
use slipway_store::pipelines::{self, NewPipeline, Pipeline};
use slipway_store::projects::Project;
use slipway_store::{Conn, StoreError};

use crate::access::authorize::ProjectAccess;
use crate::error::FarmError;
use crate::farm::Farm;

/// What a pipeline runs from now on; absent fields stay as they are.
#[derive(Clone, Debug, Default)]
pub struct PipelineChange {
    /// The jobs, or the ones for commits without a definition in the repository.
    pub definition: Option<Definition>,
    /// Whether the repository is read for a definition at the commit. When absent, a `definition`
    /// turns this off.
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
    pub async fn pipelines(&self, access: &ProjectAccess) -> Result<Vec<Pipeline>, FarmError> {
        let id = access.id();
        let list = move |conn: &mut Conn| pipelines::of_project(conn, id);
        self.read(list).await
    }

    /// One pipeline of a project.
    ///
    /// # Errors
    /// `NotFound` when the project has no such pipeline.
    pub async fn pipeline(
        &self,
        access: &ProjectAccess,
        slug: &Slug,
    ) -> Result<Pipeline, FarmError> {
        let (id, slug) = (access.id(), slug.clone());
        let find = move |conn: &mut Conn| pipelines::by_slug(conn, id, &slug);
        self.read(find).await
    }

    /// Creates a pipeline of a project. Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` for an invalid definition; `Conflict` when the slug is taken.
    pub async fn create_pipeline(
        &self,
        access: &ProjectAccess,
        slug: &Slug,
        change: impl Into<PipelineChange>,
    ) -> Result<Pipeline, FarmError> {
        access.require(Role::Maintainer)?;
        let new = change.into().checked()?.into_row(access.id(), slug.clone());
        let now = self.now();
        let insert = move |conn: &mut Conn| pipelines::insert(conn, &new, now);
        self.write(insert).await
    }

    /// Changes what a pipeline runs, or creates it. Existing builds stay as they are. A definition
    /// without `from_repository` is used from then on, and the repository is no longer read. Requires
    /// a maintainer.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` for an invalid definition.
    pub async fn put_pipeline(
        &self,
        access: &ProjectAccess,
        slug: &Slug,
        change: impl Into<PipelineChange>,
    ) -> Result<Pipeline, FarmError> {
        access.require(Role::Maintainer)?;
        let change = change.into().checked()?;
        let (id, slug, now) = (access.id(), slug.clone(), self.now());
        // Looked up in the transaction, because another request may create the pipeline at the
        // same time.
        let put = move |conn: &mut Conn| match pipelines::by_slug(conn, id, &slug) {
            Ok(old) => {
                let from_repository = change.reads_repository(old.from_repository);
                let definition = change.definition.as_ref().unwrap_or(&old.definition);
                pipelines::update(conn, old.id, definition, from_repository)
            }
            Err(StoreError::NotFound(_)) => {
                pipelines::insert(conn, &change.clone().into_row(id, slug.clone()), now)
            }
            Err(other) => Err(other),
        };
        self.write(put).await
    }
}

impl PipelineChange {
    /// Refuses invalid definitions and changes without any field.
    fn checked(self) -> Result<Self, FarmError> {
        match (&self.definition, self.from_repository) {
            (Some(definition), _) => definition.check()?,
            (None, Some(_)) => {}
            (None, None) => {
                let why = "a pipeline needs a definition or from_repository".to_owned();
                return Err(FarmError::Invalid(why));
            }
        }
        Ok(self)
    }

    fn reads_repository(&self, before: bool) -> bool {
        let default = before && self.definition.is_none();
        self.from_repository.unwrap_or(default)
    }

    fn into_row(self, project: ProjectId, slug: Slug) -> NewPipeline {
        let from_repository = self.reads_repository(false);
        NewPipeline {
            project,
            slug,
            definition: self.definition.unwrap_or_else(Definition::single_image),
            from_repository,
        }
    }
}

/// The pipeline that every new project has.
pub(crate) fn first_pipeline(project: &Project, from_repository: bool) -> NewPipeline {
    NewPipeline {
        project: project.id,
        slug: Slug::default_pipeline(),
        definition: Definition::single_image(),
        from_repository,
    }
}
