//! Creates builds that are submitted with their own jobs or sources.

use bytes::Bytes;
use futures_util::stream;
use slipway_blobs::{BlobStream, PutError};
use slipway_domain::pipeline::Definition;
use slipway_domain::steps::StepGraph;
use slipway_domain::tokens::SourceToken;
use slipway_domain::{
    BuildSource, BuildUuid, CommitSha, GitRef, JobSpec, RefName, Role, TrustLevel,
};
use slipway_store::Conn;
use slipway_store::builds::{self, Build, BuildError, NewBuild, Submission};
use slipway_store::pipelines::Pipeline;
use slipway_store::projects::Project;

use crate::access::authorize::{Actor, ProjectAccess};
use crate::builds::create::completing::Revision;
use crate::builds::create::enqueue::{Uniqueness, always, build_row, nothing_more};
use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::access::is_still_readable;
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

/// Proof that a pipeline accepts builds from this kind of source; only [`Farm::admit`] makes one.
pub struct Admission {
    access: ProjectAccess,
    pipeline: Pipeline,
    asked_by: BuildSource,
}

/// A submitted build.
pub struct BuildSubmission {
    /// The branch as the caller wrote it.
    pub branch: Option<String>,
    /// The commit as the caller wrote it.
    pub commit: Option<String>,
    pub message: Option<String>,
    /// Variables for all jobs that do not set them.
    pub env: BuildVariables,
    /// Sources to build instead of a commit.
    pub source: SubmittedSource,
    /// The jobs, or why they are invalid; those of the pipeline when absent.
    pub graph: Option<Result<StepGraph, BuildError>>,
    pub error_codes: PlanErrorCodes,
}

/// Sources to build instead of a commit: a gzipped tar.
pub enum SubmittedSource {
    None,
    Archive {
        bytes: Bytes,
        /// Makes the URL at which the farm serves the sources of a build.
        address: Box<dyn FnOnce(BuildUuid) -> String + Send>,
    },
    /// Sources on another server.
    Elsewhere {
        url: String,
        /// The SHA-256 that the sources must have, in hex.
        sha256: Option<String>,
    },
}

/// What a submitted build runs, and for which commit.
struct Plan {
    sha: CommitSha,
    git_ref: Option<GitRef>,
    ref_is_tag: bool,
    definition: Definition,
    timeout_s: Option<i32>,
    trust: TrustLevel,
}

impl Farm {
    /// Admits a build, unless the pipeline does not accept builds from this kind of source.
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

