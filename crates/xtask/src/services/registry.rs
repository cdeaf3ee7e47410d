//! A separate image registry.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::process::{ChildProcess, Lifetime, free_port, service};
use crate::{probe, scratch, setup};

/// The user of the registry with a password.
pub(crate) const USER: &str = "slipway";
pub(crate) const PASSWORD: &str = "slipway-test";
/// `USER` and `PASSWORD` in the registry's format: bcrypt, with few rounds.
const HTPASSWD: &str = "slipway:$2b$04$zyplMFI1O9zikMxYVqWiie.pZBDR80RxUVkDFszLfFYsVX7M5oeEq\n";

/// A running registry.
#[derive(Debug)]
pub(crate) struct Registry {
    port: u16,
    // Fields are dropped in order: the server stops before its data is deleted.
    running: ChildProcess,
    _data: Option<TempDir>,
}

impl Registry {
    /// Starts a registry without authentication.
    pub(crate) async fn open() -> Result<Self> {
        Self::temporary("registry", None).await
    }

    /// Starts a registry that accepts only [`USER`].
    pub(crate) async fn with_password() -> Result<Self> {
        Self::temporary("auth-registry", Some(HTPASSWD)).await
    }

    /// Starts a registry without authentication that stores its data in `data`.
    pub(crate) async fn open_in(data: &Path, lifetime: Lifetime, log: &Path) -> Result<Self> {
        Self::start(data, lifetime, log, None).await
    }

    async fn temporary(name: &str, htpasswd: Option<&str>) -> Result<Self> {
        let data = tempfile::Builder::new()
            .prefix("slipway-registry-")
            .tempdir()?;
        let log = scratch()?.join(format!("{name}.log"));
        let mut registry = Self::start(data.path(), Lifetime::Bound, &log, htpasswd).await?;
        registry._data = Some(data);
        Ok(registry)
    }

    async fn start(
        data: &Path,
        lifetime: Lifetime,
        log: &Path,
        htpasswd: Option<&str>,
    ) -> Result<Self> {
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

        let mut command = service(program, lifetime, log)?;
        command.arg("serve").arg(file);
        let mut running = ChildProcess::start(command, Signal::SIGTERM, Duration::from_secs(5))?;
        let expected = if htpasswd.is_some() { 401 } else { 200 };
        let ready = || async {
            let status = probe::http(port, "GET", "/v2/").await?;
            ensure!(
                status == expected,
                "it answered with status {status} instead of {expected}"
            );
            Ok(())
        };
        probe::until_ready(&mut running, log, Duration::from_secs(20), ready)
            .await
            .with_context(|| format!("the registry did not start, see {}", log.display()))?;
        Ok(Self {
            port,
            running,
            _data: None,
        })
    }

    /// `host:port`, the beginning of image names. Engines use plain HTTP for this host.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn running(&self) -> &ChildProcess {
        &self.running
    }

    /// Leaves the registry running. Its data must not be in a temporary directory.
    pub(crate) fn detach(self) {
        self.running.detach();
    }
}
