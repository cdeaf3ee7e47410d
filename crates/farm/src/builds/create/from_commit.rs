//! Creates builds of commits of a project.

use std::convert::Infallible;

use slipway_domain::image::Repository;
use slipway_domain::image::push_targets::PushTargets;
use slipway_domain::{CommitSha, GitRef, RefName, Role, Slug, TriggerId, TrustLevel, UserId};
use slipway_git::{GitError, RemoteUrl, Wanted};
use slipway_store::builds::{Build, NewBuild, Submission};
use slipway_store::projects::Project;
use slipway_store::{Conn, pipelines, triggers};

use crate::access::authorize::{Actor, ProjectAccess};
use crate::builds::create::completing::Revision;
use crate::builds::create::definitions::{jobs_or_error, source_error};
use crate::builds::create::enqueue::{Uniqueness, build_row, nothing_more};
use crate::error::FarmError;
use crate::farm::Farm;
use crate::projects::build_variables::BuildVariables;
use crate::projects::repo_url::check_repo_url;

/// A build to create.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    pub pipeline: Slug,
    /// The commit; the head of `git_ref` when absent.
    pub sha: Option<CommitSha>,
    /// The branch or tag; the default branch when both are absent.
    pub git_ref: Option<RefName>,
}

/// Who or what starts a build.
pub(crate) enum BuildCause {
    Person(UserId),
    /// A trigger, in the name of the user who created it.
    Trigger {
        id: TriggerId,
        by: UserId,
        variables: BuildVariables,
    },
}

impl Farm {
    /// Creates a build of a commit. Requires a developer.
    ///
    /// # Errors
    /// `Invalid` when the repository has no such ref, `NotFound` when there is no such pipeline.
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

    /// Creates a build without checking rights.
    pub(crate) async fn make_build(
        &self,
        project: Project,
        cause: BuildCause,
        request: BuildRequest,
    ) -> Result<Build, FarmError> {
        let (project_id, slug) = (project.id, request.pipeline.clone());
        let pipeline = self
            .read(move |conn| pipelines::by_slug(conn, project_id, &slug))
            .await?;
        let is_named = request.sha.is_some();
        let (sha, git_ref, ref_is_tag) = self
            .commit_of(&project, request.sha, request.git_ref)
            .await?;
        let at = Revision {
            sha: &sha,
            git_ref: git_ref.as_ref(),
            ref_is_tag,
        };
        let wait = Some(self.inner.settings.definition_wait);
        let jobs = self.jobs_at(&pipeline, &project, at, wait).await;
        let (definition, error) = match cause {
            BuildCause::Person(_) => (jobs?, None),
            // Callers of triggers seldom look at the answer, so a failed build shows the error.
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
        let trust = if is_named {
            TrustLevel::Unverified
        } else {
            TrustLevel::of_head(git_ref.as_ref(), ref_is_tag, &project.default_branch)
        };
        let new = NewBuild {
            trust,
            git_ref,
            ref_is_tag,
            created_by: Some(by),
            variables,
            trigger,
            submission: Submission {
                error,
                ..Submission::default()
            },
            ..build_row(uuid, &project, pipeline.id, sha, definition)
        };
        let record_use = move |conn: &mut Conn| match trigger {
            Some(trigger) => triggers::record_use(conn, trigger, now).map(|()| None::<Infallible>),
            None => Ok(None),
        };
        let created = self
            .enqueue(
                &project,
                new,
                Uniqueness::Any,
                now,
                record_use,
                nothing_more,
            )
            .await?;
        Ok(created.build())
    }

    /// The commit to build, with its ref and whether that is a tag.
    pub(crate) async fn commit_of(
        &self,
        project: &Project,
        sha: Option<CommitSha>,
        git_ref: Option<RefName>,
    ) -> Result<(CommitSha, Option<GitRef>, bool), FarmError> {
        check_repo_url(&project.repo_url)?;
        // A given commit is not looked up: the runner reports a missing one.
        if let Some(sha) = sha {
            let is_tag = git_ref.as_ref().is_some_and(RefName::is_tag);
            return Ok((sha, git_ref.map(|git_ref| git_ref.name), is_tag));
        }
        let git_ref = git_ref.unwrap_or_else(|| RefName::short(project.default_branch.clone()));
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
            .map_err(|error| source_error(&error))?;
        let found = resolved.ok_or_else(|| {
            FarmError::Invalid(format!(
                "{} has no branch or tag {git_ref}",
                project.repo_url
            ))
        })?;
        Ok((found.sha, Some(git_ref.name), found.is_tag))
    }

    /// To which repositories jobs of a project may push.
    pub(crate) fn push_targets(&self, project: &Project) -> Result<PushTargets, FarmError> {
        let own = self.repository_of(project)?;
        Ok(self.inner.settings.shared_targets.with(own.as_ref()))
    }

    /// Where images of a project are pushed: its own repository, or its path at the registry of the
    /// farm.
    pub(crate) fn repository_of(&self, project: &Project) -> Result<Option<Repository>, FarmError> {
        match (&project.image_repository, &self.inner.settings.registry) {
            (Some(own), _) => Ok(Some(own.clone())),
            (None, Some(registry)) => Ok(Some(
                format!("{registry}/{}", project.path().to_ascii_lowercase()).parse()?,
            )),
            (None, None) => Ok(None),
        }
    }
}