    /// Creates a submitted build. A build with invalid jobs is created too, as a failed build that
    /// shows the error. Requires a developer.
    ///
    /// # Errors
    /// `Forbidden`; `Unavailable` when the sources cannot be stored.
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
        // Planned before the sources are stored, because planning may fail without leaving
        // anything behind.
        let (plan, error) = match self.plan(&project, &admission, uuid, &given).await? {
            Ok(plan) => (plan, None),
            Err(error) => (self.empty_plan(&given), Some(error)),
        };
        let mut submission = self.store_source(uuid, given.source).await?;
        let stored = submission.source_key.clone();
        submission.message = given.message;
        submission.cause = Some(admission.asked_by.as_str().to_owned());
        submission.commit = given.commit;
        submission.branch = given.branch;
        submission.error = error;
        submission.timeout_s = plan.timeout_s;
        let new = NewBuild {
            trust: plan.trust,
            git_ref: plan.git_ref,
            ref_is_tag: plan.ref_is_tag,
            created_by: Some(actor.user),
            submission,
            ..build_row(
                uuid,
                &project,
                admission.pipeline.id,
                plan.sha,
                plan.definition,
            )
        };
        match self
            .enqueue(&project, new, Uniqueness::Any, now, always, nothing_more)
            .await
        {
            Ok(created) => Ok(created.build()),
            Err(error) => {
                self.delete_blobs_of_failed_write(&error, stored).await;
                Err(error.into())
            }
        }
    }

    /// A plan without jobs.
    fn empty_plan(&self, given: &BuildSubmission) -> Plan {
        let git_ref = ref_of(given);
        Plan {
            sha: sha_of(given),
            ref_is_tag: git_ref.as_ref().is_some_and(RefName::is_tag),
            git_ref: git_ref.map(|git_ref| git_ref.name),
            definition: Definition { jobs: Vec::new() },
            timeout_s: None,
            trust: TrustLevel::Unverified,
        }
    }

    /// The plan of a submitted build, or why it cannot run.
    async fn plan(
        &self,
        project: &Project,
        admission: &Admission,
        uuid: BuildUuid,
        given: &BuildSubmission,
    ) -> Result<Result<Plan, BuildError>, FarmError> {
        let mut plan = match &given.graph {
            Some(Err(error)) => return Ok(Err(error.clone())),
            Some(Ok(graph)) => match self.graph_of(project, uuid, graph, given)? {
                Ok(plan) => plan,
                Err(why) => return Ok(Err(build_error(given.error_codes.invalid_graph, why))),
            },
            None => match self.own_jobs_of(project, &admission.pipeline, given).await {
                Ok(plan) => plan,
                Err(FarmError::Invalid(why)) => {
                    return Ok(Err(build_error(given.error_codes.invalid_definition, why)));
                }
                Err(error) => return Err(error),
            },
        };
        for job in &mut plan.definition.jobs {
            if let JobSpec::Script(script) = &mut job.spec {
                for (key, value) in given.env.expose() {
                    let own = script.variables.entry(key.clone());
                    own.or_insert_with(|| value.clone());
                }
            }
        }
        Ok(Ok(plan))
    }

    /// The plan for a submitted graph.
    fn graph_of(
        &self,
        project: &Project,
        uuid: BuildUuid,
        graph: &StepGraph,
        given: &BuildSubmission,
    ) -> Result<Result<Plan, String>, FarmError> {
        let repository = self.repository_of(project)?;
        let keep = repository.map(|repository| format!("{}:step-{uuid}", repository.as_str()));
        let definition = match graph.clone().into_definition(keep.as_deref()) {
            Ok(definition) => definition,
            Err(error) => return Ok(Err(error.to_string())),
        };
        // A graph without jobs is valid: its build succeeds immediately.
        if !definition.jobs.is_empty()
            && let Err(error) = definition.check()
        {
            return Ok(Err(error.to_string()));
        }
        if let Err(error) = self.push_targets(project)?.check(&definition) {
            return Ok(Err(error.to_string()));
        }
        Ok(Ok(Plan {
            definition,
            timeout_s: graph
                .timeout_s
                .map(|s| i32::try_from(s).unwrap_or(i32::MAX)),
            ..self.empty_plan(given)
        }))
    }

    /// The plan with the jobs of the pipeline, for the commit or the head of the branch.
    async fn own_jobs_of(
        &self,
        project: &Project,
        pipeline: &Pipeline,
        given: &BuildSubmission,
    ) -> Result<Plan, FarmError> {
        let mut plan = self.empty_plan(given);
        if plan.sha.is_none() && matches!(given.source, SubmittedSource::None) {
            (plan.sha, plan.git_ref, plan.ref_is_tag) =
                self.commit_of(project, None, ref_of(given)).await?;
            let (git_ref, branch) = (plan.git_ref.as_ref(), &project.default_branch);
            plan.trust = TrustLevel::of_head(git_ref, plan.ref_is_tag, branch);
        }
        let at = Revision {
            sha: &plan.sha,
            git_ref: plan.git_ref.as_ref(),
            ref_is_tag: plan.ref_is_tag,
        };
        let wait = Some(self.inner.settings.definition_wait);
        plan.definition = self.jobs_at(pipeline, project, at, wait).await?;
        Ok(plan)
    }

    /// Stores submitted sources.
    async fn store_source(
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
        let stored = self.put_blob_stream(&key, limit, whole).await;
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

    /// The submitted sources of a build, for its runners, until an hour after the end of the build.
    ///
    /// # Errors
    /// `NotFound` when there is no such build or it has no stored sources; `BadToken` for any token
    /// but the build's, and after that time; `ContentMissing`.
    pub async fn stored_source(
        &self,
        uuid: BuildUuid,
        token: &SourceToken,
    ) -> Result<BlobStream, FarmError> {
        let find = move |conn: &mut Conn| builds::by_uuid(conn, uuid);
        let build = self.read(find).await?;
        let is_known = self.source_token(uuid).hash() == token.hash();
        if !is_known || !is_still_readable(build.finished_at, self.expiry_now()) {
            return Err(FarmError::BadToken);
        }
        let key = build.submission.source_key;
        let key = key.ok_or(FarmError::NotFound("source"))?;
        let what = format!("the source archive of build {uuid}");
        let found = self.inner.blobs.get(&key, None).await;
        found.map_err(FarmError::missing(what))
    }
}

fn build_error(code: &str, message: String) -> BuildError {
    BuildError {
        code: code.to_owned(),
        message,
    }
}

/// The named commit, if it is a full commit id.
fn sha_of(given: &BuildSubmission) -> CommitSha {
    let named = given.commit.as_deref().and_then(|text| text.parse().ok());
    named.unwrap_or_else(CommitSha::none)
}

fn ref_of(given: &BuildSubmission) -> Option<RefName> {
    given.branch.as_deref()?.parse().ok()
}
