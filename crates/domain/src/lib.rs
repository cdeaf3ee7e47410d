//! The rules of the farm as pure functions on values: ids, tokens, states, job specs, matching.
//!
//! There is no I/O, no clock and no randomness in this crate: the current time and random bytes
//! are arguments. Names and text are parsed once, at the edge, into types that are always valid.

pub mod access;
pub mod backoff;
pub mod build;
pub mod byte_range;
pub mod expiry;
pub mod ids;
pub mod image;
pub mod job;
pub mod names;
pub mod pipeline;
pub mod queue;
pub mod repository;
mod text_enum;
pub mod tokens;

pub use access::{Role, Scope, ScopeSet, Visibility};
pub use build::rollup::{self, BuildState};
pub use build::source::BuildSource;
pub use build::trust::TrustLevel;
pub use ids::{
    ArtifactId, ArtifactUploadId, BuildId, BuildUuid, ClaimRequestId, CredentialId, JobId, JobUuid,
    NamespaceId, PipelineId, ProjectId, QueueKeyId, RunnerId, TokenId, TriggerId, UploadId, UserId,
    VariableId,
};
pub use image::base_image;
pub use image::details::{BuildStep, ImageDetails, Layer};
pub use image::package;
pub use image::platform::Platform;
pub use job::retry;
pub use job::spec::{self, ImageBuild, JobSpec, Script};
pub use job::state::{
    Event, FailureReason, InvalidTransition, JobState, Lease, Outcome, Phase, ReportedResult,
    StateName,
};
pub use job::timestamps::{self, TimestampReader};
pub use job::trace_limit::{self, TraceLimit};
pub use names::{CommitSha, GitRef, Invalid, Name, Slug, TagSet};
pub use pipeline::needs::When;
pub use pipeline::{platforms, steps};
pub use queue::features::FeatureSet;
pub use repository::commit::{Commit, Signature};
pub use repository::lookup::{CommitName, ProjectPath, ProjectPattern, ShaPrefix};
pub use repository::refs::{RefKind, RefName};
pub use repository::submodules::Submodules;
pub use tokens::{
    AccessToken, JobToken, Nonce, RegistrationToken, RunnerToken, TokenHash, TriggerToken,
};
