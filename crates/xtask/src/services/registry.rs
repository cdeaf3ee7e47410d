//! An image registry of our own.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::process::{Running, free_port, service};
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
    _running: Running,
    _data: TempDir,
}

impl Registry {
    /// Starts one that takes everything from everybody.
    pub(crate) async fn open() -> Result<Self> {
        Self::start("registry", None).await
    }

    /// Starts one that refuses whoever is not [`USER`].
    pub(crate) async fn with_password() -> Result<Self> {
        Self::start("auth-registry", Some(HTPASSWD)).await
    }

    async fn start(name: &str, htpasswd: Option<&str>) -> Result<Self> {
        let program = setup::program("docker-registry", "docker-registry").await?;
        let port = free_port()?;
        let data = tempfile::Builder::new()
            .prefix("slipway-registry-")
            .tempdir()?;
        let mut settings = format!(
            "version: 0.1\n\
             log: {{level: warn}}\n\
             storage:\n  \
               filesystem: {{rootdirectory: {0}/blobs}}\n  \
               delete: {{enabled: true}}\n\
             http: {{addr: '127.0.0.1:{port}'}}\n",
            data.path().display()
        );
        if let Some(htpasswd) = htpasswd {
            let path = data.path().join("htpasswd");
            std::fs::write(&path, htpasswd)?;
            settings += &format!(
                "auth: {{htpasswd: {{realm: slipway, path: {}}}}}\n",
                path.display()
            );
        }
        let file = data.path().join("config.yml");
        std::fs::write(&file, settings)?;

        let log = scratch()?.join(format!("{name}.log"));
        let mut command = service(program, None, &log)?;
        command.arg("serve").arg(file);
        let mut running = Running::start(command, Signal::SIGTERM, Duration::from_secs(5))?;
        let expected = if htpasswd.is_some() { 401 } else { 200 };
        let ready = || async {
            let status = probe::http(port, "GET", "/v2/").await?;
            ensure!(status == expected, "it answers {status}, not {expected}");
            Ok(())
        };
        probe::until_ready(&mut running, &log, Duration::from_secs(20), ready)
            .await
            .with_context(|| format!("the registry does not start, see {}", log.display()))?;
        Ok(Self {
            port,
            _running: running,
            _data: data,
        })
    }

    /// `host:port`, as it begins the name of an image. Engines use plain HTTP for this host.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}
