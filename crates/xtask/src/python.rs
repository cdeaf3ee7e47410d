//! Programs from PyPI, each in its own virtual environment in the scratch directory.

use std::path::PathBuf;

use anyhow::Result;
use tokio::process::Command;

use crate::process::output_of;
use crate::{scratch, setup};

/// Returns the directory of the environment `name`, after installing `requirements` if necessary. Its
/// interpreter is `bin/python`.
pub(crate) async fn environment(name: &str, requirements: &[&str]) -> Result<PathBuf> {
    let home = scratch()?.join(name);
    let wanted = requirements.join("\n");
    // Written last, so that an interrupted installation is not mistaken for a complete one.
    let complete = home.join("complete");
    if std::fs::read_to_string(&complete).is_ok_and(|installed| installed == wanted) {
        return Ok(home);
    }
    println!("installing {}", requirements.join(", "));
    setup::package("python3-venv").await?;
    let mut make = Command::new("python3");
    output_of(make.args(["-m", "venv", "--clear"]).arg(&home)).await?;
    let mut install = Command::new(home.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet"]);
    output_of(install.args(requirements)).await?;
    std::fs::write(complete, wanted)?;
    Ok(home)
}
