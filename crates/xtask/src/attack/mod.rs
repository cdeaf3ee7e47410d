//! `cargo xtask attack`: what strangers, members and runners can do to a farm that they must not.
//!
//! The farm is a coordinator process. It is attacked through HTTP only: every route with every kind of
//! credential (`matrix.txt`), hostile requests, bodies that never end, and floods.

mod access;
mod flood;
mod hostile;
mod matrix;
mod targets;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};

use self::flood::Measured;
use self::matrix::Matrix;
use crate::steps::{cargo, run as run_command};
use crate::trials::farm::{Database, Farm};
use crate::trials::http::Http;

/// Variables of the coordinator: it must answer thousands of refused requests from one address, and
/// gives up soon on a body that stops.
const VARIABLES: &[(&str, &str)] = &[
    ("SLIPWAY_ADDRESS_FAILURES_PER_S", "0"),
    ("SLIPWAY_TOKEN_REQUESTS_PER_S", "0"),
    ("SLIPWAY_BODY_PROGRESS_S", "1"),
    ("SLIPWAY_POLL_WAIT_S", "1"),
];

/// Options of the attack.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The database; both, one after the other, by default.
    #[arg(long)]
    database: Option<Database>,
    /// Uses the programs in the target directory as they are.
    #[arg(long)]
    no_build: bool,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    if !args.no_build {
        let build = cargo(&["build", "--bins", "--package=slipway-coordinator"]);
        run_command(build)
            .await
            .context("could not compile the coordinator")?;
    }
    let databases = args.database.map_or_else(
        || vec![Database::Sqlite, Database::Postgres],
        |one| vec![one],
    );
    for database in databases {
        on_database(database, true).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Attacks a farm on SQLite with a part of the requests, with a program that is compiled already.
pub(crate) async fn short() -> Result<()> {
    on_database(Database::Sqlite, false).await
}

/// # Errors
/// If a part of the attack succeeds.
async fn on_database(database: Database, is_long: bool) -> Result<()> {
    let farm = Farm::start(database, VARIABLES).await?;
    let http = Http::new(&farm.url(), &farm.secret("admin-token")?)?;
    let matrix = Matrix::read()?;
    let mut documents = Vec::new();
    for path in [
        "/v1/openapi.json",
        "/api/v0/openapi.json",
        "/api/v1/openapi.json",
    ] {
        documents.push(http.get(path).await?.json());
    }
    matrix.check_complete(&documents)?;
    let targets = targets::create(&farm, &http).await?;
    let start = Instant::now();
    let requests = access::every_credential(&http, &matrix, &targets, is_long).await?;
    println!(
        "{database:?}: {} routes and {} kinds of credentials, {requests} requests: each is answered as \
         the matrix says, in {:.0} s",
        matrix.rows.len(),
        matrix.kinds.len(),
        start.elapsed().as_secs_f64()
    );
    if is_long {
        let connections = flood::half_bodies(&farm, &matrix, &targets).await?;
        println!(
            "{database:?}: {connections} half bodies: each is answered, and its connection closed"
        );
        show(database, flood::garbage(&farm, &http, &targets).await?);
    }
    let start = Instant::now();
    let requests = access::hostile_requests(&http, &matrix, &targets, is_long).await?;
    println!(
        "{database:?}: {requests} hostile requests: none is answered 500, in {:.0} s",
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

fn show(database: Database, measured: Measured) {
    let Measured {
        before_mib,
        peak_mib,
        idle,
        elsewhere,
        attacked,
        requests,
        sent,
        took,
    } = measured;
    println!(
        "{database:?}: flood of {} MB from 50 clients in {:.1} s: {before_mib} MiB resident before, at \
         most {peak_mib} MiB (limit 200)",
        sent / 1_000_000,
        took.as_secs_f64()
    );
    println!(
        "{database:?}: p99 of other requests {idle:.1?} idle, {elsewhere:.1?} while a bare listener is \
         flooded instead, {attacked:.1?} during the flood ({requests} requests; target: at most twice \
         the idle value)"
    );
}
