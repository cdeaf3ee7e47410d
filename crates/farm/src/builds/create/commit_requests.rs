//! Creates builds by repository and commit. At most one build of a commit is unfinished.

use slipway_domain::{
    CommitSha, GitRef, JobSpec, ProjectPath, RefKind, RefName, Slug, TrustLevel, UserId,
};
use slipway_git::{GitError, RemoteUrl, Wanted as WantedRef};
use slipway_store::builds::{Build, NewBuild, Submission};
use slipway_store::by_commit::SoleOf;
use slipway_store::projects::Project;
use slipway_store::{Conn, pipelines};

use crate::access::authorize::Actor;
use crate::builds::create::completing::Revision;
use crate::builds::create::definitions::jobs_or_error;
use crate::builds::create::enqueue::{Uniqueness, always, build_row, nothing_more};
use crate::error::FarmError;
use crate::farm::Farm;

/// A request to build a commit.
#[derive(Clone, Debug)]
pub struct CommitRequest {
    pub project: ProjectPath,
    /// The branch; a tag only by its full name. The image of a branch is used as cache, and its head is
    /// built when `sha` is absent.
    pub branch: Option<RefName>,
    pub sha: Option<CommitSha>,
}

/// Why a commit could not be built.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error(transparent)]
    Farm(#[from] FarmError),
    /// The repository has no such branch.
    #[error("{repository} has no branch {branch}")]
    NoSuchBranch {
        /// The path of the project.
        repository: String,
        branch: RefName,
    },
    /// The server of the repository did not answer for the branch.
    #[error("could not look up the branch in {repository}: {why}")]
    Upstream {
        /// The path of the project.
        repository: String,
        why: String,
    },
}

/// A build of a commit that is to be created.
pub(crate) struct CommitBuild<'a> {
    pub(crate) project: &'a Project,
    pub(crate) sha: CommitSha,
    pub(crate) git_ref: Option<GitRef>,
    pub(crate) ref_is_tag: bool,
    /// Whether the repository or its forge named the commit as the head of the ref.
    pub(crate) is_head: bool,
    pub(crate) no_cache: bool,
    pub(crate) created_by: Option<UserId>,
}

impl Farm {
    /// Creates a build of a commit, or of the head of a branch, with the default pipeline of the
    /// project. Requires a developer.
    ///
    /// # Errors
    /// `Conflict` when the commit has an unfinished build; `NoSuchBranch` and `Upstream` when the head
    /// of the branch cannot be determined, in which case a new project stays; `NotFound` for a project
    /// that does not exist and may not be created.
    pub async fn request_commit(
        &self,
        actor: &Actor,
        request: CommitRequest,
    ) -> Result<(Project, Build), RequestError> {
        // Before the branch is looked up: only an actor with rights may cause requests to other
        // servers.
        let project = self.project_on_first_use(actor, &request.project).await?;
        let is_head = request.sha.is_none();
        let sha = match (request.sha, &request.branch) {
            (Some(sha), _) => sha,
            (None, Some(branch)) => self.head_of(&project, branch).await?,
            (None, None) => {
                let why = "a build needs a branch or a sha".to_owned();
                return Err(FarmError::Invalid(why).into());
            }
        };
        let wanted = CommitBuild {
            project: &project,
            sha,
            ref_is_tag: request.branch.as_ref().is_some_and(RefName::is_tag),
            git_ref: request.branch.map(|branch| branch.name),
            is_head,
            no_cache: false,
            created_by: Some(actor.user),
        };
        let new = self.sole_build(wanted).await?;
        let report = self.reports_to(&project);
        let sole = Uniqueness::Sole {
            of: SoleOf::Commit,
            report,
        };
        let created = self
            .enqueue(&project, new, sole, self.now(), always, nothing_more)
            .await
            .map_err(FarmError::from)?;
        let build = created.build();
        Ok((project, build))
    }

    /// The row of a build of a commit.
    pub(crate) async fn sole_build(&self, wanted: CommitBuild<'_>) -> Result<NewBuild, FarmError> {
        let project = wanted.project;
        let (id, slug) = (project.id, Slug::default_pipeline());
        let find = move |conn: &mut Conn| pipelines::by_slug(conn, id, &slug);
        let pipeline = self.read(find).await?;
        let git_ref = wanted.git_ref;
        let at = Revision {
            sha: &wanted.sha,
            git_ref: git_ref.as_ref(),
            ref_is_tag: wanted.ref_is_tag,
        };
        // A push has no caller who could repeat it.
        let wait = wanted
            .created_by
            .map(|_| self.inner.settings.definition_wait);
        let jobs = self.jobs_at(&pipeline, project, at, wait).await;
        let (mut definition, error) = match wanted.created_by {
            Some(_) => (jobs?, None),
            // Nobody waits for the answer to a push, so a failed build shows the error.
            None => jobs_or_error(jobs)?,
        };
        if wanted.no_cache {
            definition
                .jobs
                .iter_mut()
                .for_each(|job| disable_cache(&mut job.spec));
        }
        let uuid = self.inner.chance.build_uuid(self.now());
        let trust = if wanted.is_head {
            TrustLevel::of_head(git_ref.as_ref(), wanted.ref_is_tag, &project.default_branch)
        } else {
            TrustLevel::Unverified
        };
        Ok(NewBuild {
            trust,
            git_ref,
            ref_is_tag: wanted.ref_is_tag,
            created_by: wanted.created_by,
            submission: Submission {
                error,
                ..Submission::default()
            },
            ..build_row(uuid, project, pipeline.id, wanted.sha, definition)
        })
    }

    /// The head of a branch, from GitHub or from the server of the repository. A short name is that of
    /// a branch.
    async fn head_of(
        &self,
        project: &Project,
        branch: &RefName,
    ) -> Result<CommitSha, RequestError> {
        let upstream = |why: String| RequestError::Upstream {
            repository: project.path(),
            why,
        };
        let github = self.inner.settings.github.as_ref();
        // GitHub's API has the object that a tag points to, which need not be a commit.
        let github = github.filter(|_| !branch.is_tag());
        let on_github =
            github.and_then(|github| Some((github, github.repository(&project.repo_url)?)));
        let head = match on_github {
            Some((github, repository)) => github
                .branch_head(&repository, &branch.name)
                .await
                .map_err(|error| upstream(error.to_string()))?,
            None => {
                let failed = |error: GitError| upstream(error.to_string());
                let url: RemoteUrl = project.repo_url.parse().map_err(failed)?;
                let url = self.with_deploy_key(project, url).await?;
                // A tag is not a branch, so a short name does not find one.
                let full = RefName {
                    kind: branch.kind.or(Some(RefKind::Branch)),
                    name: branch.name.clone(),
                };
                let wanted = WantedRef::Ref(&full);
                let found = self.inner.git.resolve(&url, wanted).await.map_err(failed)?;
                found.map(|found| found.sha)
            }
        };
        head.ok_or_else(|| RequestError::NoSuchBranch {
            repository: project.path(),
            branch: branch.clone(),
        })
    }
}

/// Makes an image build use no cache.
fn disable_cache(spec: &mut JobSpec) {
    if let JobSpec::ImageBuild(image) = spec {
        image.no_cache = true;
        (image.cache_tag, image.fallback_cache_tag) = (None, None);
    }
}
