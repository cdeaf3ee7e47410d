//! An image registry of our own.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::process::{Bond, Running, free_port, service};
use crate::{probe, scratch, setup};

/// Who may use the registry that asks.
pub(crate) const USER: &str = "slipway";
/// Their password.
pub(crate) const PASSWORD: &str = "slipway-test";
/// `USER` and `PASSWORD` as a registry wants to have them written: bcrypt, in few rounds.
const HTPASSWD: &str = "slipway:$2b$04$zyplMFI1O9zikMxYVqWiie.pZBDR80RxUVkDFszLfFYsVX7M5oeEq\n";

/// A running registry.
#[derive(Debug)]
pub(crate) struct Registry {
    port: u16,
    // The order matters: the server goes before its data.
    running: Running,
    _data: Option<TempDir>,
}

impl Registry {
    /// Starts one that takes everything from everybody.
    pub(crate) async fn open() -> Result<Self> {
        Self::temporary("registry", None).await
    }

    /// Starts one that refuses whoever is not [`USER`].
    pub(crate) async fn with_password() -> Result<Self> {
        Self::temporary("auth-registry", Some(HTPASSWD)).await
    }

    /// Starts one that takes everything from everybody, and keeps it in `data`.
    pub(crate) async fn open_in(data: &Path, bond: Bond, log: &Path) -> Result<Self> {
        Self::start(data, bond, log, None).await
    }

    async fn temporary(name: &str, htpasswd: Option<&str>) -> Result<Self> {
        let data = tempfile::Builder::new()
            .prefix("slipway-registry-")
            .tempdir()?;
        let log = scratch()?.join(format!("{name}.log"));
        let mut registry = Self::start(data.path(), Bond::Tied, &log, htpasswd).await?;
        registry._data = Some(data);
        Ok(registry)
    }

    async fn start(data: &Path, bond: Bond, log: &Path, htpasswd: Option<&str>) -> Result<Self> {
        let program = setup::program("docker-registry", "docker-registry").await?;
        let port = free_port()?;
        let mut settings = format!(
            "version: 0.1\n\
             log: {{level: warn}}\n\
             storage:\n  \
               filesystem: {{rootdirectory: {0}/blobs}}\n  \
               delete: {{enabled: true}}\n\
             http: {{addr: '127.0.0.1:{port}'}}\n",
            data.display()
        );
        if let Some(htpasswd) = htpasswd {
            let path = data.join("htpasswd");
            std::fs::write(&path, htpasswd)?;
            settings += &format!(
                "auth: {{htpasswd: {{realm: slipway, path: {}}}}}\n",
                path.display()
            );
        }
        let file = data.join("config.yml");
        std::fs::write(&file, settings)?;

        let mut command = service(program, bond, log)?;
        command.arg("serve").arg(file);
        let mut running = Running::start(command, Signal::SIGTERM, Duration::from_secs(5))?;
        let expected = if htpasswd.is_some() { 401 } else { 200 };
        let ready = || async {
            let status = probe::http(port, "GET", "/v2/").await?;
            ensure!(status == expected, "it answers {status}, not {expected}");
            Ok(())
        };
        probe::until_ready(&mut running, log, Duration::from_secs(20), ready)
            .await
            .with_context(|| format!("the registry does not start, see {}", log.display()))?;
        Ok(Self {
            port,
            running,
            _data: None,
        })
    }

    /// `host:port`, as it begins the name of an image. Engines use plain HTTP for this host.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its process.
    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    /// Lets it run on. What it holds has to be in a directory of its own.
    pub(crate) fn leave(self) {
        self.running.leave();
    }
}
