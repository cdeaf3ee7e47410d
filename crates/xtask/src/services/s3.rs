//! A server that speaks S3: moto, from PyPI, which is installed once into the scratch directory.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tokio::process::Command;

use crate::process::{Bond, Running, free_port, quietly, service};
use crate::{probe, scratch, setup};

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
        let program = installed().await?;
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

/// Where the server's program is, after installing it if need be.
async fn installed() -> Result<PathBuf> {
    let home = scratch()?.join("moto");
    let program = home.join("bin/moto_server");
    // Written last, so that an installation that was cut short is not taken for a whole one.
    let complete = home.join("complete");
    if std::fs::read_to_string(&complete).is_ok_and(|version| version == MOTO) {
        return Ok(program);
    }
    println!("installing {MOTO}");
    setup::package("python3-venv").await?;
    quietly(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&home),
    )
    .await?;
    quietly(Command::new(home.join("bin/python")).args(["-m", "pip", "install", "--quiet", MOTO]))
        .await?;
    std::fs::write(complete, MOTO)?;
    Ok(program)
}
