//! Creates builds of local directories, which are packed and uploaded first.
//!
//! Uploaded sources are stored like other uploads, and expire like them unless a build uses them.

use bytes::Bytes;
use futures_util::Stream;
use slipway_domain::image::Repository;
use slipway_domain::package::{BuildPackage, PackageLocation, PackageSource};
use slipway_domain::pipeline::Definition;
use slipway_domain::{CommitSha, ImageBuild, JobSpec, Role, Slug, UploadId};
use slipway_store::builds::{Build, NewBuild};
use slipway_store::pipelines::Pipeline;
use slipway_store::projects::Project;
use slipway_store::uploads::{self, FileContent, UploadedFile};
use slipway_store::{Conn, pipelines};

use crate::access::authorize::{Actor, ProjectAccess};
use crate::builds::create::completing::{Revision, completed};
use crate::builds::create::enqueue::{Uniqueness, always, build_row};
use crate::error::FarmError;
use crate::farm::Farm;

/// The media type of uploaded sources.
const MIME: &str = "application/gzip";

/// How to build uploaded sources.
#[derive(Clone, Debug)]
pub struct SourceRequest {
    /// The pipeline that the build belongs to. If it has exactly one image build, the tags and the time
    /// limit of that job are used.
    pub pipeline: Slug,
    /// How to build the image. Paths are relative to the root of the sources.
    pub image: Box<ImageBuild>,
    /// Whether to push the image; when absent, it is pushed if there is a repository.
    pub push: Option<bool>,
}

impl Farm {
    /// Stores sources for a build of a project: a gzipped tar. Requires a developer.
    ///
    /// # Errors
    /// `Forbidden`; `TooLarge`; `Invalid` when the upload breaks off.
    pub async fn take_source<S, E>(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        content: S,
    ) -> Result<UploadedFile, FarmError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::error::Error + 'static,
    {
        access.require_builds(Role::Developer)?;
        let upload = self.create_upload(actor, MIME).await?;
        self.fill_upload(upload.id, content).await?;
        self.upload(upload.id).await
    }

    /// Checks a request before sources are uploaded. Returns where the image would be pushed.
    ///
    /// # Errors
    /// Those of [`Farm::build_source`], except those about the sources.
    pub async fn check_source_build(
        &self,
        access: &ProjectAccess,
        request: SourceRequest,
    ) -> Result<Option<Repository>, FarmError> {
        access.require_builds(Role::Developer)?;
        let pipeline = self.pipeline_for_source(access, &request.pipeline).await?;
        let definition = self.source_definition(access.project(), &pipeline, request)?;
        let mut jobs = definition.jobs.into_iter();
        Ok(jobs.find_map(|job| match job.spec {
            JobSpec::ImageBuild(image) => image.repository,
            JobSpec::Script(_) | JobSpec::ImageIndex(_) => None,
        }))
    }

    /// Creates a build of sources that the actor uploaded. Requires a developer.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound("source")` when the actor did not upload them, they expired, or a build
    /// of another project used them; `NotFound("pipeline")`; `Invalid` for an invalid spec, and when
    /// the image is to be pushed but there is no repository.
    pub async fn build_source(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        source: UploadId,
        mut request: SourceRequest,
    ) -> Result<Build, FarmError> {
        access.require_builds(Role::Developer)?;
        let (id, content) = self.own_source(actor, access, source).await?;
        let (project, now) = (access.project().clone(), self.now());
        let pipeline = self.pipeline_for_source(access, &request.pipeline).await?;
        let uuid = self.inner.chance.build_uuid(now);
        // Local sources have no commit to derive a tag from.
        if request.image.tags.is_empty() {
            request.image.tags = vec![format!("build-{uuid}")];
        }
        let mut definition = self.source_definition(&project, &pipeline, request)?;
        for job in &mut definition.jobs {
            if let JobSpec::ImageBuild(image) = &mut job.spec {
                image.package = Some(BuildPackage {
                    source: PackageSource::Upload(id),
                    location: PackageLocation {
                        dockerfile_path: image.dockerfile.clone(),
                        context: image.context.clone(),
                    },
                    is_directory: true,
                });
            }
        }
        let new = NewBuild {
            created_by: Some(actor.user),
            ..build_row(uuid, &project, pipeline.id, CommitSha::none(), definition)
        };
        let project_id = project.id;
        let record_use = move |conn: &mut Conn, build: &Build| {
            uploads::record_use(conn, id, &content, (project_id, build.id), now)
        };
        let created = self
            .enqueue(&project, new, Uniqueness::Any, now, always, record_use)
            .await?;
        Ok(created.build())
    }

    /// The pipeline that a build of sources belongs to.
    async fn pipeline_for_source(
        &self,
        access: &ProjectAccess,
        slug: &Slug,
    ) -> Result<Pipeline, FarmError> {
        let (project, slug) = (access.id(), slug.clone());
        let find = move |conn: &mut Conn| pipelines::by_slug(conn, project, &slug);
        self.read(find).await
    }

    /// Sources that the actor uploaded and no other project has used.
    async fn own_source(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        id: UploadId,
    ) -> Result<(UploadId, FileContent), FarmError> {
        const NONE: FarmError = FarmError::NotFound("source");
        let file = self.upload(id).await.map_err(|error| match error {
            FarmError::NotFound(_) => NONE,
            other => other,
        })?;
        let is_free = file.used_at.is_none() || file.used_by == Some(access.id());
        // Uploads of others look as if they did not exist.
        if file.created_by != actor.user || file.mime != MIME || !is_free {
            return Err(NONE);
        }
        let content = file.content.ok_or(NONE)?;
        Ok((id, content))
    }

    /// The definition of the build, still without the sources.
    fn source_definition(
        &self,
        project: &Project,
        pipeline: &Pipeline,
        request: SourceRequest,
    ) -> Result<Definition, FarmError> {
        let (mut image, push) = (*request.image, request.push);
        let repository = match push {
            Some(false) => None,
            Some(true) | None => self.repository_of(project)?,
        };
        if push == Some(false) {
            image.repository = None;
        }
        if push == Some(true) && image.repository.is_none() && repository.is_none() {
            return Err(FarmError::Invalid(
                "the image cannot be pushed: the project has no image repository, and the farm has no registry"
                    .to_owned(),
            ));
        }
        let mut definition = Definition::single_image();
        let mut own = pipeline
            .definition
            .jobs
            .iter()
            .filter(|job| matches!(job.spec, JobSpec::ImageBuild(_)));
        let own = own.next().filter(|_| own.next().is_none());
        for job in &mut definition.jobs {
            if let Some(own) = own {
                job.tags = own.tags.clone();
                job.timeout_s = own.timeout_s;
            }
            job.spec = JobSpec::ImageBuild(Box::new(image.clone()));
        }
        let (sha, repository) = (CommitSha::none(), repository.as_ref());
        let at = Revision {
            sha: &sha,
            git_ref: None,
            ref_is_tag: false,
        };
        let targets = self.push_targets(project)?;
        completed(definition, project, repository, &targets, at)
    }
}
