//! Builds that somebody hands in with jobs and sources of their own.

use bytes::Bytes;
use futures_util::stream;
use slipway_blobs::{BlobStream, PutError};
use slipway_domain::pipeline::Definition;
use slipway_domain::steps::StepGraph;
use slipway_domain::tokens::SourceToken;
use slipway_domain::{BuildSource, BuildUuid, CommitSha, GitRef, JobSpec, Role};
use slipway_store::Conn;
use slipway_store::builds::{self, Build, BuildError, NewBuild, Submission};
use slipway_store::pipelines::Pipeline;
use slipway_store::projects::Project;

use crate::access::authorize::{Actor, ProjectAccess};
use crate::builds::completing::Revision;
use crate::builds::enqueue::{Uniqueness, always, build_row, nothing_more};
use crate::error::FarmError;
use crate::farm::Farm;
use crate::projects::build_variables::BuildVariables;

/// The codes under which the reasons of builds without jobs are stored. The dialect chooses them,
/// because its clients read them.
#[derive(Clone, Copy, Debug)]
pub struct PlanErrorCodes {
    /// The graph was submitted, and is invalid.
    pub invalid_graph: &'static str,
    /// The pipeline's own definition is missing or invalid.
    pub invalid_definition: &'static str,
}

/// Proof that a pipeline takes a build from this kind of thing; only [`Farm::admit`] makes one.
pub struct Admission {
    access: ProjectAccess,
    pipeline: Pipeline,
    asked_by: BuildSource,
}

/// What a build is handed in with.
pub struct BuildSubmission {
    /// The branch, in the words of whoever asks.
    pub branch: Option<String>,
    /// The commit, in the words of whoever asks.
    pub commit: Option<String>,
    /// A message for people.
    pub message: Option<String>,
    /// What all jobs see in their environment, unless they say otherwise.
    pub env: BuildVariables,
    /// The sources, where they are not the commit.
    pub source: SubmittedSource,
    /// The jobs, or why they cannot be; the pipeline's own when absent.
    pub graph: Option<Result<StepGraph, BuildError>>,
    pub error_codes: PlanErrorCodes,
}

/// Sources that are not a commit of the project's repository: a gzipped tar.
pub enum SubmittedSource {
    /// There are none.
    None,
    /// The bytes themselves.
    Archive {
        /// The bytes.
        bytes: Bytes,
        /// The address where the farm serves the sources of a build.
        address: Box<dyn FnOnce(BuildUuid) -> String + Send>,
    },
    /// They are somewhere else.
    Elsewhere {
        /// Where.
        url: String,
        /// The SHA-256 that they must have, in hex.
        sha256: Option<String>,
    },
}

/// What a build does, and of what.
struct Planned {
    sha: CommitSha,
    git_ref: Option<GitRef>,
    ref_is_tag: bool,
    definition: Definition,
    timeout_s: Option<i32>,
}

impl Farm {
    /// Lets somebody hand a build in, unless the pipeline does not take one from such a thing.
    pub fn admit(
        &self,
        access: ProjectAccess,
        pipeline: Pipeline,
        asked_by: BuildSource,
    ) -> Option<Admission> {
        (pipeline.allow_manual || !asked_by.is_interactive()).then_some(Admission {
            access,
            pipeline,
            asked_by,
        })
    }

    /// Makes a build of what is handed in, and queues its jobs. One whose jobs cannot be is made
    /// too: it has failed, and says why.
    ///
    /// # Errors
    /// `Forbidden` to lower roles than developer; `Unavailable` when the sources cannot be kept.
    pub async fn submit_build(
        &self,
        actor: &Actor,
        admission: Admission,
        given: BuildSubmission,
    ) -> Result<Build, FarmError> {
        let access = &admission.access;
        access.require_builds(Role::Developer)?;
        let project = access.project().clone();
        let now = self.now();
        let uuid = self.inner.chance.build_uuid(now);
        let (planned, error) = match self.planned(&project, &admission, uuid, &given).await? {
            Ok(planned) => (planned, None),
            Err(error) => (self.unplanned(&given), Some(error)),
        };
        let mut submission = self.keep_source(uuid, given.source).await?;
        let kept = submission.source_key.clone();
        submission.message = given.message;
        submission.cause = Some(admission.asked_by.as_str().to_owned());
        submission.commit = given.commit;
        submission.branch = given.branch;
        submission.error = error;
        submission.timeout_s = planned.timeout_s;
        let new = NewBuild {
            git_ref: planned.git_ref,
            ref_is_tag: planned.ref_is_tag,
            created_by: Some(actor.user),
            submission,
            ..build_row(
                uuid,
                &project,
                admission.pipeline.id,
                planned.sha,
                planned.definition,
            )
        };
        match self
            .enqueue(&project, new, Uniqueness::Any, now, always, nothing_more)
            .await
        {
            Ok(created) => Ok(created.build()),
            Err(error) => {
                self.delete_blobs_of_failed_write(&error, kept).await;
                Err(error.into())
            }
        }
    }

    /// What a build that cannot be would have been of.
    fn unplanned(&self, given: &BuildSubmission) -> Planned {
        Planned {
            sha: sha_of(given),
            git_ref: ref_of(given),
            ref_is_tag: false,
            definition: Definition { jobs: Vec::new() },
            timeout_s: None,
        }
    }

