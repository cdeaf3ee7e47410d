//! `cargo xtask bench`: measures what the farm promises.

mod context;
mod overhead;

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::services::Postgres;
use crate::steps::{cargo, run as run_command};

/// What can be chosen about the measurement.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

/// What is measured.
#[derive(Clone, Copy, Debug, clap::Subcommand)]
enum What {
    /// What a claim costs, beside the same claim in raw SQL, on SQLite and on PostgreSQL.
    Queue,
    /// What appending to a trace costs while a thousand readers follow it, beside nobody.
    Live,
    /// What `slipway build .` takes of 200 MB in 20,000 files, beside a tenth of that.
    Context,
    /// What the farm adds to `docker build && docker push`, for a small image and a large one.
    Overhead,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    match args.what {
        What::Queue => queue().await?,
        What::Live => live().await?,
        What::Context => context::measure().await?,
        What::Overhead => overhead::run().await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn queue() -> Result<()> {
    let postgres = Postgres::start()
        .await
        .context("the peer of the measurement cannot be set up")?;
    let mut bench = cargo(&["bench", "--package", "slipway-store", "--bench", "queue"]);
    bench
        .env("SLIPWAY_TEST_POSTGRES", postgres.url())
        .env("SLIPWAY_PGBENCH", postgres.program("pgbench"));
    run_command(bench).await
}

async fn live() -> Result<()> {
    let bench = cargo(&[
        "bench",
        "--package",
        "slipway-coordinator",
        "--bench",
        "live",
    ]);
    run_command(bench).await
}
