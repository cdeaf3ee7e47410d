//! What an operator types: the commands, their flags, and what each does.

mod limits;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use slipway_domain::{Platform, RegistrationToken, RunnerId, RunnerToken, TagSet};
use slipway_git::{Git, Limits};
use slipway_image_builder::Builder;
use slipway_packages::{FetchLimits, Network, Packages, UnpackLimits};
use slipway_protocol::RegisterRequest;

use crate::client::{Coordinator, info};
use crate::config::Config;
use crate::docker::{Attest, Docker, Notary};
use crate::executor::Executor;
use crate::jobs::Jobs;
use crate::manager::{self, Ending};
use crate::scripted::Scripted;
use crate::work_dir::WorkDir;

pub use limits::LimitFlags;

const MIB: u64 = 1024 * 1024;

/// The agent of a Slipway farm: claims jobs, builds images on this host, and reports.
#[derive(Debug, Parser)]
#[command(name = "slipway-runner", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Register this host as a runner and write the configuration.
    Register(Register),
    /// Claim and run jobs until told to stop.
    Run(Run),
    /// Ask the coordinator whether it knows this runner.
    Verify(ConfigFile),
    /// Remove this runner from the coordinator, and its configuration.
    Unregister(ConfigFile),
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration that registration wrote.
    #[arg(long, env = "SLIPWAY_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
}

/// The flags of `register`.
#[derive(Args)]
pub struct Register {
    /// The coordinator's address, such as `https://slipway.example`.
    #[arg(long, env = "SLIPWAY_URL")]
    pub url: String,
    /// The registration token. Other users of this host can read it from the command line; the
    /// environment or a file is better.
    #[arg(long, env = "SLIPWAY_REGISTRATION_TOKEN", hide_env_values = true)]
    pub registration_token: Option<String>,
    /// A file that holds the registration token.
    #[arg(long, env = "SLIPWAY_REGISTRATION_TOKEN_FILE", value_name = "FILE")]
    pub registration_token_file: Option<PathBuf>,
    /// Where the configuration is written.
    #[arg(long, env = "SLIPWAY_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    /// What people see of this runner; the host's name when absent.
    #[arg(long, env = "SLIPWAY_DESCRIPTION")]
    pub description: Option<String>,
    /// Tags, separated by commas: the runner takes jobs that ask for no others.
    #[arg(long, env = "SLIPWAY_TAGS", value_parser = TagSet::from_list)]
    pub tags: Option<TagSet>,
    /// Whether the runner takes jobs that ask for no tag.
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
    /// The configuration that registration wrote.
    #[arg(long, env = "SLIPWAY_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    /// How many jobs run side by side.
    #[arg(long, env = "SLIPWAY_CONCURRENCY", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,
    /// How jobs are run.
    #[arg(long, env = "SLIPWAY_EXECUTOR", value_enum, default_value_t = ExecutorKind::Docker)]
    pub executor: ExecutorKind,
    /// Where jobs are run; a directory beside the configuration when absent.
    #[arg(long, env = "SLIPWAY_WORK_DIR", value_name = "DIR")]
    pub work_dir: Option<PathBuf>,
    /// While the disk has less than so many MiB free, build cache is removed; while that does not
    /// help, no job is claimed.
    #[arg(long, env = "SLIPWAY_MIN_FREE_DISK_MB", default_value_t = 1024)]
    pub min_free_disk_mb: u64,
    /// Which documents are made about images that are pushed: what is in them, for which the whole
    /// image is looked through, and how they were made.
    #[arg(long, env = "SLIPWAY_ATTEST", value_enum, default_value_t = Attest::Provenance)]
    pub attest: Attest,
    /// What bounds jobs and caches.
    #[command(flatten)]
    pub limits: LimitFlags,
    /// How many MiB of output a trace takes; what is beyond is counted and left out.
    #[arg(long, env = "SLIPWAY_MAX_TRACE_MB", default_value_t = 64)]
    pub max_trace_mb: u64,
    /// The image that scripts run in which name none; without it they fail.
    #[arg(long, env = "SLIPWAY_SCRIPT_IMAGE", value_name = "IMAGE")]
    pub script_image: Option<String>,
    /// A platform besides that of this host's processor that images are built for, such as
    /// `linux/arm64`, where the kernel runs its programs by an emulator; may be given more than once,
    /// and with commas.
    #[arg(
        long,
        env = "SLIPWAY_EMULATE",
        value_name = "PLATFORM",
        value_delimiter = ','
    )]
    pub emulate: Vec<Platform>,
    /// A network that packages may be fetched from although it is not public, such as
    /// `10.20.0.0/16`; may be given more than once, and with commas.
    #[arg(
        long,
        env = "SLIPWAY_ALLOW_PACKAGE_NET",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub allow_package_net: Vec<Network>,
}

/// How jobs are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExecutorKind {
    /// With git and the Docker Engine.
    Docker,
    /// By what the job's variables say; for rehearsals.
    Scripted,
}

