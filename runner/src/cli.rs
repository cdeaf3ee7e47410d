//! The command line: the commands, their flags, and what each does.

mod limits;
mod network;
mod sharing;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use slipway_domain::{Platform, RegistrationToken, RunnerId, RunnerToken, TagSet};
use slipway_git::{Git, Limits};
use slipway_image_builder::{Backend, Builder};
use slipway_outbound::Outbound;
use slipway_packages::{FetchLimits, Packages, UnpackLimits};
use slipway_protocol::RegisterRequest;

use crate::client::{CoordinatorClient, info};
use crate::config::Config;
use crate::docker::{Attest, DockerExecutor, Notary};
use crate::executor::Executor;
use crate::firewall;
use crate::jobs::JobRunner;
use crate::leftovers::Leftovers;
use crate::manager::{self, Shutdown};
use crate::scripted::ScriptedExecutor;
use crate::work_dir::WorkDir;

pub use limits::LimitFlags;
pub use network::NetworkFlags;
pub use sharing::SharingFlags;

const MIB: u64 = 1024 * 1024;

/// The variables that are read and have no flag.
const ENVIRONMENT: &str = "\
Environment:
  SLIPWAY_LOG
          What is logged: `warn`, `info` or `debug`, also for one crate, as in
          `info,slipway_runner=debug` [default: info]
  SLIPWAY_CONFIG
          The configuration file, if neither --config nor SLIPWAY_RUNNER_CONFIG is set. Deprecated:
          `slipway` reads this variable as well, and the two programs need different files
  DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH
          The Docker Engine, and how to connect to it [default: unix:///var/run/docker.sock]
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR
          The proxies and the certificates for requests to the coordinator, registries and git hosts.
          Packages are always downloaded without a proxy
  PATH, SSH_AUTH_SOCK
          Where `git` and `ssh` are found, and the ssh agent that they use
  TMPDIR
          The directory for temporary files [default: /tmp]";

/// The agent of a Slipway farm: claims jobs, builds images on this host, and reports.
#[derive(Debug, Parser)]
#[command(name = "slipway-runner", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Parses the arguments of the program, or exits with a message for a person.
    pub fn from_arguments() -> Self {
        let matches = documented(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// Adds the variables without a flag to the help of the program and of each command.
fn documented(command: clap::Command) -> clap::Command {
    command.after_help(ENVIRONMENT).mut_subcommands(documented)
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Register this host as a runner and write the configuration.
    Register(Register),
    /// Claim and run jobs until stopped by a signal.
    Run(Run),
    /// Keep the networks of jobs away from this host, with rules in its firewall. A runner that does
    /// not run as root needs this before it starts, after each start of the host.
    Firewall,
    /// Ask the coordinator whether it knows this runner.
    Verify(ConfigFile),
    /// Delete this runner from the coordinator, and its configuration file.
    Unregister(ConfigFile),
}

/// The configuration file.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration file that `register` writes and the other commands read.
    #[arg(long, env = "SLIPWAY_RUNNER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl ConfigFile {
    /// The path of the file.
    fn path(&self) -> anyhow::Result<PathBuf> {
        // Earlier versions read this variable, and units set it. The command line reads it as well,
        // so it may name a file of the other program.
        let old = || std::env::var_os("SLIPWAY_CONFIG").filter(|path| !path.is_empty());
        self.config
            .clone()
            .or_else(|| old().map(PathBuf::from))
            .context("no configuration file given; use --config FILE, or set SLIPWAY_RUNNER_CONFIG")
    }
}

/// The flags of `register`.
#[derive(Args)]
pub struct Register {
    /// The coordinator's URL, such as `https://slipway.example`.
    #[arg(long, env = "SLIPWAY_URL")]
    pub url: String,
    /// The registration token. Other users of this host can see command lines; prefer the
    /// environment variable or a file.
    #[arg(long, env = "SLIPWAY_REGISTRATION_TOKEN", hide_env_values = true)]
    pub registration_token: Option<String>,
    /// A file that holds the registration token; `-` is standard input.
    #[arg(long, env = "SLIPWAY_REGISTRATION_TOKEN_FILE", value_name = "FILE")]
    pub registration_token_file: Option<PathBuf>,
    #[command(flatten)]
    pub config: ConfigFile,
    /// The description that people see; defaults to the host name.
    #[arg(long, env = "SLIPWAY_DESCRIPTION")]
    pub description: Option<String>,
    /// Tags, separated by commas. The runner claims jobs whose tags are all among these.
    #[arg(long, env = "SLIPWAY_TAGS", value_parser = TagSet::from_list)]
    pub tags: Option<TagSet>,
    /// Whether the runner claims jobs without tags.
    #[arg(
        long,
        env = "SLIPWAY_RUN_UNTAGGED",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub run_untagged: Option<bool>,
}

impl std::fmt::Debug for Register {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Register({})", self.url)
    }
}

/// The flags of `run`.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub config: ConfigFile,
    /// How many jobs run at the same time.
    #[arg(long, env = "SLIPWAY_CONCURRENCY", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,
    /// How to run jobs.
    #[arg(long, env = "SLIPWAY_EXECUTOR", value_enum, default_value_t = ExecutorKind::Docker)]
    pub executor: ExecutorKind,
    /// The work directory; defaults to a directory next to the configuration file.
    #[arg(long, env = "SLIPWAY_WORK_DIR", value_name = "DIR")]
    pub work_dir: Option<PathBuf>,
    /// While less disk space is free, in MiB, build cache is deleted. If that does not help, no jobs
    /// are claimed.
    #[arg(long, env = "SLIPWAY_MIN_FREE_DISK_MB", default_value_t = 1024)]
    pub min_free_disk_mb: u64,
    /// Which attestations to create for pushed images. For an SBOM, the whole image is scanned.
    #[arg(long, env = "SLIPWAY_ATTEST", value_enum, default_value_t = Attest::Provenance)]
    pub attest: Attest,
    #[command(flatten)]
    pub limits: LimitFlags,
    #[command(flatten)]
    pub sharing: SharingFlags,
    /// Size limit of a job's trace, in MiB; beyond it, the beginning and the end are kept.
    #[arg(long, env = "SLIPWAY_MAX_TRACE_MB", default_value_t = 64)]
    pub max_trace_mb: u64,
    /// The image for scripts that name none; without it such scripts fail.
    #[arg(long, env = "SLIPWAY_SCRIPT_IMAGE", value_name = "IMAGE")]
    pub script_image: Option<String>,
    /// A platform, such as `linux/arm64`, that images are built for in addition to this host's own.
    /// The kernel must run its programs with an emulator. Repeat the flag or separate platforms with
    /// commas.
    #[arg(
        long,
        env = "SLIPWAY_EMULATE",
        value_name = "PLATFORM",
        value_delimiter = ','
    )]
    pub emulate: Vec<Platform>,
    #[command(flatten)]
    pub network: NetworkFlags,
}

