//! A coordinator, a runner and PostgreSQL as processes that can be killed.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use super::proxy::{Link, Proxy};
use crate::process::{ChildProcess, Lifetime, free_port, output_of, service};
use crate::services::Postgres;
use crate::{probe, programs};

/// Time for the coordinator to start.
const START: Duration = Duration::from_secs(60);
const RUNNER: &str = "process";

/// Where the farm keeps its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

/// A farm of processes.
#[derive(Debug)]
pub(crate) struct Farm {
    // Fields are dropped in order: programs end before what they use.
    runner: Option<ChildProcess>,
    coordinator: Option<ChildProcess>,
    pub(crate) proxy: Proxy,
    postgres: Option<Postgres>,
    port: u16,
    /// Variables of the coordinator.
    variables: &'static [(&'static str, &'static str)],
    /// How many processes were started, for the names of their logs.
    starts: u32,
    dir: TempDir,
}

impl Farm {
    /// Starts everything but the runner. The coordinator gets `variables`.
    pub(crate) async fn start(
        database: Database,
        variables: &'static [(&'static str, &'static str)],
    ) -> Result<Self> {
        // The HTTP client needs it even for plain HTTP. It fails if there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::Builder::new()
            .prefix("slipway-trial-")
            .tempdir()?;
        let postgres = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(Postgres::start().await?),
        };
        let port = free_port()?;
        let mut farm = Self {
            runner: None,
            coordinator: None,
            proxy: Proxy::start(port).await?,
            postgres,
            port,
            variables,
            starts: 0,
            dir,
        };
        farm.start_coordinator().await?;
        Ok(farm)
    }

    /// The URL of the coordinator, which no partition affects.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The process id of the coordinator.
    pub(crate) fn coordinator(&self) -> Result<u32> {
        let running = self.coordinator.as_ref().and_then(ChildProcess::id);
        running.context("the coordinator does not run")
    }

    /// The port of the coordinator.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The content of a token file that the first start wrote.
    pub(crate) fn secret(&self, name: &str) -> Result<String> {
        let path = self.dir.path().join("data").join(name);
        let text = std::fs::read_to_string(&path);
        let text = text.with_context(|| format!("could not read {}", path.display()))?;
        Ok(text.trim().to_owned())
    }

    /// Keeps all data and logs, and returns their directory.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.dir.disable_cleanup(true);
        self.dir.path().to_owned()
    }

    async fn start_coordinator(&mut self) -> Result<()> {
        let data = self.dir.path().join("data");
        let log = self.next_log("coordinator");
        let mut command = service(
            programs()?.join("slipway-coordinator"),
            Lifetime::Bound,
            &log,
        )?;
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(data)
            .args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        command.envs(self.variables.iter().copied());
        if let Some(postgres) = &self.postgres {
            command.args(["--database-url", &postgres.url()]);
        }
        let mut running = ChildProcess::start(
            environment(command),
            Signal::SIGTERM,
            Duration::from_secs(20),
        )?;
        self.until_ready(&mut running, &log).await?;
        self.coordinator = Some(running);
        Ok(())
    }

    async fn until_ready(&self, running: &mut ChildProcess, log: &std::path::Path) -> Result<()> {
        let ready = || async {
            let status = probe::http(self.port, "GET", "/readyz").await?;
            ensure!(status == 200, "status {status}");
            Ok(())
        };
        probe::until_ready(running, log, START, ready)
            .await
            .context("the coordinator is not ready")
    }

    fn next_log(&mut self, name: &str) -> PathBuf {
        self.starts += 1;
        self.dir.path().join(format!("{name}-{}.log", self.starts))
    }

    /// Registers the runner and starts it. It reaches the coordinator through the proxy.
    pub(crate) async fn start_runner(&mut self) -> Result<()> {
        let (url, dir) = (self.proxy.url(), self.dir.path());
        let mut register = Command::new(programs()?.join("slipway-runner"));
        register
            .args(["register", "--url", &url, "--description", RUNNER])
            .arg("--registration-token-file")
            .arg(dir.join("data/registration-token"))
            .arg("--config")
            .arg(dir.join("runner.toml"));
        output_of(&mut environment(register))
            .await
            .context("could not register the runner")?;
        self.launch_runner()
    }

    fn launch_runner(&mut self) -> Result<()> {
        let log = self.next_log("runner");
        let dir = self.dir.path();
        let mut command = service(programs()?.join("slipway-runner"), Lifetime::Bound, &log)?;
        command
            .args(["run", "--executor", "scripted", "--concurrency", "2"])
            .arg("--config")
            .arg(dir.join("runner.toml"))
            .arg("--work-dir")
            .arg(dir.join("work"));
        let running = ChildProcess::start(
            environment(command),
            Signal::SIGTERM,
            Duration::from_secs(20),
        )?;
        self.runner = Some(running);
        Ok(())
    }

    pub(crate) async fn crash_coordinator(&mut self) -> Result<()> {
        if let Some(running) = self.coordinator.take() {
            running.kill().await?;
        }
        self.start_coordinator().await
    }

    pub(crate) async fn crash_runner(&mut self) -> Result<()> {
        if let Some(running) = self.runner.take() {
            running.kill().await?;
        }
        self.launch_runner()
    }

    /// Kills PostgreSQL, and starts it again after `pause`.
    pub(crate) async fn crash_postgres(&mut self, pause: Duration) -> Result<()> {
        let Some(postgres) = &mut self.postgres else {
            return Ok(());
        };
        postgres.kill().await?;
        tokio::time::sleep(pause).await;
        postgres.start_again().await?;
        if let Some(mut running) = self.coordinator.take() {
            let log = self.dir.path().join("coordinator");
            self.until_ready(&mut running, &log).await?;
            self.coordinator = Some(running);
        }
        Ok(())
    }

    /// Partitions the runner process and half of the other clients from the coordinator for `pause`.
    pub(crate) async fn partition(&self, link: Link, pause: Duration) {
        self.proxy.set(link);
        tokio::time::sleep(pause).await;
        self.proxy.set(Link::Open);
    }

    /// # Errors
    /// If a process has ended that was not killed.
    pub(crate) fn check(&mut self) -> Result<()> {
        if let Some(running) = &mut self.coordinator {
            running.check().context("the coordinator")?;
        }
        if let Some(running) = &mut self.runner {
            running.check().context("the runner")?;
        }
        Ok(())
    }
}

/// Adds the variables of programs of a farm whose repositories do not exist.
fn environment(mut command: Command) -> Command {
    command
        .env("SLIPWAY_LOG", "info,actix_server=warn")
        .env("SLIPWAY_PIPELINES_FROM_REPOSITORY", "false")
        .env("SLIPWAY_ALLOW_NET", "127.0.0.0/8");
    command
}
