//! The use cases of the farm, and who may do what.
//!
//! Every dialect calls these and nothing below them. Nothing here knows HTTP, SQL or the words of
//! any dialect. The database is the truth; what is kept in memory only wakes those who wait.

mod access;
mod artifacts;
mod build_log;
mod build_trace;
mod builds;
mod by_commit;
mod by_token;
mod chance;
mod claim;
mod cli_logins;
mod clock;
mod commit_requests;
mod commits;
mod completing;
mod definitions;
mod deploy_keys;
mod derive;
mod duties;
mod error;
mod explain;
mod figures;
mod file_links;
mod first_use;
mod handed;
mod hooks;
mod job_lists;
mod jwt;
mod kept;
mod live;
mod log_tokens;
mod made_images;
mod marked;
mod mask;
mod packages;
mod passwords;
mod people;
mod pipelines;
mod processes;
mod project_lists;
mod projects;
mod quay_phases;
mod registration;
mod removal;
mod report;
mod robots;
mod runner_bonds;
mod runners;
mod seal;
mod secrets;
mod settings;
mod detailed_builds;
mod sources;
mod statuses;
mod tokens;
mod told_builds;
mod trace;
mod triggers;
mod uploads;
mod wakeups;
mod wide_pipelines;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chrono::{DateTime, Utc};
use slipway_blobs::Blobs;
use slipway_git::Git;
use slipway_store::Store;
use tokio_util::sync::CancellationToken;

pub use access::{Actor, NamespaceAccess, ProjectAccess};
pub use artifacts::{FileKind, ReceivedArchive};
pub use build_log::{BuildLog, LogEntry};
pub use build_trace::BuildText;
pub use builds::BuildRequest;
pub use by_commit::{BuildIdentity, FoundImage};
pub use by_token::JobStatus;
pub use chance::Chance;
pub use claim::{ClaimedJob, ClaimedSource, Needed, Poll, PollAnswer, archive_of};
pub use clock::Clock;
pub use commit_requests::{CommitRequest, RequestError};
pub use deploy_keys::{JobRepository, NewDeployKey, DeployKeyDetails};
pub use error::FarmError;
pub use explain::{QueueLine, StartBlocker};
pub use figures::Figures;
pub use file_links::{FileAction, FileLink};
pub use first_use::AutoCreate;
pub use handed::{Admission, BuildSubmission, SubmittedSource};
pub use hooks::{Forge, HookRefused, HookSecret, HookSettings, Proof, Push, VerifiedHook};
pub use live::{TraceEvent, TracePiece};
pub use log_tokens::{LogKey, LogToken};
pub use packages::PackageRequest;
pub use people::{BootstrapTokens, UserUpdate};
pub use pipelines::PipelineChange;
pub use processes::Process;
pub use project_lists::{ProjectContext, ProjectQuery, ProjectSelection};
pub use projects::ProjectUpdate;
pub use quay_phases::{Fault, PackagePhase};
pub use registration::RegistrationRequest;
pub use report::{Ended, MadeImage, Report};
pub use robots::RobotDetails;
pub use runners::RunnerRequest;
pub use seal::{SealKey, SealKeyError, UnsealError};
pub use secrets::{BuildVariables, JobSecrets, PlainVariable, CredentialDetails, VariableDetails};
pub use settings::Settings;
pub use detailed_builds::{BuildDetails, DetailedJob};
pub use sources::SourceRequest;
pub use tokens::{TokenRequest, is_session_token};
pub use told_builds::ToldBuild;
pub use trace::{Appended, SentTrace};
pub use triggers::{ProjectKey, TriggerAccess};
pub use wide_pipelines::{NewNamespacePipeline, PipelineUpdate};
// Rows as the store reads them are the one model that every dialect says in its own words.
pub use slipway_blobs::BlobStream;
pub use slipway_definition::SCHEMA as DEFINITION_SCHEMA;
pub use slipway_store::artifacts::{Artifact, Content};
pub use slipway_store::builds::{Build, BuildError, Filter as BuildFilter};
pub use slipway_store::job_lists::{JobFilter, ListedBuild, ListedJob};
pub use slipway_store::jobs::{Details as JobDetails, Job};
pub use slipway_store::managers::Manager;
pub use slipway_store::people::{Member, User};
pub use slipway_store::pipelines::Pipeline;
pub use slipway_store::project_search::Order as ProjectOrder;
pub use slipway_store::projects::{Namespace, Project, Settings as ProjectSettings};
pub use slipway_store::registration::Registration;
pub use slipway_store::runners::{About, Runner, Update as RunnerUpdate};
pub use slipway_store::tokens::Token;
pub use slipway_store::traces::Extent;
pub use slipway_store::triggers::Trigger;
pub use slipway_store::uploads::{FileContent, UploadedFile};
pub use slipway_store::{Page, Slice};

