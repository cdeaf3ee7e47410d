//! The configuration of the coordinator, read once at start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use slipway_blobs::BlobLocation;
use slipway_domain::image::push_targets::SharedTargets;
use slipway_farm::{Disk, LogKey, Settings};
use slipway_outbound::Outbound;
use slipway_store::DatabaseUrl;

use crate::dialects::{Harmont, Quay};
use crate::durations::{seconds, seconds_or_none};
use crate::forges::Forges;
use crate::network::Network;
use crate::traffic::Traffic;

/// The configuration of the coordinator.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// The address to listen on.
    #[arg(long, env = "SLIPWAY_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// The directory for the database, traces, artifacts and keys that are not stored elsewhere.
    #[arg(long, env = "SLIPWAY_DATA_DIR")]
    pub data_dir: PathBuf,
    /// The database: sqlite:///path/to/file.db or postgres://user@host/database [default: a SQLite
    /// file in the data directory]. Other users of this host can see command lines: pass a URL with
    /// a password in the variable or a file.
    #[arg(long, env = "SLIPWAY_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<DatabaseUrl>,
    /// A file that contains the URL of the database; `-` is standard input.
    #[arg(long, env = "SLIPWAY_DATABASE_URL_FILE", value_name = "FILE",
          conflicts_with = "database_url", value_parser = database_url_in)]
    pub database_url_file: Option<DatabaseUrl>,
    /// The blob store for traces and artifacts: a directory, or s3://bucket/prefix?endpoint=URL
    /// [default: a directory in the data directory].
    #[arg(long, env = "SLIPWAY_BLOB_URL")]
    pub blob_url: Option<BlobLocation>,
    /// The URL by which clients and runners reach the farm. Links and the API description use it.
    #[arg(long, env = "SLIPWAY_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// The registry, HOST or HOST:PORT, for projects without an image repository of their own.
    #[arg(long, env = "SLIPWAY_REGISTRY")]
    pub registry: Option<String>,
    /// A repository to which, and below which, every project may push in addition to its own, such as
    /// `registry.example/shared`; `*` allows all. Separate repositories with commas.
    #[arg(
        long,
        env = "SLIPWAY_ALLOW_PUSH_TO",
        value_name = "REPOSITORIES",
        default_value = "",
        hide_default_value = true,
        value_parser = SharedTargets::from_list
    )]
    pub allow_push_to: SharedTargets,
    /// The file with the key that encrypts secrets. It is created if it does not exist. Coordinators
    /// that share a database share the key [default: seal-key in the data directory].
    #[arg(long, env = "SLIPWAY_SEAL_KEY_FILE")]
    pub seal_key_file: Option<PathBuf>,
    /// The file with the keys of log tokens, 64 hex digits a line. The first key signs, and all keys
    /// are accepted [default: a key that the farm generates].
    #[arg(long, env = "SLIPWAY_LOG_KEY_FILE")]
    pub log_key_file: Option<PathBuf>,
    /// Limits in time and size.
    #[command(flatten)]
    pub limits: Limits,
    /// Options for GitHub, GitLab and Gitea.
    #[command(flatten)]
    pub forges: Forges,
    /// Options for connections to servers that users name.
    #[command(flatten)]
    pub network: Network,
    #[command(flatten)]
    pub traffic: Traffic,
    #[command(flatten)]
    pub harmont: Harmont,
    #[command(flatten)]
    pub quay: Quay,
}

