//! Creates builds of packages: an archive or a Dockerfile at a URL or in an uploaded file.

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha224};
use slipway_domain::package::{BuildPackage, PackageLocation, PackageSource, RequestedPackage};
use slipway_domain::pipeline::Definition;
use slipway_domain::{
    BuildUuid, CommitSha, Event, ImageBuild, JobSpec, NamespaceId, ProjectId, Role, Slug, UploadId,
};
use slipway_store::builds::{self, Build, NewBuild};
use slipway_store::jobs::{self, Changes};
use slipway_store::projects::{Namespace, Project};
use slipway_store::uploads::{self, FileContent, UploadedFile};
use slipway_store::{Conn, StoreError, projects};

use crate::access::authorize::{Actor, NamespaceAccess, ProjectAccess};
use crate::builds::attempts::is_cancelable;
use crate::builds::create::enqueue::{Enqueued, Uniqueness, build_row};
use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::ending::finish;

/// How many characters of a digest are the display name of a package.
const SHORT: usize = 7;
/// The time limit of a package build, in seconds.
const TIMEOUT_S: u32 = 7200;

/// A build of a package to create.
#[derive(Clone, Debug)]
pub struct PackageRequest {
    /// The URL of a package. It takes precedence over an upload.
    pub url: Option<String>,
    /// An uploaded file.
    pub upload: Option<RequestedUpload>,
    /// Where the Dockerfile and the context are in the package.
    pub location: PackageLocation,
    /// The tags of the image, already sanitized.
    pub tags: Vec<String>,
    /// The robot that pulls base images, as `namespace+name`.
    pub pull_robot: Option<String>,
}

/// The uploaded file that a caller names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestedUpload {
    Id(UploadId),
    /// The name is not the id of any file. It is refused when a file would be, and not before.
    Unknown,
}

