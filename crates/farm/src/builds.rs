//! Builds: asked for, looked at, called off, tried again.

use slipway_domain::image::Repository;
use slipway_domain::{
    BuildId, BuildUuid, CommitSha, Event, GitRef, JobId, JobState, ProjectId, Role, Slug,
    TriggerId, UserId,
};
use slipway_git::{GitError, RemoteUrl, Wanted};
use slipway_store::builds::{self, Build, Filter, NewBuild, Submission};
use slipway_store::jobs::{self, Job};
use slipway_store::projects::Project;
use slipway_store::retries::{self, Cause};
use slipway_store::{Page, StoreError, artifacts, pipelines, traces, triggers};

use crate::access::{Actor, ProjectAccess};
use crate::completing::Revision;
use crate::definitions::{jobs_or_error, source_error};
use crate::report::{end_together, finish};
use crate::secrets::BuildVariables;
use crate::{Farm, FarmError};

/// What somebody asks to be built.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// Which pipeline of the project.
    pub pipeline: Slug,
    /// The commit; the one that `git_ref` points to when absent.
    pub sha: Option<CommitSha>,
    /// The branch or tag; the project's default branch when both are absent.
    pub git_ref: Option<GitRef>,
}

/// Who or what has a build made.
pub(crate) enum BuildCause {
    /// A user who asked for it.
    Person(UserId),
    /// A trigger, in the name of the user who made it.
    Trigger {
        id: TriggerId,
        by: UserId,
        variables: BuildVariables,
    },
}

impl Farm {
    /// Makes a build of a commit, and queues its jobs.
    ///
    /// # Errors
    /// `Invalid` when the repository has no such ref, `NotFound` without such a pipeline.
    pub async fn create_build(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        request: BuildRequest,
    ) -> Result<Build, FarmError> {
        access.require_builds(Role::Developer)?;
        let cause = BuildCause::Person(actor.user);
        self.make_build(access.project().clone(), cause, request)
            .await
    }

    /// Makes a build for whoever may have one made.
    pub(crate) async fn make_build(
        &self,
        project: Project,
        cause: BuildCause,
        request: BuildRequest,
    ) -> Result<Build, FarmError> {
        let (project_id, slug) = (project.id, request.pipeline.clone());
        let pipeline = self
            .inner
            .store
            .read(move |conn| pipelines::by_slug(conn, project_id, &slug))
            .await?;
        let (sha, git_ref, ref_is_tag) = self
            .commit_of(&project, request.sha, request.git_ref)
            .await?;
        let at = Revision {
            sha: &sha,
            git_ref: git_ref.as_ref(),
            ref_is_tag,
        };
        let jobs = self.jobs_at(&pipeline, &project, at).await;
        let (definition, error) = match cause {
            BuildCause::Person(_) => (jobs?, None),
            // Whoever pulls a trigger seldom looks at the answer.
            BuildCause::Trigger { .. } => jobs_or_error(jobs)?,
        };
        let now = self.now();
        let uuid = self.inner.chance.build_uuid(now);
        let (by, trigger, variables) = match cause {
            BuildCause::Person(user) => (user, None, None),
            BuildCause::Trigger { id, by, variables } => {
                (by, Some(id), self.sealed_variables(uuid, &variables))
            }
        };
        let new = NewBuild {
            uuid,
            project: project.id,
            pipeline: pipeline.id,
            sha,
            git_ref,
            ref_is_tag,
            created_by: Some(by),
            variables,
            trigger,
            definition,
            package: None,
            pull_login: None,
            handed: Submission {
                error,
                ..Submission::default()
            },
        };
        let warm_wait = self.warm_wait();
        let create = move |conn: &mut slipway_store::Conn| {
            if let Some(trigger) = new.trigger {
                triggers::record_use(conn, trigger, now)?;
            }
            builds::create(conn, &new, warm_wait, now)
        };
        let (build, changes) = self.inner.store.write(create).await?;
        tracing::info!(build.id = %build.uuid, "Build {} of {} is {}", build.uuid, project.path(), build.state);
        self.publish(changes).await;
        self.learn_commit(build.project, build.sha.clone(), build.git_ref.clone());
        Ok(build)
    }

