//! Builds that are asked for by repository and commit: at most one of a commit is unfinished.

use slipway_domain::{CommitSha, GitRef, JobSpec, ProjectPath, Slug, UserId};
use slipway_git::{GitError, RemoteUrl, Wanted as WantedRef};
use slipway_store::builds::{Build, NewBuild, Submission};
use slipway_store::projects::Project;
use slipway_store::{Conn, pipelines};

use crate::access::authorize::Actor;
use crate::builds::completing::Revision;
use crate::builds::definitions::jobs_or_error;
use crate::builds::enqueue::{Uniqueness, always, build_row, nothing_more};
use crate::error::FarmError;
use crate::farm::Farm;

/// A commit that somebody wants an image of.
#[derive(Clone, Debug)]
pub struct CommitRequest {
    /// The project.
    pub project: ProjectPath,
    /// The branch; its image is where layers are taken from, and its head is the commit when no
    /// other is given.
    pub branch: Option<GitRef>,
    /// The commit.
    pub sha: Option<CommitSha>,
}

/// Why a commit is not built.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The farm refuses.
    #[error(transparent)]
    Farm(#[from] FarmError),
    /// The repository has no such branch.
    #[error("{repository} has no branch {branch}")]
    NoSuchBranch {
        /// The project's path.
        repository: String,
        /// The branch.
        branch: GitRef,
    },
    /// Who keeps the repository did not tell where the branch is.
    #[error("{repository} could not be asked for its branch: {why}")]
    Upstream {
        /// The project's path.
        repository: String,
        /// What was the matter.
        why: String,
    },
}

/// A build that is about to be made, with everything that is known of it.
pub(crate) struct Wanted<'a> {
    pub(crate) project: &'a Project,
    pub(crate) sha: CommitSha,
    pub(crate) git_ref: Option<GitRef>,
    pub(crate) ref_is_tag: bool,
    pub(crate) no_cache: bool,
    pub(crate) created_by: Option<UserId>,
}

impl Farm {
    /// Makes the only unfinished build of a commit, by the project's default pipeline. Developers
    /// do. Without a commit it is the head of the branch.
    ///
    /// # Errors
    /// `Conflict` when such a build is not over; `NoSuchBranch` and `Upstream` when the head
    /// cannot be told, in which case nothing is kept but perhaps the project; `NotFound` for a
    /// project that is not there and that the operator's policy does not let be made.
    pub async fn request_commit(
        &self,
        actor: &Actor,
        request: CommitRequest,
    ) -> Result<(Project, Build), RequestError> {
        let project = self.project_on_first_use(actor, &request.project).await?;
        let sha = match (request.sha, &request.branch) {
            (Some(sha), _) => sha,
            (None, Some(branch)) => self.head_of(&project, branch).await?,
            (None, None) => {
                let why = "a build needs a branch or a sha".to_owned();
                return Err(FarmError::Invalid(why).into());
            }
        };
        let wanted = Wanted {
            project: &project,
            sha,
            git_ref: request.branch,
            ref_is_tag: false,
            no_cache: false,
            created_by: Some(actor.user),
        };
        let new = self.sole_build(wanted).await?;
        let report = self.reports_to(&project);
        let sole = Uniqueness::SoleOfCommit { report };
        let created = self
            .enqueue(&project, new, sole, self.now(), always, nothing_more)
            .await
            .map_err(FarmError::from)?;
        let build = created.build();
        Ok((project, build))
    }

    /// Everything that the row of a sole build is made of.
    pub(crate) async fn sole_build(&self, wanted: Wanted<'_>) -> Result<NewBuild, FarmError> {
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
        let jobs = self.jobs_at(&pipeline, project, at).await;
        let (mut definition, error) = match wanted.created_by {
            Some(_) => (jobs?, None),
            // Nobody waits for what a push has made.
            None => jobs_or_error(jobs)?,
        };
        if wanted.no_cache {
            definition
                .jobs
                .iter_mut()
                .for_each(|job| anew(&mut job.spec));
        }
        let uuid = self.inner.chance.build_uuid(self.now());
        Ok(NewBuild {
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

    /// The commit that a branch points to, by whoever keeps the repository.
    async fn head_of(&self, project: &Project, branch: &GitRef) -> Result<CommitSha, RequestError> {
        let upstream = |why: String| RequestError::Upstream {
            repository: project.path(),
            why,
        };
        let github = self.inner.settings.github.as_ref();
        let on_github =
            github.and_then(|github| Some((github, github.repository(&project.repo_url)?)));
        let head = match on_github {
            Some((github, repository)) => github
                .branch_head(&repository, branch)
                .await
                .map_err(|error| upstream(error.to_string()))?,
            None => {
                let told = |error: GitError| upstream(error.to_string());
                let url: RemoteUrl = project.repo_url.parse().map_err(told)?;
                let url = self.with_deploy_key(project, url).await?;
                let wanted = WantedRef::Ref(branch);
                let found = self.inner.git.resolve(&url, wanted).await.map_err(told)?;
                // A tag of that name is no branch.
                found.filter(|found| !found.is_tag).map(|found| found.sha)
            }
        };
        head.ok_or_else(|| RequestError::NoSuchBranch {
            repository: project.path(),
            branch: branch.clone(),
        })
    }
}

/// Has an image built without anything of an earlier one.
fn anew(spec: &mut JobSpec) {
    if let JobSpec::ImageBuild(image) = spec {
        image.no_cache = true;
        (image.cache_tag, image.fallback_cache_tag) = (None, None);
    }
}
