//! The generator of TypeScript clients, from npm.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::process::{find_program, output_of};
use crate::{root, scratch};

/// The oldest version of Node that the generator supports.
const MIN_NODE: u32 = 20;

/// Installs what the committed `package-lock.json` pins, and returns the directory.
pub(crate) async fn install() -> Result<PathBuf> {
    ensure!(
        find_program("node").is_some() && find_program("npm").is_some(),
        "Node and npm are not installed"
    );
    let version = output_of(Command::new("node").arg("--version")).await?;
    let major = version.trim().trim_start_matches('v').split('.').next();
    let major: u32 = major
        .and_then(|major| major.parse().ok())
        .with_context(|| format!("could not read the version of Node: {version}"))?;
    ensure!(major >= MIN_NODE, "Node {version} is older than {MIN_NODE}");
    let source = root().join("coordinator/tests/generated_clients/node");
    let home = scratch()?.join("node");
    std::fs::create_dir_all(&home)?;
    let wanted = std::fs::read_to_string(source.join("package-lock.json"))?;
    // Written last, so that an interrupted installation is not mistaken for a complete one.
    let complete = home.join("complete");
    if std::fs::read_to_string(&complete).is_ok_and(|installed| installed == wanted) {
        return Ok(home);
    }
    for name in ["package.json", "package-lock.json"] {
        std::fs::copy(source.join(name), home.join(name))?;
    }
    println!("installing the generator of TypeScript clients");
    let mut install = Command::new("npm");
    install
        .args(["ci", "--no-audit", "--no-fund"])
        .current_dir(&home);
    output_of(&mut install).await?;
    std::fs::write(complete, wanted)?;
    Ok(home)
}
