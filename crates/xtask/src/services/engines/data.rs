//! The directory of an engine's images and containers.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::output_of;
use crate::scratch;

/// Creates an empty directory on a file system on which overlay mounts work.
pub(super) async fn directory(engine: &str) -> Result<TempDir> {
    let mut reasons = Vec::new();
    for parent in [scratch()?.join("engines/data"), PathBuf::from("/var/lib")] {
        fs::create_dir_all(&parent)?;
        let data = tempfile::Builder::new()
            .prefix(&format!("slipway-{engine}-"))
            .tempdir_in(&parent)?;
        match overlay_works_in(data.path()).await {
            Ok(()) => return Ok(data),
            Err(error) => reasons.push(format!("{}: {error:#}", parent.display())),
        }
    }
    bail!(
        "no file system for the engine's data: {}",
        reasons.join("; ")
    );
}

async fn overlay_works_in(directory: &Path) -> Result<()> {
    const TRY: &str = "mkdir lower upper work merged && \
                       mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged";
    let dir = tempfile::tempdir_in(directory)?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", TRY]);
    output_of(command.current_dir(dir.path()))
        .await
        .map(|_| ())
        .context("overlay mounts do not work")
}