/// The farm. Clones share it.
#[derive(Clone)]
pub struct Farm {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    blobs: Blobs,
    git: Git,
    clock: Clock,
    chance: Chance,
    seal: SealKey,
    settings: Settings,
    wakeups: wakeups::Wakeups,
    /// The jobs that somebody follows here.
    rooms: live::Rooms,
    /// How fast those who follow are told.
    pace: live::Pace,
    /// Where what nobody waits for goes on.
    runtime: tokio::runtime::Handle,
    /// Lets few passwords be hashed at once.
    hashing: passwords::Hashing,
    learning: commits::Learning,
    brought: definitions::Brought,
    /// Tells this start of the farm from every other one.
    start: String,
    /// Ends held requests when the coordinator stops.
    stopping: CancellationToken,
    /// Whether the database could not be reached when leases were last looked at.
    database_was_away: AtomicBool,
}

/// What a farm is made of.
pub struct Parts {
    /// Where rows are.
    pub store: Store,
    /// Where bytes are.
    pub blobs: Blobs,
    /// The git command line.
    pub git: Git,
    /// What time it is.
    pub clock: Clock,
    /// Where random bytes come from.
    pub chance: Chance,
    /// What secrets are sealed with.
    pub seal: SealKey,
    /// What the operator decided.
    pub settings: Settings,
}

impl Farm {
    /// Opens the farm: every running job has time to be heard of.
    ///
    /// # Errors
    /// `Unavailable` when the database is.
    pub async fn open(parts: Parts) -> Result<Self, FarmError> {
        let start: [u8; 8] = parts.chance.bytes();
        let pace = live::Pace::new(parts.settings.follow_bytes_per_s);
        let farm = Self {
            inner: Arc::new(Inner {
                store: parts.store,
                blobs: parts.blobs,
                git: parts.git,
                clock: parts.clock,
                chance: parts.chance,
                seal: parts.seal,
                settings: parts.settings,
                wakeups: wakeups::Wakeups::default(),
                rooms: live::Rooms::default(),
                pace,
                runtime: tokio::runtime::Handle::current(),
                hashing: passwords::Hashing::default(),
                learning: commits::Learning::default(),
                brought: definitions::Brought::default(),
                start: hex::encode(start),
                stopping: CancellationToken::new(),
                database_was_away: AtomicBool::new(false),
            }),
        };
        farm.grant_grace().await?;
        farm.ensure_log_key().await?;
        Ok(farm)
    }

    /// What the operator decided.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// How many polls wait for a job.
    pub fn parked_polls(&self) -> usize {
        self.inner.wakeups.parked()
    }

    /// Answers every held request at once, and holds none from now on.
    pub fn stop(&self) {
        self.inner.stopping.cancel();
    }

    /// Whether it was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.inner.stopping.is_cancelled()
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// `Unavailable` when it does not.
    pub async fn check(&self) -> Result<(), FarmError> {
        self.inner
            .store
            .read(slipway_store::queue::pending_queues)
            .await?;
        Ok(())
    }

    /// A fresh name for a request, for those who ask about it later.
    pub fn request_id(&self) -> String {
        hex::encode(self.inner.chance.bytes::<16>())
    }

    fn now(&self) -> DateTime<Utc> {
        self.inner.clock.now()
    }
}