/// Does what the command says.
///
/// # Errors
/// Whatever keeps the command from its end, for a person to read.
pub async fn main(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Register(args) => register(args).await,
        Command::Run(args) => run(args).await,
        Command::Verify(args) => {
            let config = Config::load(&args.config)?;
            Coordinator::at(&config.url)?.verify(&config.token).await?;
            tracing::info!(runner.id = %config.id, "The coordinator knows runner {}", config.id);
            Ok(())
        }
        Command::Unregister(args) => {
            let config = Config::load(&args.config)?;
            let coordinator = Coordinator::at(&config.url)?;
            coordinator.unregister(&config.token).await?;
            std::fs::remove_file(&args.config).context("the configuration could not be removed")?;
            tracing::info!(runner.id = %config.id, "Runner {} is gone", config.id);
            Ok(())
        }
    }
}

async fn register(args: Register) -> anyhow::Result<()> {
    let token = match (args.registration_token, args.registration_token_file) {
        (Some(token), None) => token,
        (_, Some(file)) => {
            std::fs::read_to_string(file).context("the registration token could not be read")?
        }
        (None, None) => anyhow::bail!(
            "a registration token is needed: --registration-token-file, or SLIPWAY_REGISTRATION_TOKEN"
        ),
    };
    let token = RegistrationToken::presented(token.trim());
    let coordinator = Coordinator::at(&args.url)?;
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
    if let Err(error) = config.save(&args.config) {
        // A runner whose token is lost could never be used.
        if let Err(error) = coordinator.unregister(&config.token).await {
            tracing::warn!(%error, "Runner {} stays registered", config.id);
        }
        return Err(error.into());
    }
    tracing::info!(runner.id = %config.id, "Registered as runner {}", config.id);
    Ok(())
}

async fn run(args: Run) -> anyhow::Result<()> {
    let config = Config::load(&args.config)?;
    let ending = Ending::by_signals()?;
    let dir = match args.work_dir {
        Some(dir) => dir,
        None => beside(&args.config),
    };
    let work = WorkDir::take(&dir)
        .with_context(|| format!("the directory {} cannot be worked in", dir.display()))?;
    let executor: Arc<dyn Executor> = match args.executor {
        ExecutorKind::Scripted => Arc::new(Scripted),
        ExecutorKind::Docker => {
            let builder = Builder::connect(work.instance()).await?;
            let git = Git::new(Limits::default())?.with_known_hosts(dir.join("known_hosts"));
            let builder = builder.with_limits(args.limits.of_job());
            limits::warn_of_unbounded(&builder);
            let limits = (FetchLimits::default(), UnpackLimits::default());
            let packages = Packages::new(limits.0, limits.1, args.allow_package_net)?;
            tracing::info!(
                engine.version = builder.engine_version(),
                backend = ?builder.backend(),
                git.version = git.version().await?,
                "Building with the Docker Engine"
            );
            let docker = Docker::new(builder, git, packages, args.limits.cache()).await;
            let here = format!(
                "{}/v1/runners/{}",
                config.url.trim_end_matches('/'),
                config.id
            );
            let notary = Notary::new(args.attest, Coordinator::at(&config.url)?, here);
            let docker = docker.with_notary(notary);
            Arc::new(docker.with_script_image(args.script_image))
        }
    };
    tracing::info!(runner.id = %config.id, "Runner {} works for {}", config.id, config.url);
    let jobs = Jobs {
        coordinator: Coordinator::at(&config.url)?,
        token: config.token,
        executor,
        work,
        emulates: args.emulate,
        trace_limit: args.max_trace_mb.saturating_mul(MIB),
        told_to_stop: ending.stop.clone(),
    };
    let floor = args.min_free_disk_mb.saturating_mul(MIB);
    manager::run(
        Arc::new(jobs),
        usize::from(args.concurrency),
        floor,
        &ending,
    )
    .await;
    Ok(())
}

/// `runner.toml` works in `runner.work`.
fn beside(config: &Path) -> PathBuf {
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
    use clap::CommandFactory as _;

    #[test]
    fn the_flags_fit_together_and_a_token_is_not_shown() {
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
    fn platforms_are_given_one_by_one() {
        let flags = "slipway-runner run --config f --emulate linux/aarch64,linux/arm";
        let Command::Run(run) = Cli::try_parse_from(flags.split(' ')).unwrap().command else {
            panic!("not run");
        };
        let given: Vec<String> = run.emulate.iter().map(Platform::to_string).collect();
        assert_eq!(given, ["linux/arm64", "linux/arm/v7"]);
        let bad = "slipway-runner run --config f --emulate arm64";
        assert!(Cli::try_parse_from(bad.split(' ')).is_err());
    }

    #[test]
    fn networks_of_packages_are_given_one_by_one() {
        let flags = "slipway-runner run --config f --allow-package-net 10.0.0.0/8,fd00::/8 \
                     --allow-package-net 127.0.0.1/32";
        let cli = Cli::try_parse_from(flags.split_whitespace()).unwrap();
        let Command::Run(run) = cli.command else {
            panic!("not run");
        };
        let given: Vec<String> = run
            .allow_package_net
            .iter()
            .map(Network::to_string)
            .collect();
        assert_eq!(given, ["10.0.0.0/8", "fd00::/8", "127.0.0.1/32"]);
        let bad = "slipway-runner run --config f --allow-package-net 10.0.0.1";
        assert!(Cli::try_parse_from(bad.split(' ')).is_err());
    }
}