    /// What a build does with what is handed in, or why it cannot.
    async fn planned(
        &self,
        project: &Project,
        admission: &Admission,
        uuid: BuildUuid,
        given: &BuildSubmission,
    ) -> Result<Result<Planned, BuildError>, FarmError> {
        let mut planned = match &given.graph {
            Some(Err(error)) => return Ok(Err(error.clone())),
            Some(Ok(graph)) => match self.graph_of(project, uuid, graph, given)? {
                Ok(planned) => planned,
                Err(why) => return Ok(Err(build_error(given.error_codes.invalid_graph, why))),
            },
            None => match self.own_jobs_of(project, &admission.pipeline, given).await {
                Ok(planned) => planned,
                Err(FarmError::Invalid(why)) => {
                    return Ok(Err(build_error(given.error_codes.invalid_definition, why)));
                }
                Err(error) => return Err(error),
            },
        };
        for job in &mut planned.definition.jobs {
            if let JobSpec::Script(script) = &mut job.spec {
                for (key, value) in given.env.expose() {
                    let own = script.variables.entry(key.clone());
                    own.or_insert_with(|| value.clone());
                }
            }
        }
        Ok(Ok(planned))
    }

    /// The jobs of a graph that was handed in.
    fn graph_of(
        &self,
        project: &Project,
        uuid: BuildUuid,
        graph: &StepGraph,
        given: &BuildSubmission,
    ) -> Result<Result<Planned, String>, FarmError> {
        let repository = self.repository_of(project)?;
        let keep = repository.map(|repository| format!("{}:step-{uuid}", repository.as_str()));
        let definition = match graph.clone().into_definition(keep.as_deref()) {
            Ok(definition) => definition,
            Err(error) => return Ok(Err(error.to_string())),
        };
        // Nothing to do is done at once.
        if !definition.jobs.is_empty()
            && let Err(error) = definition.check()
        {
            return Ok(Err(error.to_string()));
        }
        Ok(Ok(Planned {
            definition,
            timeout_s: graph
                .timeout_s
                .map(|s| i32::try_from(s).unwrap_or(i32::MAX)),
            ..self.unplanned(given)
        }))
    }

    /// The jobs that the pipeline itself has for the commit: of the branch, when no commit is named.
    async fn own_jobs_of(
        &self,
        project: &Project,
        pipeline: &Pipeline,
        given: &BuildSubmission,
    ) -> Result<Planned, FarmError> {
        let mut planned = self.unplanned(given);
        if planned.sha.is_none() && matches!(given.source, SubmittedSource::None) {
            let wanted = planned.git_ref.take();
            (planned.sha, planned.git_ref, planned.ref_is_tag) =
                self.commit_of(project, None, wanted).await?;
        }
        let at = Revision {
            sha: &planned.sha,
            git_ref: planned.git_ref.as_ref(),
            ref_is_tag: planned.ref_is_tag,
        };
        planned.definition = self.jobs_at(pipeline, project, at).await?;
        Ok(planned)
    }

    /// Stores what was handed in of the sources.
    async fn keep_source(
        &self,
        uuid: BuildUuid,
        source: SubmittedSource,
    ) -> Result<Submission, FarmError> {
        let (bytes, address) = match source {
            SubmittedSource::None => return Ok(Submission::default()),
            SubmittedSource::Elsewhere { url, sha256 } => {
                return Ok(Submission {
                    source_url: Some(url),
                    source_sha256: sha256,
                    ..Submission::default()
                });
            }
            SubmittedSource::Archive { bytes, address } => (bytes, address),
        };
        let key = self.inner.chance.blob_key("sources");
        let limit = bytes.len() as u64;
        let whole = stream::iter([Ok::<_, std::io::Error>(bytes)]);
        let stored = self.inner.blobs.put_stream(&key, limit, whole).await;
        let stored = stored.map_err(|error| match error {
            PutError::Blob(error) => error.into(),
            PutError::TooLarge { limit } => FarmError::TooLarge { limit },
            PutError::Source(error) => FarmError::Unavailable(error.to_string()),
        })?;
        Ok(Submission {
            source_key: Some(key),
            source_url: Some(address(uuid)),
            source_sha256: Some(stored.sha256),
            ..Submission::default()
        })
    }

    /// The sources that were handed in with a build, for its runners.
    ///
    /// # Errors
    /// `NotFound` without such a build or such sources; `BadToken` for any token but the build's.
    pub async fn stored_source(
        &self,
        uuid: BuildUuid,
        token: &SourceToken,
    ) -> Result<BlobStream, FarmError> {
        let find = move |conn: &mut Conn| builds::by_uuid(conn, uuid);
        let build = self.read(find).await?;
        if self.source_token(uuid).hash() != token.hash() {
            return Err(FarmError::BadToken);
        }
        let key = build.submission.source_key;
        let key = key.ok_or(FarmError::NotFound("source"))?;
        Ok(self.inner.blobs.get(&key, None).await?)
    }
}

fn build_error(code: &str, message: String) -> BuildError {
    BuildError {
        code: code.to_owned(),
        message,
    }
}

/// The commit that is named, if that is the whole name of one.
fn sha_of(given: &BuildSubmission) -> CommitSha {
    let named = given.commit.as_deref().and_then(|text| text.parse().ok());
    named.unwrap_or_else(CommitSha::none)
}

fn ref_of(given: &BuildSubmission) -> Option<GitRef> {
    given.branch.as_deref()?.parse().ok()
}