/// Limits in time and size.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Limits {
    /// Seconds without a heartbeat after which a job of our runner is lost.
    #[arg(long, env = "SLIPWAY_LEASE_S", default_value = "15", value_parser = seconds)]
    pub lease_s: Duration,
    /// Seconds without a request after which a job of a stock runner is lost.
    #[arg(long, env = "SLIPWAY_STOCK_LEASE_S", default_value = "90", value_parser = seconds)]
    pub stock_lease_s: Duration,
    /// Seconds without a request after which a job of a stock runner 0.5 is lost, which sends nothing
    /// while its job prints nothing.
    #[arg(long, env = "SLIPWAY_SILENT_LEASE_S", default_value = "3600", value_parser = seconds)]
    pub silent_lease_s: Duration,
    /// Seconds for which every lease is valid after the coordinator starts.
    #[arg(long, env = "SLIPWAY_GRACE_S", default_value = "30", value_parser = seconds)]
    pub grace_s: Duration,
    /// Seconds for which a runner's poll is held if no job is pending.
    #[arg(long, env = "SLIPWAY_POLL_WAIT_S", default_value = "50", value_parser = seconds)]
    pub poll_wait_s: Duration,
    /// Seconds for which an image build is reserved for a busy runner that built its project lately;
    /// 0 turns reservations off.
    #[arg(long, env = "SLIPWAY_WARM_WAIT_S", default_value = "2", value_parser = seconds_or_none)]
    pub warm_wait_s: Duration,
    /// Attempts at a job that fails through no fault of its own.
    #[arg(long, env = "SLIPWAY_MAX_ATTEMPTS", default_value = "3",
          value_parser = clap::value_parser!(i32).range(1..=100))]
    pub max_attempts: i32,
    /// The size, in bytes, that an archive must stay below.
    #[arg(long, env = "SLIPWAY_MAX_ARTIFACT_BYTES", default_value = "1073741824")]
    pub max_artifact_bytes: u64,
    /// The largest package that can be uploaded for a build, in bytes.
    #[arg(long, env = "SLIPWAY_MAX_UPLOAD_BYTES", default_value = "1073741824")]
    pub max_upload_bytes: u64,
    /// The largest total size of the files of one project's jobs, in bytes. Beyond it, uploads of artifacts
    /// are refused.
    #[arg(
        long,
        env = "SLIPWAY_MAX_PROJECT_BYTES",
        default_value = "107374182400"
    )]
    pub max_project_bytes: u64,
    /// The largest total size of the sources and packages that one user uploaded, in bytes. Beyond it,
    /// uploads are refused.
    #[arg(
        long,
        env = "SLIPWAY_MAX_USER_UPLOAD_BYTES",
        default_value = "107374182400"
    )]
    pub max_user_upload_bytes: u64,
    /// Days that sources and uploaded files are kept after their last use by a build; 0 keeps them
    /// forever.
    #[arg(long, env = "SLIPWAY_UPLOAD_KEEP_DAYS", default_value = "30")]
    pub upload_keep_days: u32,
    /// MiB that must be free on the disks of the database and of traces and artifacts. Below that,
    /// uploads, traces and new builds are refused; 0 refuses nothing before a disk is full.
    #[arg(long, env = "SLIPWAY_MIN_FREE_MB", default_value = "256")]
    pub min_free_mb: u64,
    /// How much a trace keeps, in bytes; of a longer one, the beginning and the end.
    #[arg(long, env = "SLIPWAY_MAX_TRACE_BYTES", default_value = "1073741824")]
    pub max_trace_bytes: u64,
    /// Seconds for which a reader of a live trace may read nothing before it is disconnected.
    #[arg(long, env = "SLIPWAY_SLOW_READER_S", default_value = "60", value_parser = seconds)]
    pub slow_reader_s: Duration,
    /// Bytes that may arrive in a live trace while a reader is busy, before the reader is disconnected.
    #[arg(long, env = "SLIPWAY_MAX_READER_LAG_BYTES", default_value = "67108864")]
    pub max_reader_lag_bytes: u64,
    /// Bytes per second for all readers of live traces together, in turns.
    #[arg(long, env = "SLIPWAY_FOLLOW_BYTES_PER_S", default_value = "268435456",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub follow_bytes_per_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let farm = Settings::default();
        Self {
            lease_s: farm.lease,
            stock_lease_s: farm.stock_lease,
            silent_lease_s: farm.silent_lease,
            grace_s: farm.grace,
            poll_wait_s: farm.poll_wait,
            warm_wait_s: farm.warm_wait,
            max_attempts: farm.max_attempts,
            max_artifact_bytes: farm.max_artifact_bytes,
            max_upload_bytes: farm.max_upload_bytes,
            max_project_bytes: farm.max_project_bytes,
            max_user_upload_bytes: farm.max_user_upload_bytes,
            upload_keep_days: farm.upload_keep.map_or(0, days_of),
            min_free_mb: farm.min_free_bytes >> 20,
            max_trace_bytes: farm.max_trace_bytes,
            slow_reader_s: farm.slow_reader,
            max_reader_lag_bytes: farm.max_reader_lag_bytes,
            follow_bytes_per_s: farm.follow_bytes_per_s,
        }
    }
}

