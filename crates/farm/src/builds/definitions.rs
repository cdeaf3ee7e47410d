//! What a build runs: the jobs that its pipeline has, or those that the repository brings along.

use slipway_definition::FILE;
use slipway_domain::pipeline::Definition;
use slipway_domain::{CommitSha, GitRef};
use slipway_git::{FileAt, GitError, RemoteUrl};
use slipway_store::builds::BuildError;
use slipway_store::pipelines::Pipeline;
use slipway_store::projects::Project;

use crate::builds::completing::{Revision, completed};
use crate::error::FarmError;
use crate::farm::Farm;

/// Why it cannot be told what a build runs.
pub(crate) enum NoJobs {
    /// What the repository brings along is wrong. The sentence says how.
    Wrong(String),
    /// The repository could not be read.
    Source(GitError),
    /// It is not for the repository.
    Other(FarmError),
}

impl From<FarmError> for NoJobs {
    fn from(error: FarmError) -> Self {
        Self::Other(error)
    }
}

impl From<NoJobs> for FarmError {
    fn from(why: NoJobs) -> Self {
        match why {
            NoJobs::Wrong(sentence) => FarmError::Invalid(sentence),
            NoJobs::Source(error) => source_error(error),
            NoJobs::Other(error) => error,
        }
    }
}

impl NoJobs {
    /// The same for builds that nobody waits for: what they failed of.
    fn of_build(self) -> Result<BuildError, FarmError> {
        let error = |code: &str, message: String| BuildError {
            code: code.to_owned(),
            message,
        };
        match self {
            NoJobs::Wrong(sentence) => Ok(error("bad_definition", sentence)),
            NoJobs::Source(
                why @ (GitError::RefusedUrl(_)
                | GitError::RepositoryUnavailable { .. }
                | GitError::CommitMissing { .. }
                | GitError::TimedOut { .. }),
            ) => Ok(error("source_unavailable", why.to_string())),
            NoJobs::Source(ours) => Err(source_error(ours)),
            NoJobs::Other(error) => Err(error),
        }
    }
}

/// What the farm says when a repository could not be asked.
pub(crate) fn source_error(error: GitError) -> FarmError {
    match error {
        GitError::RefusedUrl(_)
        | GitError::RefusedKey
        | GitError::RefusedSubmodules(_)
        | GitError::Submodule { .. }
        | GitError::LargeFiles { .. }
        | GitError::RepositoryUnavailable { .. }
        | GitError::CommitMissing { .. } => FarmError::Invalid(error.to_string()),
        GitError::GitMissing(_)
        | GitError::SshMissing
        | GitError::TimedOut { .. }
        | GitError::DiskFull
        | GitError::Io(_) => FarmError::Unavailable(error.to_string()),
    }
}

/// Jobs for a build that is made whether or not there are some: without them it has failed.
pub(crate) fn jobs_or_error(
    jobs: Result<Definition, NoJobs>,
) -> Result<(Definition, Option<BuildError>), FarmError> {
    match jobs {
        Ok(definition) => Ok((definition, None)),
        Err(why) => Ok((Definition { jobs: Vec::new() }, Some(why.of_build()?))),
    }
}

impl Farm {
    /// What a build of a commit runs, with everything filled in that follows from the project and
    /// the commit.
    pub(crate) async fn jobs_at(
        &self,
        pipeline: &Pipeline,
        project: &Project,
        at: Revision<'_>,
    ) -> Result<Definition, NoJobs> {
        // Sources that were handed in have no commit to look at.
        let brought = match pipeline.from_repository && !at.sha.is_none() {
            true => self.brought_along(project, at.sha, at.git_ref).await?,
            false => None,
        };
        let repository = self.repository_of(project)?;
        let complete = |definition| completed(definition, project, repository.as_ref(), at);
        match brought {
            Some(definition) => {
                complete(definition).map_err(|error| NoJobs::Wrong(format!("{FILE}: {error}")))
            }
            None => Ok(complete(pipeline.definition.clone())?),
        }
    }

    /// The jobs that the repository has at a commit, if it has any.
    async fn brought_along(
        &self,
        project: &Project,
        sha: &CommitSha,
        git_ref: Option<&GitRef>,
    ) -> Result<Option<Definition>, NoJobs> {
        let key = (project.id, project.repo_url.clone(), sha.clone());
        if let Some(brought) = self.inner.definition_cache.get(&key) {
            return Ok(brought);
        }
        let url: RemoteUrl = project.repo_url.parse().map_err(NoJobs::Source)?;
        let url = self.with_deploy_key(project, url).await?;
        let max = u64::try_from(slipway_definition::MAX_BYTES).unwrap_or(u64::MAX);
        let read = self.inner.git.read_file(&url, sha, git_ref, FILE, max);
        let read = read.await.map_err(NoJobs::Source)?;
        self.note_commit(project.id, read.commit);
        let brought = match read.file {
            FileAt::Absent => None,
            FileAt::Text(text) => {
                let read = slipway_definition::parse(&text);
                Some(read.map_err(|fault| NoJobs::Wrong(fault.to_string()))?)
            }
            FileAt::NotAFile => {
                let why = format!("{FILE}, line 1, column 1: this is no regular file");
                return Err(NoJobs::Wrong(why));
            }
            FileAt::TooLarge(bytes) => {
                let fault = slipway_definition::too_large(bytes);
                return Err(NoJobs::Wrong(fault.to_string()));
            }
        };
        self.inner.definition_cache.put(key, brought.clone());
        Ok(brought)
    }
}
