//! An S3 server: moto from PyPI, installed once into the scratch directory.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::process::{ChildProcess, Lifetime, free_port, service};
use crate::{probe, python, scratch};

const MOTO: &str = "moto[server]==5.2.5";
const BUCKET: &str = "slipway";

/// A running S3 server with one empty bucket. It stores everything in memory.
#[derive(Debug)]
pub(crate) struct S3 {
    port: u16,
    _running: ChildProcess,
}

impl S3 {
    pub(crate) async fn start() -> Result<Self> {
        let program = python::environment("moto", &[MOTO])
            .await?
            .join("bin/moto_server");
        let port = free_port()?;
        let log = scratch()?.join("s3.log");
        let mut command = service(program, Lifetime::Bound, &log)?;
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let mut running = ChildProcess::start(command, Signal::SIGTERM, Duration::from_secs(5))?;
        let ready = || async {
            let status = probe::http(port, "PUT", &format!("/{BUCKET}")).await?;
            ensure!(
                status == 200,
                "creating a bucket was answered with status {status}"
            );
            Ok(())
        };
        probe::until_ready(&mut running, &log, Duration::from_secs(30), ready)
            .await
            .with_context(|| format!("the S3 server did not start, see {}", log.display()))?;
        Ok(Self {
            port,
            _running: running,
        })
    }

    /// The blob URL of the bucket. The server accepts any credentials.
    pub(crate) fn url(&self) -> String {
        let port = self.port;
        format!("s3://{BUCKET}/tests?endpoint=http://127.0.0.1:{port}&allow_http=true")
    }
}
