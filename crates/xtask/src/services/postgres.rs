//! A separate PostgreSQL server, which does not touch the system's cluster.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::{ChildProcess, Lifetime, free_port, is_root, output_of, service};
use crate::{probe, scratch, setup};

/// A running PostgreSQL. Every local user may connect as the superuser.
#[derive(Debug)]
pub(crate) struct Postgres {
    port: u16,
    programs: PathBuf,
    fsync: &'static str,
    lifetime: Lifetime,
    // Fields are dropped in order: the server stops before its data is deleted.
    running: Option<ChildProcess>,
    data: TempDir,
}

/// How often a start is repeated while processes of the killed server still end.
const STARTS: u32 = 20;

impl Postgres {
    /// Starts a server for tests. What it acknowledges survives the end of its process, but not of the
    /// machine: a database is created for each test, and none of them has to wait for the disk.
    pub(crate) async fn start() -> Result<Self> {
        Self::start_with("off").await
    }

    /// Starts a server that waits for the disk as in production, for benchmarks.
    pub(crate) async fn start_durable() -> Result<Self> {
        Self::start_with("on").await
    }

    async fn start_with(fsync: &'static str) -> Result<Self> {
        let programs = match programs() {
            Some(programs) => programs,
            None => {
                setup::package("postgresql").await?;
                programs().context("the package postgresql does not contain initdb")?
            }
        };
        let data = tempfile::Builder::new()
            .prefix("slipway-postgres-")
            .tempdir()?;
        let lifetime = unprivileged(data.path()).await?;
        let cluster = data.path().join("cluster");
        initialise(&programs.join("initdb"), lifetime, &cluster).await?;
        let mut server = Self {
            port: free_port()?,
            programs,
            fsync,
            lifetime,
            running: None,
            data,
        };
        server.launch().await?;
        Ok(server)
    }

    async fn launch(&mut self) -> Result<()> {
        let log = scratch()?.join("postgres.log");
        let mut command = service(self.programs.join("postgres"), self.lifetime, &log)?;
        let data = self.data.path();
        command
            .arg("-D")
            .arg(data.join("cluster"))
            .current_dir(data);
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", self.port),
            format!("unix_socket_directories={}", data.display()),
            format!("fsync={}", self.fsync),
            "max_connections=300".to_owned(),
        ] {
            command.arg("-c").arg(setting);
        }
        // SIGINT disconnects clients; SIGTERM would wait for them.
        let mut running = ChildProcess::start(command, Signal::SIGINT, Duration::from_secs(10))?;
        let ready = || async {
            let mut check = Command::new(self.programs.join("pg_isready"));
            check.args([
                "--quiet",
                "--host=127.0.0.1",
                &format!("--port={}", self.port),
            ]);
            output_of(&mut check).await.map(|_| ())
        };
        probe::until_ready(&mut running, &log, Duration::from_secs(30), ready)
            .await
            .context("PostgreSQL did not start")?;
        self.running = Some(running);
        Ok(())
    }

    /// Kills every process of the server with SIGKILL. The data stays as the system has it.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        let id = running.id().context("PostgreSQL has ended")?;
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        running.kill().await?;
        for child in children.unwrap_or_default().split_whitespace() {
            // It may have ended with its parent.
            let _ = kill(Pid::from_raw(child.parse()?), Signal::SIGKILL);
        }
        Ok(())
    }

    /// Starts the server again after [`Postgres::kill`], on the same port and data.
    pub(crate) async fn start_again(&mut self) -> Result<()> {
        // It refuses to start while a process of the killed server has the shared memory.
        for _ in 1..STARTS {
            if self.launch().await.is_ok() {
                return Ok(());
            }
        }
        self.launch().await
    }

    /// The URL of the administrative database.
    pub(crate) fn url(&self) -> String {
        format!("postgres://slipway@127.0.0.1:{}/postgres", self.port)
    }

    /// The path of a program that belongs to the server, such as `pgbench`.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

/// The program directory of the newest installed version.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .filter_map(|version| Some(version.ok()?.path()))
        .filter(|version| version.join("bin/initdb").is_file())
        .max_by_key(|version| {
            let name = version.file_name().unwrap_or_default().to_string_lossy();
            name.parse::<u32>().unwrap_or(0)
        })
        .map(|version| version.join("bin"))
}

/// Gives `directory` to the user that the server runs as: PostgreSQL refuses to run as root.
async fn unprivileged(directory: &Path) -> Result<Lifetime> {
    if !is_root() {
        return Ok(Lifetime::Bound);
    }
    output_of(
        Command::new("chown")
            .arg("postgres:postgres")
            .arg(directory),
    )
    .await?;
    Ok(Lifetime::BoundAs("postgres"))
}

async fn initialise(initdb: &Path, lifetime: Lifetime, cluster: &Path) -> Result<()> {
    let log = scratch()?.join("initdb.log");
    let mut command = service(initdb, lifetime, &log)?;
    command
        .args(["--username=slipway", "--auth=trust", "--encoding=UTF8"])
        .args(["--no-locale", "--no-sync", "--pgdata"])
        .arg(cluster)
        .current_dir("/");
    let mut running = ChildProcess::start(command, Signal::SIGTERM, Duration::from_secs(5))?;
    let status = running.child().wait().await?;
    anyhow::ensure!(status.success(), "initdb: {status}, see {}", log.display());
    Ok(())
}
