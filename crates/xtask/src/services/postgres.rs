//! A PostgreSQL of our own, which leaves the system's cluster alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::{Bond, Running, free_port, is_root, quietly, service};
use crate::{probe, scratch, setup};

/// A running PostgreSQL. Everyone on this machine may connect as the superuser.
#[derive(Debug)]
pub(crate) struct Postgres {
    port: u16,
    programs: PathBuf,
    // The order matters: the server goes before its data.
    _running: Running,
    _data: TempDir,
}

impl Postgres {
    pub(crate) async fn start() -> Result<Self> {
        let programs = match programs() {
            Some(programs) => programs,
            None => {
                setup::package("postgresql").await?;
                programs().context("the package postgresql has no initdb")?
            }
        };
        let data = tempfile::Builder::new()
            .prefix("slipway-postgres-")
            .tempdir()?;
        let bond = unprivileged(data.path()).await?;
        let cluster = data.path().join("cluster");
        initialise(&programs.join("initdb"), bond, &cluster).await?;

        let port = free_port()?;
        let log = scratch()?.join("postgres.log");
        let mut command = service(programs.join("postgres"), bond, &log)?;
        command.arg("-D").arg(&cluster).current_dir(data.path());
        let sockets = data.path().display();
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            format!("unix_socket_directories={sockets}"),
            // As in production, so that what is measured and what is killed is the real thing.
            "fsync=on".to_owned(),
            "max_connections=300".to_owned(),
        ] {
            command.arg("-c").arg(setting);
        }
        // SIGINT disconnects whoever is there; SIGTERM would wait for them.
        let mut running = Running::start(command, Signal::SIGINT, Duration::from_secs(10))?;
        let ready = || async {
            let mut asked = Command::new(programs.join("pg_isready"));
            asked.args(["--quiet", "--host=127.0.0.1", &format!("--port={port}")]);
            quietly(&mut asked).await.map(|_| ())
        };
        probe::until_ready(&mut running, &log, Duration::from_secs(30), ready)
            .await
            .context("PostgreSQL does not start")?;
        Ok(Self {
            port,
            programs,
            _running: running,
            _data: data,
        })
    }

    /// The URL of its administrative database.
    pub(crate) fn url(&self) -> String {
        format!("postgres://slipway@127.0.0.1:{}/postgres", self.port)
    }

    /// Where a program is that came with the server, such as `pgbench`.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

/// Where the programs of the newest installed version are.
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

/// Whom to run as, who then owns `directory`: PostgreSQL refuses to run as root.
async fn unprivileged(directory: &Path) -> Result<Bond> {
    if !is_root() {
        return Ok(Bond::Tied);
    }
    quietly(
        Command::new("chown")
            .arg("postgres:postgres")
            .arg(directory),
    )
    .await?;
    Ok(Bond::TiedAs("postgres"))
}

async fn initialise(initdb: &Path, bond: Bond, cluster: &Path) -> Result<()> {
    let log = scratch()?.join("initdb.log");
    let mut command = service(initdb, bond, &log)?;
    command
        .args(["--username=slipway", "--auth=trust", "--encoding=UTF8"])
        .args(["--no-locale", "--no-sync", "--pgdata"])
        .arg(cluster)
        .current_dir("/");
    let mut running = Running::start(command, Signal::SIGTERM, Duration::from_secs(5))?;
    let status = running.child().wait().await?;
    anyhow::ensure!(status.success(), "initdb: {status}, see {}", log.display());
    Ok(())
}
