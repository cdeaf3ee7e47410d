//! `cargo xtask bench`: measures what the farm promises.

use std::process::ExitCode;

use anyhow::{Result, bail};

/// What can be chosen about the measurement.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_args: &Args) -> Result<ExitCode> {
    bail!("there is nothing to measure yet")
}
