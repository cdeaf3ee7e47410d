//! Everything the coordinator can be told, read once at start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use slipway_blobs::BlobLocation;
use slipway_farm::{LogKey, Settings};
use slipway_store::DatabaseUrl;

use crate::forges::Forges;

/// Everything the coordinator can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// The address to serve on.
    #[arg(long, env = "SLIPWAY_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where everything is kept that is not kept elsewhere: the database, traces, artifacts, keys.
    #[arg(long, env = "SLIPWAY_DATA_DIR")]
    pub data_dir: PathBuf,
    /// The database: sqlite:///path/to/file.db or postgres://user@host/database. A SQLite file in
    /// the data directory when absent.
    #[arg(long, env = "SLIPWAY_DATABASE_URL")]
    pub database_url: Option<DatabaseUrl>,
    /// Where traces and artifacts are kept: a directory, or s3://bucket/prefix?endpoint=URL. In the
    /// data directory when absent.
    #[arg(long, env = "SLIPWAY_BLOB_URL")]
    pub blob_url: Option<BlobLocation>,
    /// The address by which clients and runners reach the farm; the description of the API names it.
    #[arg(long, env = "SLIPWAY_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// The registry, HOST or HOST:PORT, for projects that name no image repository of their own.
    #[arg(long, env = "SLIPWAY_REGISTRY")]
    pub registry: Option<String>,
    /// The origins, separated by commas, whose pages may call the builds API of Harmont.
    #[arg(long, env = "SLIPWAY_BROWSER_ORIGINS", value_delimiter = ',')]
    pub browser_origins: Vec<String>,
    /// What the links of errors begin with in the builds API of Harmont.
    #[arg(
        long,
        env = "SLIPWAY_ERRORS_URL",
        default_value = "https://docs.harmont.dev/api/errors/"
    )]
    pub errors_url: String,
    /// The file with the key that secrets are sealed with, made when it is not there. Coordinators
    /// that share a database share the key. In the data directory when absent.
    #[arg(long, env = "SLIPWAY_SEAL_KEY_FILE")]
    pub seal_key_file: Option<PathBuf>,
    /// A file of keys for log tokens, 64 hex digits a line: the first signs, and all are believed.
    /// The farm makes a key of its own when absent.
    #[arg(long, env = "SLIPWAY_LOG_KEY_FILE")]
    pub log_key_file: Option<PathBuf>,
    /// The origins, separated by commas, of the pages that may follow live logs from a browser.
    #[arg(long, env = "SLIPWAY_LOG_ORIGINS", value_delimiter = ',')]
    pub log_origins: Vec<String>,
    /// What is limited.
    #[command(flatten)]
    pub limits: Limits,
    /// What the farm has to do with GitHub and other keepers of repositories.
    #[command(flatten)]
    pub forges: Forges,
}

/// What is limited, in time and in size.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Limits {
    /// Seconds that a runner which beats may be silent before its job is lost.
    #[arg(long, env = "SLIPWAY_LEASE_S", default_value = "15", value_parser = seconds)]
    pub lease_s: Duration,
    /// Seconds that a stock runner may be silent before its job is lost.
    #[arg(long, env = "SLIPWAY_STOCK_LEASE_S", default_value = "90", value_parser = seconds)]
    pub stock_lease_s: Duration,
    /// Seconds that a stock runner of 0.5 may be silent, which says nothing while its job prints
    /// nothing.
    #[arg(long, env = "SLIPWAY_SILENT_LEASE_S", default_value = "3600", value_parser = seconds)]
    pub silent_lease_s: Duration,
    /// Seconds that every lease holds at least after a start of the coordinator.
    #[arg(long, env = "SLIPWAY_GRACE_S", default_value = "30", value_parser = seconds)]
    pub grace_s: Duration,
    /// Seconds that a runner's poll waits for a job before it is answered "nothing".
    #[arg(long, env = "SLIPWAY_POLL_WAIT_S", default_value = "50", value_parser = seconds)]
    pub poll_wait_s: Duration,
    /// Seconds that a job waits at the most for a busy runner that built its project lately, before
    /// any other gets it; 0 when none waits.
    #[arg(long, env = "SLIPWAY_WARM_WAIT_S", default_value = "2", value_parser = seconds_or_none)]
    pub warm_wait_s: Duration,
    /// How many attempts are made of a job that fails through no fault of its own.
    #[arg(long, env = "SLIPWAY_MAX_ATTEMPTS", default_value = "3",
          value_parser = clap::value_parser!(i32).range(1..=100))]
    pub max_attempts: i32,
    /// The size, in bytes, below which an archive must stay.
    #[arg(long, env = "SLIPWAY_MAX_ARTIFACT_BYTES", default_value = "1073741824")]
    pub max_artifact_bytes: u64,
    /// The largest file that is taken as the package of a build, in bytes.
    #[arg(long, env = "SLIPWAY_MAX_UPLOAD_BYTES", default_value = "1073741824")]
    pub max_upload_bytes: u64,
    /// Days that sources and uploaded files are kept after a build last used them; 0 keeps them.
    #[arg(long, env = "SLIPWAY_UPLOAD_KEEP_DAYS", default_value = "30")]
    pub upload_keep_days: u32,
    /// The longest trace, in bytes.
    #[arg(long, env = "SLIPWAY_MAX_TRACE_BYTES", default_value = "1073741824")]
    pub max_trace_bytes: u64,
    /// Seconds that a follower of a live log may take nothing before it is cut off.
    #[arg(long, env = "SLIPWAY_SLOW_READER_S", default_value = "60", value_parser = seconds)]
    pub slow_reader_s: Duration,
    /// How many bytes of a live log may come, while a follower is busy with what it took, before it
    /// is cut off.
    #[arg(long, env = "SLIPWAY_MAX_READER_LAG_BYTES", default_value = "67108864")]
    pub max_reader_lag_bytes: u64,
    /// How many bytes a second all followers of live logs are sent together; each has its turn.
    #[arg(long, env = "SLIPWAY_FOLLOW_BYTES_PER_S", default_value = "268435456",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub follow_bytes_per_s: u64,
    /// The largest body of JSON, in bytes, that is read of a build that is handed in.
    #[arg(long, env = "SLIPWAY_MAX_JSON_BYTES", default_value = "16777216")]
    pub max_json_bytes: usize,
    /// Whether readers of a project read its logs in the API of Quay; if not, those who build do.
    #[arg(long, env = "SLIPWAY_READER_BUILD_LOGS", default_value_t = true,
          action = clap::ArgAction::Set)]
    pub reader_build_logs: bool,
    /// Whether the API of Quay is for looking only: everything else is refused in it.
    #[arg(long, env = "SLIPWAY_QUAY_READ_ONLY", default_value_t = false,
          action = clap::ArgAction::Set)]
    pub quay_read_only: bool,
    /// Seconds after which the log of a build that is over is told as a whole in the API of Quay.
    #[arg(long, env = "SLIPWAY_LOG_COMPLETE_AFTER_S", default_value = "30", value_parser = seconds)]
    pub log_complete_after_s: Duration,
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
            upload_keep_days: farm.upload_keep.map_or(0, days_of),
            max_trace_bytes: farm.max_trace_bytes,
            slow_reader_s: farm.slow_reader,
            max_reader_lag_bytes: farm.max_reader_lag_bytes,
            follow_bytes_per_s: farm.follow_bytes_per_s,
            max_json_bytes: farm.max_json_bytes,
            reader_build_logs: farm.reader_build_logs,
            quay_read_only: farm.packages_read_only,
            log_complete_after_s: farm.log_complete_after,
        }
    }
}