    /// The commit that is asked for, with the ref it is asked for by.
    pub(crate) async fn commit_of(
        &self,
        project: &Project,
        sha: Option<CommitSha>,
        git_ref: Option<GitRef>,
    ) -> Result<(CommitSha, Option<GitRef>, bool), FarmError> {
        if let Some(sha) = sha {
            return Ok((sha, git_ref, false));
        }
        let git_ref = git_ref.unwrap_or_else(|| project.default_branch.clone());
        let url: RemoteUrl = project
            .repo_url
            .parse()
            .map_err(|error: GitError| FarmError::Invalid(error.to_string()))?;
        let url = self.with_deploy_key(project, url).await?;
        let resolved = self
            .inner
            .git
            .resolve(&url, Wanted::Ref(&git_ref))
            .await
            .map_err(source_error)?;
        let found = resolved.ok_or_else(|| {
            FarmError::Invalid(format!(
                "{} has no branch or tag {git_ref}",
                project.repo_url
            ))
        })?;
        Ok((found.sha, Some(git_ref), found.is_tag))
    }

    /// Where a project's images go: where it says, or its path at the farm's registry.
    pub(crate) fn repository_of(&self, project: &Project) -> Result<Option<Repository>, FarmError> {
        match (&project.image_repository, &self.inner.settings.registry) {
            (Some(own), _) => Ok(Some(own.clone())),
            (None, Some(registry)) => Ok(Some(
                format!("{registry}/{}", project.path().to_ascii_lowercase()).parse()?,
            )),
            (None, None) => Ok(None),
        }
    }

    /// One build, for an actor that may see it and act on it in the role `need`.
    ///
    /// # Errors
    /// `NotFound` when the actor may not know of it, `Forbidden` when it may only look.
    pub async fn build(
        &self,
        actor: &Actor,
        uuid: BuildUuid,
        need: Role,
    ) -> Result<(ProjectAccess, Build), FarmError> {
        let build = self
            .inner
            .store
            .read(move |conn| builds::by_uuid(conn, uuid))
            .await?;
        let access = self.builds_of(actor, build.project, need, "build").await?;
        Ok((access, build))
    }

    /// The builds of a project, newest first.
    ///
    /// # Errors
    /// `Forbidden` to those who see the project but not its builds.
    pub async fn builds(
        &self,
        access: &ProjectAccess,
        filter: Filter,
        page: Page,
    ) -> Result<Vec<Build>, FarmError> {
        access.require_builds(Role::Reader)?;
        let project = access.id();
        Ok(self
            .inner
            .store
            .read(move |conn| builds::of_project(conn, project, &filter, page))
            .await?)
    }

    /// All attempts of a build's jobs, in the order they were made.
    pub async fn jobs_of(&self, build: BuildId) -> Result<Vec<Job>, FarmError> {
        Ok(self
            .inner
            .store
            .read(move |conn| jobs::of_build(conn, build))
            .await?)
    }

    /// One job, for an actor that may see it and act on it in the role `need`.
    ///
    /// # Errors
    /// `NotFound` when the actor may not know of it, `Forbidden` when it may only look.
    pub async fn job(
        &self,
        actor: &Actor,
        id: JobId,
        need: Role,
    ) -> Result<(ProjectAccess, Job), FarmError> {
        let job = self
            .inner
            .store
            .read(move |conn| jobs::get(conn, id))
            .await?;
        let access = self.builds_of(actor, job.project, need, "job").await?;
        Ok((access, job))
    }

    /// Lets an actor act on the builds of the project that `what` belongs to.
    async fn builds_of(
        &self,
        actor: &Actor,
        project: ProjectId,
        need: Role,
        what: &'static str,
    ) -> Result<ProjectAccess, FarmError> {
        let access = self.project_by_id(actor, project, Role::Guest).await;
        let access = access.map_err(|error| match error {
            FarmError::NotFound(_) => FarmError::NotFound(what),
            other => other,
        })?;
        access.require_builds(need)?;
        Ok(access)
    }

    /// Calls off every job of a build that is not over.
    ///
    /// # Errors
    /// `Conflict` when the build is over.
    pub async fn cancel_build(
        &self,
        access: &ProjectAccess,
        build: &Build,
    ) -> Result<Build, FarmError> {
        access.require_builds(Role::Developer)?;
        let (id, warm_wait, now) = (build.id, self.warm_wait(), self.now());
        let write = move |conn: &mut slipway_store::Conn| {
            builds::call_off(conn, id)?;
            let mut open = jobs::latest_of_builds(conn, &[id])?;
            open.retain(|job| !job.state.is_done());
            let changes = end_together(conn, &open, Event::Cancel, None, warm_wait, now)?;
            Ok((builds::get(conn, id)?, changes))
        };
        let (build, changes) = self.inner.store.write(write).await?;
        self.publish(changes).await;
        Ok(build)
    }

