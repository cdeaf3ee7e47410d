//! Determines what a build runs: the definition of its pipeline, or the one in the repository.

use slipway_definition::FILE;
use slipway_domain::pipeline::Definition;
use slipway_domain::{CommitSha, GitRef};
use slipway_git::{FileAt, GitError, RemoteUrl};
use slipway_store::builds::BuildError;
use slipway_store::pipelines::Pipeline;
use slipway_store::projects::Project;

use crate::builds::create::completing::{Revision, completed};
use crate::error::FarmError;
use crate::farm::Farm;

/// Why there is no valid definition.
pub(crate) enum DefinitionFailure {
    /// The definition in the repository is invalid, for this reason.
    Invalid(String),
    /// The repository could not be read.
    Source(GitError),
    Other(FarmError),
}

impl From<FarmError> for DefinitionFailure {
    fn from(error: FarmError) -> Self {
        Self::Other(error)
    }
}

impl From<DefinitionFailure> for FarmError {
    fn from(why: DefinitionFailure) -> Self {
        match why {
            DefinitionFailure::Invalid(sentence) => FarmError::Invalid(sentence),
            DefinitionFailure::Source(error) => source_error(error),
            DefinitionFailure::Other(error) => error,
        }
    }
}

impl DefinitionFailure {
    /// The error to store with a build that fails because of this.
    fn into_build_error(self) -> Result<BuildError, FarmError> {
        let error = |code: &str, message: String| BuildError {
            code: code.to_owned(),
            message,
        };
        match self {
            DefinitionFailure::Invalid(sentence) => Ok(error("bad_definition", sentence)),
            DefinitionFailure::Source(
                why @ (GitError::RefusedUrl(_)
                | GitError::RepositoryUnavailable { .. }
                | GitError::CommitMissing { .. }
                | GitError::TimedOut { .. }),
            ) => Ok(error("source_unavailable", why.to_string())),
            DefinitionFailure::Source(ours) => Err(source_error(ours)),
            DefinitionFailure::Other(error) => Err(error),
        }
    }
}

/// The error for a repository that could not be read.
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

/// The definition for a build that is created in any case: without a valid one it has no jobs and an
/// error.
pub(crate) fn jobs_or_error(
    jobs: Result<Definition, DefinitionFailure>,
) -> Result<(Definition, Option<BuildError>), FarmError> {
    match jobs {
        Ok(definition) => Ok((definition, None)),
        Err(why) => Ok((
            Definition { jobs: Vec::new() },
            Some(why.into_build_error()?),
        )),
    }
}

impl Farm {
    /// The completed definition for a build of a commit.
    pub(crate) async fn jobs_at(
        &self,
        pipeline: &Pipeline,
        project: &Project,
        at: Revision<'_>,
    ) -> Result<Definition, DefinitionFailure> {
        // Submitted sources have no commit whose repository could be read.
        let in_repository = if pipeline.from_repository && !at.sha.is_none() {
            self.definition_at(project, at.sha, at.git_ref).await?
        } else {
            None
        };
        let repository = self.repository_of(project)?;
        let complete = |definition| completed(definition, project, repository.as_ref(), at);
        match in_repository {
            Some(definition) => complete(definition)
                .map_err(|error| DefinitionFailure::Invalid(format!("{FILE}: {error}"))),
            None => Ok(complete(pipeline.definition.clone())?),
        }
    }

    /// The definition in the repository at a commit, if there is one.
    async fn definition_at(
        &self,
        project: &Project,
        sha: &CommitSha,
        git_ref: Option<&GitRef>,
    ) -> Result<Option<Definition>, DefinitionFailure> {
        let key = (project.id, project.repo_url.clone(), sha.clone());
        if let Some(cached) = self.inner.definition_cache.get(&key) {
            return Ok(cached);
        }
        let url: RemoteUrl = project
            .repo_url
            .parse()
            .map_err(DefinitionFailure::Source)?;
        let url = self.with_deploy_key(project, url).await?;
        let max = u64::try_from(slipway_definition::MAX_BYTES).unwrap_or(u64::MAX);
        let read = self.inner.git.read_file(&url, sha, git_ref, FILE, max);
        let read = read.await.map_err(DefinitionFailure::Source)?;
        self.note_commit(project.id, read.commit);
        let definition = match read.file {
            FileAt::Absent => None,
            FileAt::Text(text) => {
                let read = slipway_definition::parse(&text);
                Some(read.map_err(|fault| DefinitionFailure::Invalid(fault.to_string()))?)
            }
            FileAt::NotAFile => {
                let why = format!("{FILE}, line 1, column 1: this is not a regular file");
                return Err(DefinitionFailure::Invalid(why));
            }
            FileAt::TooLarge(bytes) => {
                let fault = slipway_definition::too_large(bytes);
                return Err(DefinitionFailure::Invalid(fault.to_string()));
            }
        };
        self.inner.definition_cache.put(key, definition.clone());
        Ok(definition)
    }
}
