//! `cargo xtask bench`: benchmarks of the limits in `docs/operating.md`.

mod context;
mod overhead;

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::services::Postgres;
use crate::steps::{cargo, run as run_command};

/// Options of the bench task.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    benchmark: Benchmark,
}

/// The benchmarks.
#[derive(Clone, Copy, Debug, clap::Subcommand)]
enum Benchmark {
    /// Claims per second, compared with raw SQL, on SQLite and on PostgreSQL.
    Queue,
    /// Claims per second over HTTP, compared with raw SQL, on SQLite and on PostgreSQL.
    Claims,
    /// Time to read lists of a million builds, compared with a raw keyset query.
    Lists,
    /// Time to append to a trace with a thousand live readers, compared with none.
    Live,
    /// Time and memory of `slipway build .` for 200 MB in 20,000 files, compared with a tenth of that.
    Context,
    /// Time that the farm adds to `docker build && docker push`, for a small image and a large one.
    Overhead,
    /// Throughput of masking with 100 secrets, compared with plain Aho-Corasick.
    Masking,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    match args.benchmark {
        Benchmark::Queue => with_postgres("slipway-store", "queue").await?,
        Benchmark::Claims => with_postgres("slipway-coordinator", "claims").await?,
        Benchmark::Lists => with_postgres("slipway-store", "lists").await?,
        Benchmark::Live => live().await?,
        Benchmark::Context => context::measure().await?,
        Benchmark::Overhead => overhead::run().await?,
        Benchmark::Masking => masking().await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a benchmark that compares SQLite and PostgreSQL with their own raw SQL.
async fn with_postgres(package: &str, name: &str) -> Result<()> {
    let postgres = Postgres::start_durable()
        .await
        .context("could not start PostgreSQL for the comparison")?;
    let mut bench = cargo(&["bench", "--package", package, "--bench", name]);
    bench
        .env("SLIPWAY_TEST_POSTGRES", postgres.url())
        .env("SLIPWAY_PGBENCH", postgres.program("pgbench"));
    run_command(bench).await
}

async fn masking() -> Result<()> {
    let bench = ["--package", "slipway-masking", "--bench", "throughput"];
    run_command(cargo(&[&["bench"], bench.as_slice()].concat())).await
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