/// How to run jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExecutorKind {
    /// With git and the Docker Engine.
    Docker,
    /// Without Docker, as the job's variables say; for tests.
    Scripted,
}

/// Runs the command.
///
/// # Errors
/// Returns why the command failed, for a person to read.
pub async fn main(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Register(args) => register(args).await,
        Command::Run(args) => run(args).await,
        Command::Firewall => {
            firewall::apply().await.map_err(anyhow::Error::msg)?;
            tracing::info!("The networks of jobs are kept away from this host");
            Ok(())
        }
        Command::Verify(file) => {
            let config = Config::load(&file.path()?)?;
            CoordinatorClient::new(&config.url)?
                .verify(&config.token)
                .await?;
            tracing::info!(runner.id = %config.id, "The coordinator accepts the token of runner {}", config.id);
            Ok(())
        }
        Command::Unregister(file) => {
            let path = file.path()?;
            let config = Config::load(&path)?;
            let coordinator = CoordinatorClient::new(&config.url)?;
            coordinator.unregister(&config.token).await?;
            // Only after the coordinator deleted the runner: until then the token is needed.
            std::fs::remove_file(&path).context("could not delete the configuration")?;
            tracing::info!(runner.id = %config.id, "Deleted runner {}", config.id);
            Ok(())
        }
    }
}

async fn register(args: Register) -> anyhow::Result<()> {
    let path = args.config.path()?;
    // Before anything is sent: a registration token may be valid only once.
    let replaced = Config::replaced_at(&path)?;
    let token = match (args.registration_token, args.registration_token_file) {
        (Some(token), None) => token,
        (_, Some(file)) => {
            let read = if file == Path::new("-") {
                std::io::read_to_string(std::io::stdin())
            } else {
                std::fs::read_to_string(file)
            };
            read.context("could not read the registration token")?
        }
        (None, None) => anyhow::bail!(
            "no registration token; set --registration-token-file or SLIPWAY_REGISTRATION_TOKEN"
        ),
    };
    // Files usually end with a newline.
    let token = RegistrationToken::presented(token.trim());
    let coordinator = CoordinatorClient::new(&args.url)?;
    let description = args.description.unwrap_or_else(host_name);
    let request = RegisterRequest {
        info: Some(info("docker", &[])),
        description: Some(description.clone()),
        tag_list: args.tags.map(|tags| tags.to_list()),
        run_untagged: args.run_untagged,
        ..RegisterRequest::default()
    };
    let registered = coordinator.register(&token, request).await?;
    let config = Config {
        url: args.url,
        token: RunnerToken::presented(registered.token),
        id: RunnerId(registered.id),
        description,
    };
    if let Err(error) = config.save(&path) {
        // Without its token the runner could never be used.
        if let Err(error) = coordinator.unregister(&config.token).await {
            tracing::warn!(%error, "Could not delete runner {}; it stays registered", config.id);
        }
        return Err(error.into());
    }
    tracing::info!(
        runner.id = %config.id,
        "Registered as runner {}; the configuration is in {}",
        config.id,
        path.display()
    );
    if let Some(old) = replaced {
        tracing::warn!(
            "Replaced the configuration of runner {} of {}, which stays registered there until it is \
             deleted",
            old.id,
            old.url
        );
    }
    Ok(())
}

