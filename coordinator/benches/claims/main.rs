//! Measures how many jobs per second the farm deals over HTTP, compared with claims in raw SQL on the same
//! database. The runners and the farm are one process, so the work of the runners counts against the farm.
//!
//! `cargo xtask bench claims` runs it. As in the benchmark of the queue, PostgreSQL is measured if
//! `SLIPWAY_TEST_POSTGRES` names a server, and the farm and its baseline take turns.
#![expect(clippy::print_stdout, reason = "the output is the result")]

#[path = "../../../crates/store/benches/baseline/mod.rs"]
mod baseline;
#[path = "../../../crates/store/benches/database/mod.rs"]
mod database;
mod runner;

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::try_join_all;
use slipway_coordinator::{Config, Traffic};
use slipway_testkit::{Backend, TestFarm};

use crate::database::BenchDatabase;
use crate::runner::{Protocol, Runner};

/// How many runners claim at once.
const RUNNERS: usize = 64;
/// How many projects have pending jobs.
pub(crate) const PROJECTS: usize = 20;
/// How many jobs are pending at the start of each round.
const DEPTH: usize = 100_000;
/// How many rounds each protocol and the baseline get.
const ROUNDS: usize = 5;
/// How long one round takes.
const ROUND: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    // The coordinator has the threads that it has when it runs alone, and the runners one of their own.
    let farm = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let runners = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    println!("SQLite, durable commits (WAL, synchronous=FULL)");
    let raw = "raw SQL, one thread, one commit each";
    farm.block_on(measure(&BenchDatabase::sqlite()?, raw, runners.handle()))?;
    let Ok(server) = std::env::var("SLIPWAY_TEST_POSTGRES") else {
        println!("PostgreSQL: skipped, because SLIPWAY_TEST_POSTGRES is not set");
        return Ok(());
    };
    println!("PostgreSQL");
    let raw = "pgbench, 32 clients, SKIP LOCKED";
    let database = BenchDatabase::postgres(&server)?;
    farm.block_on(measure(&database, raw, runners.handle()))
}

async fn measure(
    database: &BenchDatabase,
    baseline: &str,
    runtime: &tokio::runtime::Handle,
) -> Result<()> {
    let adjust = |config: &mut Config| {
        config.database_url = Some(database.url.clone());
        config.traffic = Traffic {
            token_requests_per_s: 0,
            ..Traffic::default()
        };
    };
    let farm = TestFarm::start_with(Backend::Sqlite, adjust).await;
    database.fill(DEPTH)?;
    let address = farm.url("").replace("http://", "");
    let mut kinds = Vec::new();
    for protocol in Protocol::ALL {
        let register = || Runner::register(&address, &farm.registration_token, protocol);
        let runners = try_join_all((0..RUNNERS).map(|_| register())).await?;
        kinds.push((protocol, runners, Vec::new()));
    }
    let mut raw = Vec::new();
    for _ in 0..ROUNDS {
        raw.push(database.baseline_claims_per_second(ROUND)?);
        database.make_all_pending()?;
        for (_, runners, rates) in &mut kinds {
            rates.push(claims_per_second(runners, runtime).await?);
            database.make_all_pending()?;
        }
    }
    for (protocol, _, rates) in kinds {
        let ratios = rates.iter().zip(&raw).map(|(farm, raw)| farm / raw);
        println!(
            "  {:>9.0} claims/s  {RUNNERS} runners of protocol {}: {:.2} of raw SQL (median of {ROUNDS} pairs)",
            median(rates.clone()),
            protocol.name(),
            median(ratios.collect())
        );
    }
    println!("  {:>9.0} claims/s  {baseline}", median(raw));
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load: Vec<&str> = load.split(' ').take(3).collect();
    println!("  load average {}", load.join(" "));
    Ok(())
}

/// All runners claim jobs for one round.
async fn claims_per_second(
    runners: &mut Vec<Runner>,
    runtime: &tokio::runtime::Handle,
) -> Result<f64> {
    let begin = Instant::now();
    let working = std::mem::take(runners).into_iter().map(|mut runner| {
        runtime.spawn(async move {
            let mut claims = 0usize;
            while begin.elapsed() < ROUND {
                runner.claim().await?;
                claims += 1;
            }
            anyhow::Ok((runner, claims))
        })
    });
    let mut claims = 0;
    for done in try_join_all(working).await? {
        let (runner, count) = done?;
        runners.push(runner);
        claims += count;
    }
    Ok(claims as f64 / begin.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
