//! Measures what a claim costs: through the store, compared with the same claim in raw SQL on the
//! same database, at one thousand, one hundred thousand and one million pending jobs.
//!
//! `cargo xtask bench queue` runs it. PostgreSQL is measured if `SLIPWAY_TEST_POSTGRES` names a
//! server; its baseline is `pgbench`, whose path is in `SLIPWAY_PGBENCH`. The store and its
//! baseline take turns within one run and medians are printed, because the speed of a machine
//! drifts and ratios drift less.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]
#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

mod baseline;
mod database;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use database::BenchDatabase;
use slipway_domain::queue::{Capabilities, RunnerScope};
use slipway_domain::{FeatureSet, RunnerId, TagSet};
use slipway_store::{ClaimRequest, Store, StoreError};

/// How many runners claim at once.
const CLAIMANTS: usize = 64;
/// How many projects have pending jobs.
pub(crate) const PROJECTS: usize = 20;
/// How many rounds the store and its baseline get each.
const ROUNDS: usize = 5;
/// How long one round of claiming takes.
const ROUND: Duration = Duration::from_secs(1);
/// How many claims one measurement at a depth makes: fewer than the smallest depth.
const PROBE: usize = 512;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("SQLite, durable commits (WAL, synchronous=FULL)");
    measure(
        BenchDatabase::sqlite,
        "raw SQL, one thread, one commit each",
    )
    .await?;
    match std::env::var("SLIPWAY_TEST_POSTGRES") {
        Ok(server) => {
            println!("PostgreSQL");
            measure(
                || BenchDatabase::postgres(&server),
                "pgbench, 32 clients, SKIP LOCKED",
            )
            .await
        }
        Err(_) => {
            println!("PostgreSQL: skipped, because SLIPWAY_TEST_POSTGRES is not set");
            Ok(())
        }
    }
}

async fn measure(
    open: impl Fn() -> anyhow::Result<BenchDatabase>,
    baseline: &str,
) -> anyhow::Result<()> {
    let mut smallest = None;
    for depth in [1_000, 100_000, 1_000_000] {
        let database = open()?;
        let store = Store::open(&database.url).await?;
        database.fill(depth)?;
        let cost = cost_of_a_claim(&store, &database).await?;
        let base = *smallest.get_or_insert(cost);
        println!(
            "  {cost:>9.1} us per claim at {depth:>9} pending, {:.2} of that at 1,000",
            cost / base
        );
        if depth == 1_000_000 {
            compare_with_baseline(&store, &database, baseline).await?;
        }
    }
    Ok(())
}

/// Microseconds per claim while all claimants make [`PROBE`] claims together.
async fn cost_of_a_claim(store: &Store, database: &BenchDatabase) -> anyhow::Result<f64> {
    let mut costs = Vec::new();
    for _ in 0..=ROUNDS * 4 {
        costs.push(claim_some(store, PROBE).await?);
        database.make_all_pending()?;
    }
    // The first measurement only warms up the caches.
    costs.remove(0);
    Ok(median(costs))
}

/// Claims per second with plenty of pending jobs, the store and its baseline in turn.
async fn compare_with_baseline(
    store: &Store,
    database: &BenchDatabase,
    baseline: &str,
) -> anyhow::Result<()> {
    let (mut store_rates, mut baseline_rates) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        baseline_rates.push(database.baseline_claims_per_second(ROUND)?);
        database.make_all_pending()?;
        store_rates.push(claims_per_second(store).await?);
        database.make_all_pending()?;
    }
    let ratios: Vec<f64> = store_rates
        .iter()
        .zip(&baseline_rates)
        .map(|(store, baseline)| store / baseline)
        .collect();
    println!(
        "  {:>9.0} claims/s  store, {CLAIMANTS} claimants",
        median(store_rates)
    );
    println!("  {:>9.0} claims/s  {baseline}", median(baseline_rates));
    println!(
        "  {:>9.2} store / baseline (median of {ROUNDS} pairs)",
        median(ratios)
    );
    Ok(())
}

async fn claims_per_second(store: &Store) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let mut claimants = Vec::new();
    for runner in 0..CLAIMANTS {
        let store = store.clone();
        claimants.push(tokio::spawn(async move {
            let mut claims = 0usize;
            while begin.elapsed() < ROUND {
                if store.claim(request(runner)).await?.is_some() {
                    claims += 1;
                }
            }
            Ok::<usize, StoreError>(claims)
        }));
    }
    let mut claims = 0;
    for claimant in claimants {
        claims += claimant.await??;
    }
    Ok(claims as f64 / begin.elapsed().as_secs_f64())
}

/// Microseconds per claim while all claimants make `count` claims together.
async fn claim_some(store: &Store, count: usize) -> anyhow::Result<f64> {
    let left = Arc::new(AtomicUsize::new(count));
    let begin = Instant::now();
    let mut claimants = Vec::new();
    for runner in 0..CLAIMANTS {
        let (store, left) = (store.clone(), Arc::clone(&left));
        claimants.push(tokio::spawn(async move {
            let take = |left: usize| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
            {
                let claimed = store.claim(request(runner)).await?;
                assert!(claimed.is_some(), "the queue ran empty");
            }
            Ok::<(), StoreError>(())
        }));
    }
    for claimant in claimants {
        claimant.await??;
    }
    Ok(begin.elapsed().as_secs_f64() * 1e6 / count as f64)
}

fn request(runner: usize) -> ClaimRequest {
    ClaimRequest {
        runner: RunnerId(1 + runner as i64),
        capabilities: Capabilities {
            tags: TagSet::default(),
            run_untagged: true,
            scope: RunnerScope::Shared,
            features: FeatureSet::default(),
        },
        request: None,
        manager: None,
        lease: TimeDelta::seconds(15),
        now: DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(1),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
