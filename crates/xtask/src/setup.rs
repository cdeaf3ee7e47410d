//! Makes sure that what the chores use is installed, and that a Docker Engine answers.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::process::{Bond, Running, find, is_root, quietly, service};
use crate::{probe, scratch};

/// Gives where `program` is, after installing the Debian package that has it if need be.
pub(crate) async fn program(program: &str, package: &str) -> Result<PathBuf> {
    if find(program).is_none() {
        install(package).await?;
    }
    find(program).with_context(|| format!("the package {package} has no `{program}`"))
}

/// Makes sure that a Debian package is installed.
pub(crate) async fn package(package: &str) -> Result<()> {
    let asked = quietly(Command::new("dpkg").args(["-s", package])).await;
    match asked {
        Ok(status) if status.contains("\nStatus: install ok installed") => Ok(()),
        _ => install(package).await,
    }
}

async fn install(package: &str) -> Result<()> {
    static LISTS: OnceCell<()> = OnceCell::const_new();

    if find("apt-get").is_none() {
        bail!("`{package}` is missing, and without apt-get only you can install it");
    }
    println!("installing {package}");
    LISTS
        .get_or_try_init(async || {
            quietly(as_root("apt-get")?.args(["-q", "update"]))
                .await
                .map(|_| ())
        })
        .await
        .with_context(|| format!("cannot look for {package}"))?;
    quietly(as_root("apt-get")?.args([
        "-q",
        "install",
        "--yes",
        "--no-install-recommends",
        package,
    ]))
    .await
    .with_context(|| format!("cannot install {package}"))?;
    Ok(())
}

/// A command that runs as root, which asks nothing.
pub(crate) fn as_root(program: &str) -> Result<Command> {
    let mut command = if is_root() {
        Command::new(program)
    } else if find("sudo").is_some() {
        let mut sudo = Command::new("sudo");
        sudo.args([
            "--non-interactive",
            "DEBIAN_FRONTEND=noninteractive",
            program,
        ]);
        sudo
    } else {
        bail!("{program} needs root, and there is no sudo");
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    Ok(command)
}

/// A Docker Engine that answers.
#[derive(Debug)]
pub(crate) struct Docker {
    /// Set when it was started here; it then stops when this is dropped.
    daemon: Option<Running>,
}

impl Docker {
    /// Whether it was started here.
    pub(crate) fn is_ours(&self) -> bool {
        self.daemon.is_some()
    }

    /// Its process, if it was started here.
    pub(crate) fn running(&self) -> Option<&Running> {
        self.daemon.as_ref()
    }

    /// Lets it run on.
    pub(crate) fn leave(self) {
        if let Some(daemon) = self.daemon {
            daemon.leave();
        }
    }
}

/// Makes sure that a Docker Engine answers: the one that runs, or one started here.
pub(crate) async fn docker(bond: Bond) -> Result<Docker> {
    let Err(silent) = probe::docker().await else {
        return Ok(Docker { daemon: None });
    };
    if std::env::var_os("DOCKER_HOST").is_some_and(|host| !host.is_empty()) {
        return Err(silent.context("the engine that DOCKER_HOST names does not answer"));
    }
    program("dockerd", "docker.io").await?;
    // A package that was just installed may have started its service.
    if probe::docker().await.is_ok() {
        return Ok(Docker { daemon: None });
    }
    if !is_root() {
        let advice = "start Docker, or join its group if it runs: `sudo usermod -aG docker $USER`";
        return Err(silent.context(advice));
    }
    let daemon = match daemon(bond, &[]).await {
        Ok(daemon) => daemon,
        // Inside a container neither netfilter nor overlays may be allowed. Builds that need no
        // network still work then.
        Err(refused) => {
            let flags = ["--iptables=false", "--bridge=none", "--storage-driver=vfs"];
            daemon(bond, &flags).await.map_err(|_| refused)?
        }
    };
    Ok(Docker {
        daemon: Some(daemon),
    })
}

async fn daemon(bond: Bond, flags: &[&str]) -> Result<Running> {
    let log = scratch()?.join("dockerd.log");
    let dockerd = find("dockerd").context("there is no dockerd")?;
    let mut command = service(dockerd, bond, &log)?;
    command.args(flags);
    let mut running = Running::start(command, Signal::SIGTERM, Duration::from_secs(20))?;
    probe::until_ready(&mut running, &log, Duration::from_secs(60), probe::docker)
        .await
        .with_context(|| format!("dockerd does not start, see {}", log.display()))?;
    Ok(running)
}
