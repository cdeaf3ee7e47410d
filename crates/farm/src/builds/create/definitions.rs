//! Determines what a build runs: the definition of its pipeline, or the one in the repository.

use std::sync::Arc;
use std::time::Duration;

use slipway_definition::FILE;
use slipway_domain::GitRef;
use slipway_domain::pipeline::Definition;
use slipway_git::{FileAt, GitError, RemoteUrl};
use slipway_store::builds::BuildError;
use slipway_store::pipelines::Pipeline;
use slipway_store::projects::Project;

use crate::builds::create::completing::{Revision, completed};
use crate::error::FarmError;
use crate::farm::Farm;
use crate::state::definition_cache::DefinitionKey;
use crate::state::definition_reads::{ReadEnd, ReadFailure, result_of};

/// The usual reason why a repository is read slowly, and what to do about it.
const WHOLE_COMMIT: &str = "a git host that does not support partial clones sends all files of the \
                            commit: set uploadpack.allowFilter there, or turn off reading the pipeline \
                            from the repository.";

/// Why there is no valid definition.
pub(crate) enum DefinitionFailure {
    /// The definition in the repository is invalid, for this reason.
    Invalid(String),
    /// The repository could not be read.
    Source(Arc<GitError>),
    /// Reading the repository at this URL takes longer than the caller waits, in seconds.
    Slow(String, u64),
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
            DefinitionFailure::Source(error) => read_error(&error),
            DefinitionFailure::Slow(url, seconds) => FarmError::SourceUnavailable(format!(
                "reading {FILE} from {url} takes longer than {seconds} s; {WHOLE_COMMIT} The farm keeps \
                 reading it, so repeat the request in a minute."
            )),
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
            DefinitionFailure::Invalid(sentence)
            | DefinitionFailure::Other(FarmError::Invalid(sentence)) => {
                Ok(error("bad_definition", sentence))
            }
            DefinitionFailure::Source(why) => match &*why {
                GitError::RefusedUrl(_)
                | GitError::RepositoryUnavailable { .. }
                | GitError::CommitMissing { .. }
                | GitError::TimedOut { .. } => {
                    Ok(error("source_unavailable", read_error(&why).to_string()))
                }
                ours => Err(source_error(ours)),
            },
            slow @ DefinitionFailure::Slow(..) => Err(slow.into()),
            DefinitionFailure::Other(error) => Err(error),
        }
    }
}

/// The error for a repository that could not be read.
pub(crate) fn source_error(error: &GitError) -> FarmError {
    match error {
        GitError::RefusedUrl(_)
        | GitError::RefusedKey
        | GitError::RefusedSubmodules(_)
        | GitError::Submodule { .. }
        | GitError::LargeFiles { .. }
        | GitError::RepositoryUnavailable { .. }
        | GitError::CommitMissing { .. } => FarmError::Invalid(error.to_string()),
        GitError::TimedOut { .. } => {
            FarmError::SourceUnavailable(format!("the git host did not answer in time: {error}"))
        }
        GitError::GitMissing(_) | GitError::SshMissing | GitError::DiskFull | GitError::Io(_) => {
            FarmError::SourceUnavailable(format!(
                "the coordinator cannot read repositories: {error}"
            ))
        }
    }
}

/// [`source_error`], for reading the definition.
fn read_error(error: &GitError) -> FarmError {
    match error {
        GitError::TimedOut { .. } => {
            FarmError::SourceUnavailable(format!("could not read {FILE}: {error}; {WHOLE_COMMIT}"))
        }
        other => source_error(other),
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
    /// The completed definition for a build of a commit. Reading the repository may take longer than
    /// `wait`; it then continues in the background, so that a later call finds the result.
    pub(crate) async fn jobs_at(
        &self,
        pipeline: &Pipeline,
        project: &Project,
        at: Revision<'_>,
        wait: Option<Duration>,
    ) -> Result<Definition, DefinitionFailure> {
        // Submitted sources have no commit whose repository could be read.
        let in_repository = if pipeline.from_repository && !at.sha.is_none() {
            self.definition_at(project, at, wait).await?
        } else {
            None
        };
        let repository = self.repository_of(project)?;
        let targets = self.push_targets(project)?;
        let complete =
            |definition| completed(definition, project, repository.as_ref(), &targets, at);
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
        at: Revision<'_>,
        wait: Option<Duration>,
    ) -> Result<Option<Definition>, DefinitionFailure> {
        let key = (project.id, project.repo_url.clone(), at.sha.clone());
        if let Some(cached) = self.inner.definition_cache.get(&key) {
            return Ok(cached);
        }
        let url: RemoteUrl = project.repo_url.parse().map_err(source_failure)?;
        let url = self.with_deploy_key(project, url).await?;
        let git_ref = at.git_ref.cloned();
        let start = |key: DefinitionKey, end: ReadEnd| {
            let farm = self.clone();
            slipway_tasks::spawn("definition read", async move {
                let read = tokio::select! {
                    read = farm.read_definition(&key, &url, git_ref.as_ref()) => read,
                    () = farm.inner.stopping.cancelled() => return,
                };
                if let Ok(definition) = &read {
                    farm.inner
                        .definition_cache
                        .put(key.clone(), definition.clone());
                }
                farm.inner.definition_reads.finish(&key, &end, read);
            });
        };
        let reading = result_of(self.inner.definition_reads.join(key, start));
        let read = match wait {
            None => reading.await,
            Some(wait) => match tokio::time::timeout(wait, reading).await {
                Ok(read) => read,
                Err(_) => {
                    let url = project.repo_url.clone();
                    return Err(DefinitionFailure::Slow(url, wait.as_secs()));
                }
            },
        };
        match read {
            Some(Ok(definition)) => Ok(definition),
            Some(Err(ReadFailure::Invalid(why))) => Err(DefinitionFailure::Invalid(why)),
            Some(Err(ReadFailure::Source(error))) => Err(DefinitionFailure::Source(error)),
            None => {
                let why = "the farm stopped while it read a definition".to_owned();
                Err(FarmError::Unavailable(why).into())
            }
        }
    }

    async fn read_definition(
        &self,
        (project, _, sha): &DefinitionKey,
        url: &RemoteUrl,
        git_ref: Option<&GitRef>,
    ) -> Result<Option<Definition>, ReadFailure> {
        let max = u64::try_from(slipway_definition::MAX_BYTES).unwrap_or(u64::MAX);
        let read = self.inner.git.read_file(url, sha, git_ref, FILE, max).await;
        let read = read.map_err(|error| ReadFailure::Source(Arc::new(error)))?;
        self.note_commit(*project, read.commit);
        match read.file {
            FileAt::Absent => Ok(None),
            FileAt::Text(text) => {
                let read = slipway_definition::parse(&text);
                read.map(Some)
                    .map_err(|fault| ReadFailure::Invalid(fault.to_string()))
            }
            FileAt::NotAFile => {
                let why = format!("{FILE}, line 1, column 1: this is not a regular file");
                Err(ReadFailure::Invalid(why))
            }
            FileAt::TooLarge(bytes) => {
                let fault = slipway_definition::too_large(bytes);
                Err(ReadFailure::Invalid(fault.to_string()))
            }
        }
    }
}

fn source_failure(error: GitError) -> DefinitionFailure {
    DefinitionFailure::Source(Arc::new(error))
}