    /// Calls off one job.
    ///
    /// # Errors
    /// `Refused` when it is over.
    pub async fn cancel_job(&self, access: &ProjectAccess, job: &Job) -> Result<Job, FarmError> {
        access.require_builds(Role::Developer)?;
        let (id, now, policy) = (job.id, self.now(), self.retry_policy());
        let write = move |conn: &mut slipway_store::Conn| {
            let (_, changes) = finish(conn, id, Event::Cancel, None, policy, now)?;
            Ok((jobs::get(conn, id)?, changes))
        };
        let (job, changes) = self.inner.store.write(write).await?;
        self.publish(changes).await;
        Ok(job)
    }

    /// Makes new attempts of all jobs of a build that did not succeed.
    ///
    /// # Errors
    /// `Conflict` when the build is not over, or every job succeeded; `SourcesGone`.
    pub async fn retry_build(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        build: &Build,
    ) -> Result<Build, FarmError> {
        access.require_builds(Role::Developer)?;
        let (id, by, warm_wait, now) = (build.id, actor.user, self.warm_wait(), self.now());
        let write = move |conn: &mut slipway_store::Conn| {
            let changes = retries::retry_build(conn, id, by, warm_wait, now)?;
            Ok((builds::get(conn, id)?, changes))
        };
        let (build, changes) = self.inner.store.write(write).await?;
        self.publish(changes).await;
        Ok(build)
    }

    /// Makes a new attempt of a job, and of those that were skipped because of it.
    ///
    /// # Errors
    /// `Conflict` when it is not over or was tried again already; `SourcesGone`.
    pub async fn retry_job(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        job: &Job,
    ) -> Result<Job, FarmError> {
        access.require_builds(Role::Developer)?;
        let (id, cause) = (job.id, Cause::Person(actor.user));
        let (warm_wait, now) = (self.warm_wait(), self.now());
        let (job, changes) = self
            .inner
            .store
            .write(move |conn| retries::retry_job(conn, id, cause, warm_wait, now))
            .await?;
        self.publish(changes).await;
        Ok(job)
    }

    /// Puts a job that waits for somebody to start it into the queue.
    ///
    /// # Errors
    /// `Refused` when it does not wait for that.
    pub async fn play_job(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        job: &Job,
    ) -> Result<Job, FarmError> {
        access.require_builds(Role::Developer)?;
        let (id, by, warm_wait, now) = (job.id, actor.user, self.warm_wait(), self.now());
        let write = move |conn: &mut slipway_store::Conn| {
            let changes = jobs::play(conn, id, by, warm_wait, now)?;
            Ok((jobs::get(conn, id)?, changes))
        };
        let (job, changes) = self.inner.store.write(write).await?;
        self.publish(changes).await;
        Ok(job)
    }

    /// Removes the trace and the artifacts of a job that is over, and leaves a record of who did.
    ///
    /// # Errors
    /// `Conflict` when it is not over, was erased already, or has neither trace nor artifacts.
    pub async fn erase_job(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        job: &Job,
    ) -> Result<Job, FarmError> {
        access.require_builds(Role::Developer)?;
        let (id, by, now) = (job.id, actor.user, self.now());
        let write = move |conn: &mut slipway_store::Conn| {
            jobs::mark_erased(conn, id, by, now)?;
            let made = artifacts::of_job(conn, id)?;
            if made.is_empty() && traces::extent(conn, id)?.length == 0 {
                return Err(StoreError::Conflict(
                    "the job has neither a trace nor artifacts",
                ));
            }
            let mut unused = traces::clear(conn, id)?;
            for artifact in made {
                unused.extend(artifacts::remove(conn, artifact.id)?);
            }
            Ok((jobs::get(conn, id)?, unused))
        };
        let (job, unused) = self.inner.store.write(write).await?;
        self.drop_blobs(unused).await;
        self.tell_changed(&[id]);
        Ok(job)
    }

    /// The build that a job belongs to.
    ///
    /// # Errors
    /// `NotFound` when it is gone.
    pub async fn build_of(&self, job: &Job) -> Result<Build, FarmError> {
        let id = job.build;
        Ok(self
            .inner
            .store
            .read(move |conn| builds::get(conn, id))
            .await?)
    }

    /// Whether a job is over, for those who only want to know that.
    pub async fn job_state(&self, id: JobId) -> Result<JobState, FarmError> {
        Ok(self
            .inner
            .store
            .read(move |conn| jobs::get(conn, id))
            .await?
            .state)
    }
}