impl Config {
    /// The database, by default in the data directory.
    pub fn database(&self) -> DatabaseUrl {
        let default = || DatabaseUrl::Sqlite(self.data_dir.join("slipway.db"));
        self.database_url.clone().unwrap_or_else(default)
    }

    /// The place of traces and artifacts, by default in the data directory.
    pub(crate) fn blobs(&self) -> BlobLocation {
        let default = || BlobLocation::Directory(self.data_dir.join("blobs"));
        self.blob_url.clone().unwrap_or_else(default)
    }

    /// The file of the key that secrets are sealed with.
    pub(crate) fn seal_key(&self) -> PathBuf {
        self.seal_key_file
            .clone()
            .unwrap_or_else(|| self.data_dir.join("seal-key"))
    }

    /// What the use cases are told.
    ///
    /// # Errors
    /// When a secret's file cannot be read, or what is in it cannot be such a secret.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        let forges = self.forges.settings()?;
        let log_keys = self.log_key_file.as_deref().map(log_keys).transpose()?;
        let log_keys = log_keys.unwrap_or_default();
        Ok(Settings {
            public_url: self.public_url.clone(),
            registry: self.registry.clone(),
            lease: self.limits.lease_s,
            stock_lease: self.limits.stock_lease_s,
            silent_lease: self.limits.silent_lease_s,
            grace: self.limits.grace_s,
            poll_wait: self.limits.poll_wait_s,
            warm_wait: self.limits.warm_wait_s,
            max_attempts: self.limits.max_attempts,
            max_artifact_bytes: self.limits.max_artifact_bytes,
            max_upload_bytes: self.limits.max_upload_bytes,
            upload_keep: days(self.limits.upload_keep_days),
            max_trace_bytes: self.limits.max_trace_bytes,
            log_keys,
            log_origins: self.log_origins.clone(),
            slow_reader: self.limits.slow_reader_s,
            max_reader_lag_bytes: self.limits.max_reader_lag_bytes,
            follow_bytes_per_s: self.limits.follow_bytes_per_s,
            max_json_bytes: self.limits.max_json_bytes,
            browser_origins: self.browser_origins.clone(),
            errors_url: self.errors_url.clone(),
            reader_build_logs: self.limits.reader_build_logs,
            packages_read_only: self.limits.quay_read_only,
            log_complete_after: self.limits.log_complete_after_s,
            ..forges
        })
    }
}

/// The keys in a file, one a line.
fn log_keys(path: &Path) -> anyhow::Result<Vec<LogKey>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let keys: Option<Vec<LogKey>> = lines.map(LogKey::from_hex).collect();
    keys.filter(|keys| !keys.is_empty())
        .with_context(|| format!("{} has to hold keys of 64 hex digits", path.display()))
}

const DAY_S: u64 = 24 * 3600;

/// So many days, of which none is for ever.
fn days(count: u32) -> Option<Duration> {
    (count > 0).then(|| Duration::from_secs(u64::from(count) * DAY_S))
}

fn days_of(time: Duration) -> u32 {
    u32::try_from(time.as_secs() / DAY_S).unwrap_or(u32::MAX)
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(u64::from(seconds))),
        _ => Err("expected a whole number of seconds above 0".to_owned()),
    }
}

fn seconds_or_none(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(seconds) => Ok(Duration::from_secs(u64::from(seconds))),
        Err(_) => Err("expected a whole number of seconds".to_owned()),
    }
}