impl Farm {
    /// Checks what does not depend on the project: the pull robot, and whether the actor may use the
    /// file. For a project that does not exist, these checks come before that answer.
    ///
    /// # Errors
    /// Those of [`Farm::create_package_build`] about the pull robot and the use of the file.
    pub async fn check_package_request(
        &self,
        actor: &Actor,
        request: &PackageRequest,
    ) -> Result<(), FarmError> {
        if let Some(robot) = &request.pull_robot {
            let uuid = self.inner.chance.build_uuid(self.now());
            self.pull_login(actor, robot, uuid).await?;
        }
        let Some(RequestedUpload::Id(id)) = request.upload else {
            return Ok(());
        };
        match self.upload(id).await {
            Ok(file) => self.check_use(actor, &file, None).await,
            Err(FarmError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Creates a build of a package. The first one of a project limits the project to one running job,
    /// unless a limit is set.
    ///
    /// # Errors
    /// `ReadOnly`; `Forbidden` for a pull robot of a namespace that the actor does not maintain, and
    /// for a file of another project that it may not build; `NotFound("pull robot")` and
    /// `NotFound("file")` when these do not exist; `TooManyBuilds` at the limit of the namespace;
    /// `Invalid` without a source.
    pub async fn create_package_build(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        request: PackageRequest,
    ) -> Result<Build, FarmError> {
        access.require_builds(Role::Developer)?;
        // Chosen first, because the login of the robot is sealed for this build.
        let uuid = self.inner.chance.build_uuid(self.now());
        let pull_login = match &request.pull_robot {
            Some(robot) => Some(self.pull_login(actor, robot, uuid).await?),
            None => None,
        };
        let (upload, file) = match request.upload {
            Some(RequestedUpload::Id(id)) => {
                (Some(id), Some(self.file_for(actor, access, id).await?))
            }
            Some(RequestedUpload::Unknown) => return Err(FarmError::NotFound("file")),
            None => (None, None),
        };
        let (source, display_name) = match (&request.url, &file) {
            (Some(url), Some((_, content))) => {
                (PackageSource::Url(url.clone()), short(&content.sha256))
            }
            (Some(url), None) => {
                let digest = hex::encode(Sha224::digest(url));
                (PackageSource::Url(url.clone()), short(&digest))
            }
            (None, Some((id, content))) => (PackageSource::Upload(*id), short(&content.sha256)),
            (None, None) => {
                return Err(FarmError::Invalid(
                    "a build needs a package URL or an uploaded file".to_owned(),
                ));
            }
        };
        let package = BuildPackage {
            source,
            location: request.location.clone(),
            is_directory: false,
        };
        let asked = RequestedPackage {
            url: request.url,
            upload,
            location: request.location,
            tags: request.tags,
            pull_robot: request.pull_robot,
            display_name,
        };
        let definition = self.package_definition(access.project(), package, &asked.tags)?;
        let (project, now) = (access.project().clone(), self.now());
        let pipeline = self.pipeline(access, &Slug::default_pipeline()).await?;
        let new = NewBuild {
            created_by: Some(actor.user),
            package: Some(asked),
            pull_login,
            ..build_row(uuid, &project, pipeline.id, CommitSha::none(), definition)
        };
        let (id, namespace) = (project.id, project.namespace);
        let check_limits = move |conn: &mut Conn| {
            // The lock keeps two requests from both seeing the last free place.
            let namespace = projects::namespace_locked(conn, namespace)?;
            if let Some(limit) = namespace.max_builds
                && builds::count_unfinished(conn, namespace.id)? >= i64::from(limit)
            {
                return Ok(Some(TooMany));
            }
            if !builds::exists_for_package(conn, id)? {
                projects::limit_to_one(conn, id)?;
            }
            Ok(None)
        };
        let record_use = move |conn: &mut Conn, build: &Build| match &file {
            Some((file, content)) => uploads::record_use(conn, *file, content, (id, build.id), now),
            None => Ok(()),
        };
        match self
            .enqueue(
                &project,
                new,
                Uniqueness::Any,
                now,
                check_limits,
                record_use,
            )
            .await?
        {
            Enqueued::Created(build) => Ok(*build),
            Enqueued::Declined(TooMany) => Err(FarmError::TooManyBuilds),
        }
    }

    /// The definition of a package build, with one job.
    fn package_definition(
        &self,
        project: &Project,
        package: BuildPackage,
        tags: &[String],
    ) -> Result<Definition, FarmError> {
        let repository = self.repository_of(project)?.ok_or_else(|| {
            FarmError::Invalid(
                "the project has no image repository, and the farm has no registry".to_owned(),
            )
        })?;
        let mut definition = Definition::single_image();
        for job in &mut definition.jobs {
            job.timeout_s = TIMEOUT_S;
            job.spec = JobSpec::ImageBuild(Box::new(ImageBuild {
                pull: true,
                repository: Some(repository.clone()),
                tags: tags.to_vec(),
                cache_tag: tags.first().cloned(),
                package: Some(package.clone()),
                ..ImageBuild::default()
            }));
        }
        Ok(definition)
    }

    /// A file that a build of a project may use: it was never used, or the actor may build the project
    /// that used it.
    async fn file_for(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        id: UploadId,
    ) -> Result<(UploadId, FileContent), FarmError> {
        let file: UploadedFile = self.upload(id).await?;
        self.check_use(actor, &file, Some(access.id())).await?;
        let content = file.content.ok_or(FarmError::NotFound("file"))?;
        Ok((id, content))
    }

    /// Checks that the actor may use a file for a build of `project`.
    async fn check_use(
        &self,
        actor: &Actor,
        file: &UploadedFile,
        project: Option<ProjectId>,
    ) -> Result<(), FarmError> {
        const FOREIGN: FarmError = FarmError::Forbidden("the file belongs to another project");
        if file.used_at.is_none() || (project.is_some() && file.used_by == project) {
            return Ok(());
        }
        let user = file.used_by.ok_or(FOREIGN)?;
        match self.project_by_id(actor, user, Role::Developer).await {
            Err(FarmError::NotFound(_)) => Err(FOREIGN),
            found => found.map(drop),
        }
    }

    /// The builds of a project that were created at `since` or later, newest first.
    ///
    /// # Errors
    /// `Forbidden` when the actor may not see the builds.
    pub async fn builds_since(
        &self,
        access: &ProjectAccess,
        since: Option<DateTime<Utc>>,
        limit: Option<u32>,
    ) -> Result<Vec<Build>, FarmError> {
        access.require_builds(Role::Reader)?;
        let (project, limit) = (access.id(), limit.map_or(i64::MAX, i64::from));
        let list = move |conn: &mut Conn| builds::created_since(conn, project, since, limit);
        self.read(list).await
    }

    /// A build of a project by its UUID.
    ///
    /// # Errors
    /// `NotFound("build")` when there is no such build, `NotFound("build here")` when it belongs to
    /// another project.
    pub async fn build_in(
        &self,
        access: &ProjectAccess,
        uuid: BuildUuid,
    ) -> Result<Build, FarmError> {
        access.require_builds(Role::Reader)?;
        let find = move |conn: &mut Conn| builds::by_uuid(conn, uuid);
        let build = self.read(find).await?;
        if build.project == access.id() {
            Ok(build)
        } else {
            Err(FarmError::NotFound("build here"))
        }
    }

    /// Cancels a build, as long as its phase allows that. Requires a maintainer.
    ///
    /// # Errors
    /// `Conflict` when the build has ended, is being pushed, or was lost and is retried; `Forbidden`.
    pub async fn cancel_package_build(
        &self,
        access: &ProjectAccess,
        build: &Build,
    ) -> Result<(), FarmError> {
        access.require_builds(Role::Maintainer)?;
        let (id, now, policy) = (build.id, self.now(), self.retry_policy());
        let write = move |conn: &mut Conn| {
            let (build, attempts) = (builds::get(conn, id)?, jobs::of_build(conn, id)?);
            if !is_cancelable(&build, &attempts, now) {
                return Err(StoreError::Conflict("the build is running or has ended"));
            }
            let mut changes = Changes::default();
            for job in attempts {
                // Canceling an earlier job may have ended this one as well.
                if !jobs::get(conn, job.id)?.state.is_done() {
                    changes.extend(finish(conn, job.id, Event::Cancel, None, policy, now)?.1);
                }
            }
            Ok(changes)
        };
        let changes = self.write(write).await?;
        self.announce_changes(changes).await;
        Ok(())
    }

    /// Sets how many builds of a namespace may be unfinished before package builds are refused.
    /// Requires an administrator.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn set_max_builds(
        &self,
        actor: &Actor,
        access: &NamespaceAccess,
        limit: Option<u32>,
    ) -> Result<Namespace, FarmError> {
        self.admin(actor)?;
        let id: NamespaceId = access.id();
        let write = move |conn: &mut Conn| projects::set_max_builds(conn, id, limit);
        self.write(write).await
    }
}

/// The namespace has as many unfinished builds as it may.
struct TooMany;

fn short(digest: &str) -> String {
    digest.chars().take(SHORT).collect()
}
