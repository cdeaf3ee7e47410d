//! The use cases of the farm, and who may do what.
//!
//! Every dialect calls these and nothing below them. Nothing here knows HTTP, SQL or the words of
//! any dialect. All facts are in the database; memory holds only wake-ups and caches.
//!
//! All use cases are methods of [`Farm`], grouped into modules by topic.

mod access;
mod builds;
mod chance;
mod clock;
mod crypto;
mod error;
mod fail_points;
mod farm;
mod forges;
mod jobs;
pub mod limits;
mod projects;
mod queue;
mod runners;
mod settings;
mod state;
mod storage;
mod traces;

pub use access::authorize::{Actor, NamespaceAccess, ProjectAccess};
pub use access::file_links::{FileAccess, FileAction, FileLink};
pub use access::log_tokens::LogToken;
pub use access::people::{BootstrapTokens, UserUpdate};
pub use access::registry_accounts::RegistryAccess;
pub use access::rotation::{MAX_OVERLAP, Rotation};
pub use access::tokens::{TokenRequest, is_session_token};
pub use builds::attempts::{Attempt, BuildWithJobs, is_automatic_retry};
pub use builds::by_commit::{BuildIdentity, FoundImage};
pub use builds::create::commit_requests::{CommitRequest, RequestError};
pub use builds::create::from_commit::BuildRequest;
pub use builds::create::packages::{PackageRequest, RequestedUpload};
pub use builds::create::sources::SourceRequest;
pub use builds::create::submitted::{Admission, BuildSubmission, PlanErrorCodes, SubmittedSource};
pub use builds::details::{BuildDetails, DetailedJob};
pub use chance::Chance;
pub use clock::Clock;
pub use crypto::log_key::LogKey;
pub use crypto::seal::{NotAKey, SealKey, UnsealError};
pub use crypto::seal_key_file::{SealKeyError, open_seal_key};
pub use error::FarmError;
pub use fail_points::{FailPoint, FailPoints, Fault};
pub use farm::{Farm, Parts};
pub use forges::hook_settings::{HookSecret, HookSettings};
pub use forges::webhooks::{Forge, HookRefused, Proof, Push, PushOutcome, VerifiedHook};
pub use jobs::access::{JobAccess, JobStatus};
pub use jobs::artifact_uploads::{SentFile, UploadStep};
pub use jobs::artifacts::{FileKind, ReceivedArchive};
pub use jobs::report::{Ended, MadeImage, Report};
pub use projects::auto_create::AutoCreate;
pub use projects::build_variables::BuildVariables;
pub use projects::deploy_keys::{DeployKeyDetails, JobRepository, NewDeployKey};
pub use projects::lists::{ProjectContext, ProjectQuery, ProjectSelection};
pub use projects::manage::ProjectUpdate;
pub use projects::namespace_pipelines::{NewNamespacePipeline, PipelineUpdate};
pub use projects::pipelines::PipelineChange;
pub use projects::robots::RobotDetails;
pub use projects::secrets::{
    CredentialDetails, JobSecrets, NewVariable, PlainVariable, VariableDetails,
};
pub use projects::triggers::{ProjectKey, TriggerAccess};
pub use queue::claim::{ClaimedJob, ClaimedSource, NeededJob, Poll, PollAnswer, archive_of};
pub use queue::explain::{QueueLine, StartBlocker};
pub use queue::metrics::FarmMetrics;
pub use runners::manage::RunnerRequest;
pub use runners::managers::ManagerInfo;
pub use runners::registration_tokens::RegistrationRequest;
pub use settings::Settings;
pub use state::disk_space::{Disk, DiskUsage};
pub use state::pace::Pace;
pub use state::rates::{KeyedRates, Rate};
pub use state::trace_piece::TracePiece;
pub use storage::FarmStatus;
pub use traces::append::{AppendedTrace, SentTrace};
pub use traces::follow_build::BuildTraceEvent;
pub use traces::live::follow::TraceEvent;
// Rows of the store are the one model that every dialect translates.
pub use slipway_blobs::BlobStream;
pub use slipway_definition::SCHEMA as DEFINITION_SCHEMA;
pub use slipway_store::artifacts::{Artifact, Content};
pub use slipway_store::builds::{Build, BuildError, Filter as BuildFilter};
pub use slipway_store::job_lists::{CommitFilter, ListedBuild, ListedJob};
pub use slipway_store::jobs::{Details as JobDetails, Job};
pub use slipway_store::managers::Manager;
pub use slipway_store::people::{Member, User};
pub use slipway_store::phases::PhaseEntry;
pub use slipway_store::pipelines::Pipeline;
pub use slipway_store::project_search::Order as ProjectOrder;
pub use slipway_store::projects::{Namespace, Project, Settings as ProjectSettings};
pub use slipway_store::registration::Registration;
pub use slipway_store::runners::{About, Runner, Update as RunnerUpdate};
pub use slipway_store::tokens::Token;
pub use slipway_store::traces::{Chunk as TraceChunk, Extent};
pub use slipway_store::triggers::Trigger;
pub use slipway_store::uploads::{FileContent, UploadedFile};
pub use slipway_store::{MAX_ROWS, Page, Part, Slice};
