//! What the operator decided, as far as the use cases care.

use std::time::Duration;

use slipway_github::Github;

use crate::crypto::log_key::LogKey;
use crate::forges::hook_settings::HookSettings;
use crate::projects::auto_create::AutoCreate;

/// What the operator decided.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address by which clients and runners reach the farm, where it was told.
    pub public_url: Option<String>,
    /// The registry that images of projects without a repository of their own are pushed to.
    pub registry: Option<String>,
    /// How long a runner that beats may be silent before its job is lost.
    pub lease: Duration,
    /// How long a stock runner may be silent before its job is lost.
    pub stock_lease: Duration,
    /// How long a stock runner of 0.5 may be silent, which says nothing while its job prints nothing.
    pub silent_lease: Duration,
    /// How long every lease holds at least after a start of the coordinator.
    pub grace: Duration,
    /// How long a poll waits for a job before it is answered "nothing".
    pub poll_wait: Duration,
    /// How long a job waits at the most for a busy runner that built its project lately; zero when
    /// none waits.
    pub warm_wait: Duration,
    /// How many attempts the farm makes of a job that was lost through no fault of its own.
    pub max_attempts: i32,
    /// The largest archive that is taken, in bytes.
    pub max_artifact_bytes: u64,
    /// The largest file that is taken as the package of a build, in bytes.
    pub max_upload_bytes: u64,
    /// How long a file may be uploaded to its place, and stays there while no build uses it.
    pub upload_lifetime: Duration,
    /// How long a file is kept after a build last used it; for ever without it.
    pub upload_keep: Option<Duration>,
    /// The longest trace that is taken, in bytes.
    pub max_trace_bytes: u64,
    /// How long a follower of a trace that grows may take nothing before it is cut off.
    pub slow_reader: Duration,
    /// How many bytes of a trace that grows may come, while a follower is busy with what it took,
    /// before it is cut off.
    pub max_reader_lag_bytes: u64,
    /// How many bytes in a second the followers of live traces are told together.
    pub follow_bytes_per_s: u64,
    /// What log tokens are signed with: the first signs, and all are believed. The farm keeps keys
    /// of its own when there is none.
    pub log_keys: Vec<LogKey>,
    /// Whether the default pipelines of projects that are made from now on read the repository.
    pub pipelines_from_repository: bool,
    /// Which projects are made when somebody asks for the first build of them.
    pub auto_create: AutoCreate,
    /// What push hooks are signed with.
    pub hooks: HookSettings,
    /// The GitHub that is asked for branches and told how builds go.
    pub github: Option<Github>,
    /// What a status links to: a URL with `{id}`, `{repository}`, `{branch}` and `{sha}` in it.
    /// Below the public address when absent.
    pub status_url: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_url: None,
            registry: None,
            lease: Duration::from_secs(15),
            stock_lease: Duration::from_secs(90),
            silent_lease: Duration::from_secs(3600),
            grace: Duration::from_secs(30),
            poll_wait: Duration::from_secs(50),
            warm_wait: Duration::from_secs(2),
            max_attempts: 3,
            max_artifact_bytes: 1 << 30,
            max_upload_bytes: 1 << 30,
            upload_lifetime: Duration::from_secs(3600),
            upload_keep: Some(Duration::from_secs(30 * 24 * 3600)),
            max_trace_bytes: 1 << 30,
            slow_reader: Duration::from_secs(60),
            max_reader_lag_bytes: 64 << 20,
            follow_bytes_per_s: 256 << 20,
            log_keys: Vec::new(),
            pipelines_from_repository: true,
            auto_create: AutoCreate::default(),
            hooks: HookSettings::default(),
            github: None,
            status_url: None,
        }
    }
}
