//! The words and the rules of the farm: ids, tokens, states, job specs, matching.
//!
//! Everything here is a pure function on values. There is no I/O, no clock and no chance:
//! `now` and random bytes come in as arguments.

pub mod abilities;
pub mod access;
pub mod asked_by;
pub mod base_image;
pub mod build_result;
pub mod by_commit;
pub mod commit;
pub mod expiry;
pub mod graph;
pub mod ids;
pub mod image;
pub mod image_mark;
pub mod names;
pub mod package;
pub mod pipeline;
pub mod platform;
pub mod platforms;
pub mod queue;
pub mod range;
pub mod retry;
pub mod rollup;
pub mod spec;
pub mod state;
pub mod steps;
pub mod submodules;
pub mod tokens;
mod words;

pub use abilities::FeatureSet;
pub use access::{Role, Scope, ScopeSet, Visibility};
pub use asked_by::BuildSource;
pub use build_result::{BuildStep, ImageDetails, Layer};
pub use by_commit::{CommitName, ProjectPath, ProjectPattern, ShaPrefix};
pub use commit::{Commit, Signature};
pub use graph::When;
pub use ids::{
    ArtifactId, BuildId, BuildUuid, CredentialId, JobId, JobUuid, NamespaceId, PipelineId,
    ProjectId, QueueKeyId, RunnerId, TokenId, TriggerId, UploadId, UserId, VariableId,
};
pub use names::{CommitSha, GitRef, Invalid, Name, Slug, TagSet};
pub use platform::Platform;
pub use rollup::BuildState;
pub use spec::{ImageBuild, JobSpec, Script};
pub use state::{
    Event, FailureReason, JobState, Lease, Outcome, Phase, Refused, ReportedResult, StateName,
};
pub use submodules::Submodules;
pub use tokens::{AccessToken, JobToken, RegistrationToken, RunnerToken, TokenHash, TriggerToken};
