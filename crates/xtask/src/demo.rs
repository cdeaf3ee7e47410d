//! `cargo xtask demo`: the main job, end to end.

use std::process::ExitCode;

use anyhow::{Result, bail};

/// What can be chosen about the demonstration.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leaves everything running at the end, to be looked at.
    #[arg(long)]
    pub(crate) keep: bool,
}

pub(crate) async fn run(_args: &Args) -> Result<ExitCode> {
    bail!("there is no demonstration yet")
}
