//! A server that speaks S3: moto, from PyPI, which is installed once into the scratch directory.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::process::{Bond, Running, free_port, service};
use crate::{probe, python, scratch};

const MOTO: &str = "moto[server]==5.2.5";
const BUCKET: &str = "slipway";

/// A running S3 server, with one empty bucket. It keeps everything in memory.
#[derive(Debug)]
pub(crate) struct S3 {
    port: u16,
    _running: Running,
}

impl S3 {
    pub(crate) async fn start() -> Result<Self> {
        let program = python::environment("moto", &[MOTO])
            .await?
            .join("bin/moto_server");
        let port = free_port()?;
        let log = scratch()?.join("s3.log");
        let mut command = service(program, Bond::Tied, &log)?;
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let mut running = Running::start(command, Signal::SIGTERM, Duration::from_secs(5))?;
        let ready = || async {
            let status = probe::http(port, "PUT", &format!("/{BUCKET}")).await?;
            ensure!(status == 200, "it answers {status} when asked for a bucket");
            Ok(())
        };
        probe::until_ready(&mut running, &log, Duration::from_secs(30), ready)
            .await
            .with_context(|| format!("the S3 server does not start, see {}", log.display()))?;
        Ok(Self {
            port,
            _running: running,
        })
    }

    /// Where to keep blobs in it. It takes any credentials.
    pub(crate) fn url(&self) -> String {
        let port = self.port;
        format!("s3://{BUCKET}/tests?endpoint=http://127.0.0.1:{port}&allow_http=true")
    }
}
