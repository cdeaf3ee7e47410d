//! Settings of the use cases, which the operator chooses at start.

use std::time::Duration;

use slipway_domain::ProjectPattern;
use slipway_domain::image::push_targets::SharedTargets;
use slipway_github::Github;

use crate::crypto::log_key::LogKey;
use crate::forges::hook_settings::HookSettings;
use crate::projects::auto_create::AutoCreate;
use crate::state::disk_space::Disk;

/// Settings of the use cases.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The base URL by which clients and runners reach the farm, if configured.
    pub public_url: Option<String>,
    /// The registry for images of projects that name no image repository.
    pub registry: Option<String>,
    /// The repositories to which every project may push besides its own.
    pub shared_targets: SharedTargets,
    /// The lease of a runner that sends heartbeats.
    pub lease: Duration,
    /// The lease of a stock runner.
    pub stock_lease: Duration,
    /// The lease of a stock runner 0.5, which sends nothing while its job prints nothing.
    pub silent_lease: Duration,
    /// For how long every lease is valid at least after a start of the coordinator.
    pub grace: Duration,
    /// How long a poll waits for a job before it is answered "nothing".
    pub poll_wait: Duration,
    /// For how long a pending job is reserved at most for a busy runner that built its project
    /// lately; zero disables reservations.
    pub warm_wait: Duration,
    /// How many attempts the farm makes of a job that failed through no fault of its own.
    pub max_attempts: i32,
    /// The size, in bytes, that an uploaded archive must stay below.
    pub max_artifact_bytes: u64,
    /// The largest file, in bytes, that can be uploaded as the package of a build.
    pub max_upload_bytes: u64,
    /// How many bytes the files of the jobs of one project may have together.
    pub max_project_bytes: u64,
    /// How many bytes the uploads of one user may have together.
    pub max_user_upload_bytes: u64,
    /// How long a file may be uploaded to its place, and stays there while no build uses it.
    pub upload_lifetime: Duration,
    /// How long a file stays stored after a build last used it; for ever when absent.
    pub upload_keep: Option<Duration>,
    /// The directories with blobs and the database, as far as they are on this host.
    pub disks: Vec<Disk>,
    /// How many bytes must be free on each of these disks; below, what is not urgent is refused.
    pub min_free_bytes: u64,
    /// How much a trace keeps, in bytes; of a longer one, the beginning and the end.
    pub max_trace_bytes: u64,
    /// How long a follower of a growing trace may take nothing before it is cut off.
    pub slow_reader: Duration,
    /// How many bytes may be appended to a trace while a follower is busy, before it is cut off.
    pub max_reader_lag_bytes: u64,
    /// How many bytes per second all followers of live traces get together.
    pub follow_bytes_per_s: u64,
    /// The keys of log tokens: the first one signs, and all are accepted. When there are none the
    /// farm creates its own.
    pub log_keys: Vec<LogKey>,
    /// Projects without a deploy key whose ssh repositories are read with the keys of the host.
    pub host_ssh_keys: Vec<ProjectPattern>,
    /// Whether the default pipelines of new projects read their definition from the repository.
    pub pipelines_from_repository: bool,
    /// Which projects are created when their first build is requested.
    pub auto_create: AutoCreate,
    /// The secrets of push webhooks.
    pub hooks: HookSettings,
    /// How long a push webhook is answered late at most, while the repository is being read. Forges
    /// give up after about ten seconds.
    pub hook_wait: Duration,
    /// How long a request waits at most until a definition is read from a repository.
    pub definition_wait: Duration,
    /// The GitHub to ask for branches and to report commit statuses to.
    pub github: Option<Github>,
    /// What a commit status links to: a URL with `{id}`, `{repository}`, `{branch}` and `{sha}` in
    /// it. A page below the public URL when absent.
    pub status_url: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_url: None,
            registry: None,
            shared_targets: SharedTargets::default(),
            lease: Duration::from_secs(15),
            stock_lease: Duration::from_secs(90),
            silent_lease: Duration::from_secs(3600),
            grace: Duration::from_secs(30),
            poll_wait: Duration::from_secs(50),
            warm_wait: Duration::from_secs(2),
            max_attempts: 3,
            max_artifact_bytes: 1 << 30,
            max_upload_bytes: 1 << 30,
            max_project_bytes: 100 << 30,
            max_user_upload_bytes: 100 << 30,
            upload_lifetime: Duration::from_secs(3600),
            upload_keep: Some(Duration::from_secs(30 * 24 * 3600)),
            disks: Vec::new(),
            min_free_bytes: 256 << 20,
            max_trace_bytes: 1 << 30,
            slow_reader: Duration::from_secs(60),
            max_reader_lag_bytes: 64 << 20,
            follow_bytes_per_s: 256 << 20,
            log_keys: Vec::new(),
            host_ssh_keys: Vec::new(),
            pipelines_from_repository: true,
            auto_create: AutoCreate::default(),
            hooks: HookSettings::default(),
            hook_wait: Duration::from_secs(8),
            definition_wait: Duration::from_secs(30),
            github: None,
            status_url: None,
        }
    }
}
