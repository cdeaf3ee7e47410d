//! Programs from PyPI, each in an environment of its own in the scratch directory.

use std::path::PathBuf;

use anyhow::Result;
use tokio::process::Command;

use crate::process::quietly;
use crate::{scratch, setup};

/// Where the environment called `name` is, after installing `requirements` into it if need be.
/// Its interpreter is `bin/python`.
pub(crate) async fn environment(name: &str, requirements: &[&str]) -> Result<PathBuf> {
    let home = scratch()?.join(name);
    let wanted = requirements.join("\n");
    // Written last, so that an installation that was cut short is not taken for a whole one.
    let complete = home.join("complete");
    if std::fs::read_to_string(&complete).is_ok_and(|installed| installed == wanted) {
        return Ok(home);
    }
    println!("installing {}", requirements.join(", "));
    setup::package("python3-venv").await?;
    let mut make = Command::new("python3");
    quietly(make.args(["-m", "venv", "--clear"]).arg(&home)).await?;
    let mut install = Command::new(home.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet"]);
    quietly(install.args(requirements)).await?;
    std::fs::write(complete, wanted)?;
    Ok(home)
}
