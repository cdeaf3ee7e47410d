//! Installs the programs that the tasks use, and starts a Docker Engine if none runs.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use tokio::process::Command;
use tokio::sync::{Mutex, OnceCell};

use crate::process::{ChildProcess, Lifetime, find_program, is_root, output_of, service};
use crate::{probe, scratch};

/// Returns the path of `program`, after installing its Debian package if necessary.
pub(crate) async fn program(program: &str, package: &str) -> Result<PathBuf> {
    if find_program(program).is_none() {
        install(package).await?;
    }
    find_program(program).with_context(|| format!("the package {package} has no `{program}`"))
}

/// Installs a Debian package unless it is installed.
pub(crate) async fn package(package: &str) -> Result<()> {
    let asked = output_of(Command::new("dpkg").args(["-s", package])).await;
    match asked {
        Ok(status) if status.contains("\nStatus: install ok installed") => Ok(()),
        _ => install(package).await,
    }
}

async fn install(package: &str) -> Result<()> {
    static LISTS: OnceCell<()> = OnceCell::const_new();
    // apt-get fails while another one runs.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

    let _alone = ONE_AT_A_TIME.lock().await;
    if find_program("apt-get").is_none() {
        bail!("`{package}` is missing, and there is no apt-get to install it: install it by hand");
    }
    println!("installing {package}");
    LISTS
        .get_or_try_init(async || {
            output_of(as_root("apt-get")?.args(["-q", "update"]))
                .await
                .map(|_| ())
        })
        .await
        .with_context(|| format!("could not update the package lists to install {package}"))?;
    output_of(as_root("apt-get")?.args([
        "-q",
        "install",
        "--yes",
        "--no-install-recommends",
        package,
    ]))
    .await
    .with_context(|| format!("could not install {package}"))?;
    Ok(())
}

/// A command that runs as root without asking for a password.
pub(crate) fn as_root(program: &str) -> Result<Command> {
    let mut command = if is_root() {
        Command::new(program)
    } else if find_program("sudo").is_some() {
        let mut sudo = Command::new("sudo");
        sudo.args([
            "--non-interactive",
            "DEBIAN_FRONTEND=noninteractive",
            program,
        ]);
        sudo
    } else {
        bail!("{program} needs root, and sudo is not installed");
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    Ok(command)
}

/// A running Docker Engine.
#[derive(Debug)]
pub(crate) struct Docker {
    /// Set if the engine was started here; it stops when this is dropped.
    daemon: Option<ChildProcess>,
}

impl Docker {
    /// Whether this task started the engine.
    pub(crate) fn was_started_here(&self) -> bool {
        self.daemon.is_some()
    }

    /// The engine's process, if this task started it.
    pub(crate) fn running(&self) -> Option<&ChildProcess> {
        self.daemon.as_ref()
    }

    /// Leaves the engine running.
    pub(crate) fn detach(self) {
        if let Some(daemon) = self.daemon {
            daemon.detach();
        }
    }
}

/// Returns the Docker Engine that runs, or starts one.
pub(crate) async fn docker(lifetime: Lifetime) -> Result<Docker> {
    let Err(unreachable) = probe::docker().await else {
        return Ok(Docker { daemon: None });
    };
    if std::env::var_os("DOCKER_HOST").is_some_and(|host| !host.is_empty()) {
        return Err(unreachable.context("the engine in DOCKER_HOST does not answer"));
    }
    program("dockerd", "docker.io").await?;
    // Installing the package may have started its service.
    if probe::docker().await.is_ok() {
        return Ok(Docker { daemon: None });
    }
    if !is_root() {
        let advice = "start Docker, or join its group if it runs: `sudo usermod -aG docker $USER`";
        return Err(unreachable.context(advice));
    }
    let daemon = match daemon(lifetime, &[]).await {
        Ok(daemon) => daemon,
        // In a container, netfilter and overlay mounts may be forbidden. Builds without network
        // still work then.
        Err(first_error) => {
            let flags = ["--iptables=false", "--bridge=none", "--storage-driver=vfs"];
            daemon(lifetime, &flags).await.map_err(|_| first_error)?
        }
    };
    Ok(Docker {
        daemon: Some(daemon),
    })
}

async fn daemon(lifetime: Lifetime, flags: &[&str]) -> Result<ChildProcess> {
    let log = scratch()?.join("dockerd.log");
    let dockerd = find_program("dockerd").context("dockerd is not installed")?;
    let mut command = service(dockerd, lifetime, &log)?;
    command.args(flags);
    let mut running = ChildProcess::start(command, Signal::SIGTERM, Duration::from_secs(20))?;
    probe::until_ready(&mut running, &log, Duration::from_secs(60), probe::docker)
        .await
        .with_context(|| format!("dockerd did not start, see {}", log.display()))?;
    Ok(running)
}
