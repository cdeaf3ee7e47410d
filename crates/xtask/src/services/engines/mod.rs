//! Newer Docker Engines and Podman, beside the engine of this machine.
//!
//! Their packages come from newer suites of Debian, at the address from which this machine installs
//! its own. They are unpacked into a directory and never installed; each engine runs in a mount
//! namespace of its own with that directory as its root. It shares the network of the host, so that
//! it reaches the registries of the tests.

mod bridge;
mod data;
mod dockerd;
mod packages;
mod podman;
mod root;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use self::bridge::Bridge;
use self::packages::Suite;
use self::root::Root;
use crate::process::{ChildProcess, Lifetime, is_root, service};
use crate::{probe, scratch};

/// Returns the program of today's `docker build`, after downloading it if necessary.
pub(super) async fn buildx() -> Result<PathBuf> {
    let unpacked = packages::unpacked(Suite::Sid).await?;
    let program = unpacked.join("usr/libexec/docker/cli-plugins/docker-buildx");
    ensure!(program.exists(), "{} does not exist", program.display());
    Ok(program)
}

/// An engine that tests can use instead of the one of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineKind {
    #[value(name = "docker-26")]
    Docker26,
    #[value(name = "docker-28")]
    Docker28,
    #[value(name = "docker-28-containerd")]
    Docker28Containerd,
    #[value(name = "podman-4")]
    Podman4,
    #[value(name = "podman-5")]
    Podman5,
}

impl EngineKind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Docker26,
        Self::Docker28,
        Self::Docker28Containerd,
        Self::Podman4,
        Self::Podman5,
    ];

    /// The name of its directories, its log, and its option.
    fn name(self) -> &'static str {
        match self {
            Self::Docker26 => "docker-26",
            Self::Docker28 => "docker-28",
            Self::Docker28Containerd => "docker-28-containerd",
            Self::Podman4 => "podman-4",
            Self::Podman5 => "podman-5",
        }
    }

    fn suite(self) -> Suite {
        match self {
            Self::Podman4 => Suite::Bookworm,
            Self::Docker26 => Suite::Trixie,
            Self::Docker28 | Self::Docker28Containerd | Self::Podman5 => Suite::Sid,
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker26 => "Docker 26, overlay2",
            Self::Docker28 => "Docker 28, overlay2",
            Self::Docker28Containerd => "Docker 28, containerd",
            Self::Podman4 => "Podman 4",
            Self::Podman5 => "Podman 5",
        })
    }
}

/// A running engine.
#[derive(Debug)]
pub(crate) struct Engine {
    host: String,
    // Fields are dropped in order: the engine stops before its network and its data are deleted.
    _running: ChildProcess,
    _bridge: Option<Bridge>,
    _data: TempDir,
    _sockets: TempDir,
}

impl Engine {
    /// Starts an engine with an empty store, after downloading it if necessary.
    pub(crate) async fn start(kind: EngineKind) -> Result<Self> {
        if !is_root() {
            bail!("only root can start another engine");
        }
        let unpacked = packages::unpacked(kind.suite()).await?;
        let root = Root::prepare(unpacked)?;
        let data = data::directory(kind.name()).await?;
        let sockets = tempfile::Builder::new()
            .prefix("slipway-engine-")
            .tempdir()?;
        let (bridge, arguments) = match kind {
            EngineKind::Podman4 | EngineKind::Podman5 => {
                podman::configure(&root, kind)?;
                (None, podman::arguments())
            }
            EngineKind::Docker26 | EngineKind::Docker28 | EngineKind::Docker28Containerd => {
                let bridge = Bridge::create().await?;
                let is_containerd = kind == EngineKind::Docker28Containerd;
                let arguments = dockerd::arguments(&root, bridge.name(), is_containerd)?;
                (Some(bridge), arguments)
            }
        };
        let log = scratch()?.join(format!("{}.log", kind.name()));
        let mut command = service("unshare", Lifetime::Bound, &log)?;
        root.enter(&mut command, data.path(), sockets.path());
        command.args(arguments);
        let stop = match kind {
            // It does not end by SIGTERM.
            EngineKind::Podman4 => Signal::SIGKILL,
            _ => Signal::SIGTERM,
        };
        let mut running = ChildProcess::start(command, stop, Duration::from_secs(20))?;
        let host = format!("unix://{}", sockets.path().join(root::SOCKET).display());
        let ready = || probe::docker_at(&host);
        probe::until_ready(&mut running, &log, Duration::from_secs(60), ready).await?;
        Ok(Self {
            host,
            _running: running,
            _bridge: bridge,
            _data: data,
            _sockets: sockets,
        })
    }

    /// Its address, for `DOCKER_HOST`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The version that it reports.
    pub(crate) async fn version(&self) -> Result<String> {
        let mut command = Command::new("docker");
        command.args(["version", "--format", "{{.Server.Version}}"]);
        let version = crate::process::output_of(command.env("DOCKER_HOST", &self.host)).await?;
        Ok(version.trim().to_owned())
    }
}