/// Reads the URL of a database from a file.
fn database_url_in(path: &str) -> Result<DatabaseUrl, String> {
    let text = if path == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| format!("could not read it: {error}"))?;
    text.trim().parse()
}

impl Config {
    /// The database.
    pub fn database(&self) -> DatabaseUrl {
        let default = || DatabaseUrl::Sqlite(self.data_dir.join("slipway.db"));
        let given = self.database_url.as_ref();
        let given = given.or(self.database_url_file.as_ref());
        given.cloned().unwrap_or_else(default)
    }

    /// The blob store.
    pub(crate) fn blobs(&self) -> BlobLocation {
        let default = || BlobLocation::Directory(self.data_dir.join("blobs"));
        self.blob_url.clone().unwrap_or_else(default)
    }

    /// The directories of the database and of the blobs, as far as they are on this host.
    fn disks(&self) -> Vec<Disk> {
        let database = match self.database() {
            DatabaseUrl::Sqlite(file) => file.parent().map(Path::to_owned),
            DatabaseUrl::Postgres(_) => None,
        };
        let blobs = match self.blobs() {
            BlobLocation::Directory(path) => Some(path),
            BlobLocation::S3 { .. } => None,
        };
        let disks = [("database", database), ("blobs", blobs)].into_iter();
        disks
            .filter_map(|(name, path)| Some(Disk { name, path: path? }))
            .collect()
    }

    /// The file with the key that encrypts secrets.
    pub(crate) fn seal_key(&self) -> PathBuf {
        self.seal_key_file
            .clone()
            .unwrap_or_else(|| self.data_dir.join("seal-key"))
    }

    /// The settings of the farm, whose requests to GitHub go through `outbound`.
    ///
    /// # Errors
    /// If a file with a secret cannot be read, or its content is not a valid secret.
    pub(crate) fn settings(&self, outbound: &Outbound) -> anyhow::Result<Settings> {
        let forges = self.forges.settings(outbound)?;
        let log_keys = self.log_key_file.as_deref().map(log_keys).transpose()?;
        let log_keys = log_keys.unwrap_or_default();
        Ok(Settings {
            public_url: self.public_url.clone(),
            registry: self.registry.clone(),
            shared_targets: self.allow_push_to.clone(),
            lease: self.limits.lease_s,
            stock_lease: self.limits.stock_lease_s,
            silent_lease: self.limits.silent_lease_s,
            grace: self.limits.grace_s,
            poll_wait: self.limits.poll_wait_s,
            warm_wait: self.limits.warm_wait_s,
            max_attempts: self.limits.max_attempts,
            max_artifact_bytes: self.limits.max_artifact_bytes,
            max_upload_bytes: self.limits.max_upload_bytes,
            max_project_bytes: self.limits.max_project_bytes,
            max_user_upload_bytes: self.limits.max_user_upload_bytes,
            upload_keep: days(self.limits.upload_keep_days),
            disks: self.disks(),
            min_free_bytes: self.limits.min_free_mb.saturating_mul(1 << 20),
            max_trace_bytes: self.limits.max_trace_bytes,
            log_keys,
            host_ssh_keys: self.network.host_ssh_keys.clone(),
            slow_reader: self.limits.slow_reader_s,
            max_reader_lag_bytes: self.limits.max_reader_lag_bytes,
            follow_bytes_per_s: self.limits.follow_bytes_per_s,
            ..forges
        })
    }
}

/// Reads the keys in a file, one a line.
fn log_keys(path: &Path) -> anyhow::Result<Vec<LogKey>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("could not read {}", path.display()))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let keys: Option<Vec<LogKey>> = lines.map(LogKey::from_hex).collect();
    keys.filter(|keys| !keys.is_empty())
        .with_context(|| format!("{} must contain keys of 64 hex digits", path.display()))
}

const DAY_S: u64 = 24 * 3600;

/// The time for a number of days; 0 means forever.
fn days(count: u32) -> Option<Duration> {
    (count > 0).then(|| Duration::from_secs(u64::from(count) * DAY_S))
}

fn days_of(time: Duration) -> u32 {
    u32::try_from(time.as_secs() / DAY_S).unwrap_or(u32::MAX)
}