async fn run(args: Run) -> anyhow::Result<()> {
    // Read it first: without a registration there is nothing to run.
    let path = args.config.path()?;
    let config = Config::load(&path)?;
    let shutdown = Shutdown::on_signals()?;
    let dir = match args.work_dir {
        Some(dir) => dir,
        None => default_work_dir(&path),
    };
    let work_dir = WorkDir::lock(&dir)
        .with_context(|| format!("cannot use the work directory {}", dir.display()))?;
    let executor: Arc<dyn Executor> = match args.executor {
        ExecutorKind::Scripted => Arc::new(ScriptedExecutor),
        ExecutorKind::Docker => {
            let outbound = Outbound::start(args.network.policy())?;
            let builder = Builder::connect(work_dir.instance(), outbound.clone()).await?;
            // The host keys are stored in the work directory, so that they survive a restart.
            let git = Git::new(Limits::default(), outbound)?;
            let git = git.with_known_hosts(dir.join("known_hosts"));
            // Podman cannot limit memory on every host, so only Docker has a default.
            let host_memory = match builder.backend() {
                Backend::BuildKit => builder.host_memory().await,
                Backend::Classic => None,
            };
            let builder = builder.with_limits(args.limits.job(host_memory));
            let builder = args.sharing.apply_to(builder);
            let notes = args.sharing.notes(&builder).await;
            sharing::log(&notes);
            limits::warn_of_unenforced(&builder, args.limits.are_given());
            let limits = (FetchLimits::default(), UnpackLimits::default());
            let packages = Packages::new(limits.0, limits.1, args.network.package_policy())?;
            tracing::info!(
                engine.version = builder.engine_version(),
                backend = ?builder.backend(),
                git.version = git.version().await?,
                "Building with the Docker Engine"
            );
            let docker = DockerExecutor::new(builder, git, packages, args.limits.cache());
            let own_url = format!(
                "{}/v1/runners/{}",
                config.url.trim_end_matches('/'),
                config.id
            );
            let notary = Notary::new(args.attest, CoordinatorClient::new(&config.url)?, own_url);
            let docker = docker.with_host_ssh_keys(args.network.host_ssh_keys);
            let docker = docker.with_sharing(args.sharing.share_caches, notes);
            let docker = docker.with_notary(notary);
            Arc::new(docker.with_script_image(args.script_image))
        }
    };
    tracing::info!(runner.id = %config.id, "Runner {} claims jobs from {}", config.id, config.url);
    let jobs = JobRunner {
        coordinator: CoordinatorClient::new(&config.url)?,
        token: config.token,
        executor,
        work_dir,
        emulates: args.emulate,
        trust: args.sharing.trust,
        trace_limit: args.max_trace_mb.saturating_mul(MIB),
        leftovers: Leftovers::default(),
        stop_all: shutdown.stop.clone(),
    };
    let min_free_bytes = args.min_free_disk_mb.saturating_mul(MIB);
    manager::run(
        Arc::new(jobs),
        usize::from(args.concurrency),
        min_free_bytes,
        &shutdown,
    )
    .await;
    Ok(())
}

/// For `runner.toml`, this is `runner.work` in the same directory.
fn default_work_dir(config: &Path) -> PathBuf {
    config.with_extension("work")
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "runner".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_consistent_and_debug_output_hides_the_token() {
        Cli::command().debug_assert();
        let flags = "slipway-runner register --url http://h --registration-token slreg-x --config f --tags a,b --run-untagged=false";
        let cli = Cli::try_parse_from(flags.split(' ')).unwrap();
        assert!(!format!("{cli:?}").contains("slreg-x"));
        let Command::Register(register) = cli.command else {
            panic!("not register");
        };
        assert_eq!(register.run_untagged, Some(false));
        assert_eq!(register.tags.unwrap().to_list(), "a,b");
    }

    #[test]
    fn emulate_takes_a_list_of_platforms() {
        let flags = "slipway-runner run --config f --emulate linux/aarch64,linux/arm";
        let Command::Run(run) = Cli::try_parse_from(flags.split(' ')).unwrap().command else {
            panic!("not run");
        };
        let given: Vec<String> = run.emulate.iter().map(Platform::to_string).collect();
        assert_eq!(given, ["linux/arm64", "linux/arm/v7"]);
        let bad = "slipway-runner run --config f --emulate arm64";
        assert!(Cli::try_parse_from(bad.split(' ')).is_err());
    }
}
