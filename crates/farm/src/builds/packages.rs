//! Builds of packages: an archive or a Dockerfile behind a URL, or in a file that was uploaded.

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha224};
use slipway_domain::package::{BuildPackage, PackageLocation, PackageSource, RequestedPackage};
use slipway_domain::pipeline::Definition;
use slipway_domain::{
    BuildUuid, CommitSha, Event, ImageBuild, JobSpec, NamespaceId, Role, Slug, UploadId,
};
use slipway_store::builds::{self, Build, NewBuild};
use slipway_store::jobs::{self, Changes};
use slipway_store::projects::{Namespace, Project};
use slipway_store::uploads::{self, FileContent, UploadedFile};
use slipway_store::{Conn, StoreError, projects};

use crate::access::authorize::{Actor, NamespaceAccess, ProjectAccess};
use crate::builds::attempts::is_cancelable;
use crate::builds::enqueue::{Enqueued, Uniqueness, build_row};
use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::ending::finish;

/// How many characters of a digest name a package for people.
const SHORT: usize = 7;
/// How long a build of a package may take, in seconds.
const TIMEOUT_S: u32 = 7200;

/// What somebody asks to be built that is not in git.
#[derive(Clone, Debug)]
pub struct PackageRequest {
    /// The URL of a package. It is what is built when there is a file as well.
    pub url: Option<String>,
    /// A file that was uploaded.
    pub upload: Option<UploadId>,
    /// Where in the package the Dockerfile and the context are.
    pub location: PackageLocation,
    /// The tags of the image, made to fit.
    pub tags: Vec<String>,
    /// Who pulls base images: a robot, by the name of its namespace, a plus and its own.
    pub pull_robot: Option<String>,
}

impl Farm {
    /// Makes a build of a package, and queues its job. The first one of a project lets its jobs
    /// run one at a time, unless somebody said how many may run.
    ///
    /// # Errors
    /// `ReadOnly` when the project takes none; `Forbidden` for a pull robot of a namespace that the
    /// actor does not administer, and for a file of another project that it may not build;
    /// `NotFound("pull robot")` for one that does not exist; `NotFound("file")` for a file that is
    /// not there; `TooManyBuilds` when the namespace has as many as it may; `Invalid` without a
    /// source.
    pub async fn create_package_build(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        request: PackageRequest,
    ) -> Result<Build, FarmError> {
        access.require_builds(Role::Developer)?;
        let uuid = self.inner.chance.build_uuid(self.now());
        let pull_login = match &request.pull_robot {
            Some(robot) => Some(self.pull_login(actor, robot, uuid).await?),
            None => None,
        };
        let file = match request.upload {
            Some(id) => Some(self.file_for(actor, access, id).await?),
            None => None,
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
            (None, None) => return Err(FarmError::Invalid("there is no package".to_owned())),
        };
        let package = BuildPackage {
            source,
            location: request.location.clone(),
        };
        let asked = RequestedPackage {
            url: request.url,
            upload: request.upload,
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

    /// What the one job of the build does.
    fn package_definition(
        &self,
        project: &Project,
        package: BuildPackage,
        tags: &[String],
    ) -> Result<Definition, FarmError> {
        let repository = self.repository_of(project)?.ok_or_else(|| {
            FarmError::Invalid("the project's images have nowhere to go".to_owned())
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

    /// A file that a build of a project may use: nobody used it, or the actor may build the project
    /// that did.
    async fn file_for(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        id: UploadId,
    ) -> Result<(UploadId, FileContent), FarmError> {
        let file: UploadedFile = self.upload(id).await?;
        if file.used_at.is_some() && file.used_by != Some(access.id()) {
            const ANOTHERS: FarmError = FarmError::Forbidden("the file is another project's");
            let user = file.used_by.ok_or(ANOTHERS)?;
            match self.project_by_id(actor, user, Role::Developer).await {
                Err(FarmError::NotFound(_)) => return Err(ANOTHERS),
                found => found?,
            };
        }
        let content = file.content.ok_or(FarmError::NotFound("file"))?;
        Ok((id, content))
    }

    /// The builds of a project that were asked for at `since` or later, newest first.
    ///
    /// # Errors
    /// `Forbidden` to those who see the project but not its builds.
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

    /// A build of a project, by its name to the outside.
    ///
    /// # Errors
    /// `NotFound("build")` when there is none of that name anywhere, `NotFound("build here")` when
    /// it is another project's.
    pub async fn build_in(
        &self,
        access: &ProjectAccess,
        uuid: BuildUuid,
    ) -> Result<Build, FarmError> {
        access.require_builds(Role::Reader)?;
        let find = move |conn: &mut Conn| builds::by_uuid(conn, uuid);
        let build = self.read(find).await?;
        match build.project == access.id() {
            true => Ok(build),
            false => Err(FarmError::NotFound("build here")),
        }
    }

    /// Calls a build off, as long as its phase lets anybody.
    ///
    /// # Errors
    /// `Conflict` when it is over, is being pushed, or was lost and is tried again; `Forbidden` to
    /// those who do not maintain the project.
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
                return Err(StoreError::Conflict("the build is running or over"));
            }
            let mut changes = Changes::default();
            for job in attempts {
                // An earlier one of the loop may have taken this one with it.
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

    /// Says how many builds of a namespace may be unfinished before no package is taken.
    /// Administrators do.
    ///
    /// # Errors
    /// `Forbidden` to everybody else.
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
