//! What a claim costs: through the store, against the same claim in raw SQL on the same database,
//! and at a thousand, a hundred thousand and a million pending jobs.
//!
//! `cargo xtask bench queue` runs it. PostgreSQL takes part when `SLIPWAY_TEST_POSTGRES` names a
//! server, with `pgbench` as its peer, found by `SLIPWAY_PGBENCH`. Peers take turns within one run
//! and medians are told: machines drift, ratios drift less.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod raw;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::queue::{Capabilities, RunnerScope};
use slipway_domain::{FeatureSet, RunnerId, TagSet};
use slipway_store::{ClaimRequest, Store, StoreError};

/// How many runners claim at once.
const CLAIMANTS: usize = 64;
/// How many projects have jobs waiting.
pub(crate) const PROJECTS: usize = 20;
/// How many rounds each peer gets.
const ROUNDS: usize = 5;
/// How long one round of claiming takes.
const ROUND: Duration = Duration::from_secs(1);
/// How many claims one measurement of the cost at a depth takes: less than the least depth.
const PROBE: usize = 512;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("SQLite, durable commits (WAL, synchronous=FULL)");
    measure(raw::Bed::sqlite, "raw SQL, one thread, one commit each").await?;
    match std::env::var("SLIPWAY_TEST_POSTGRES") {
        Ok(server) => {
            println!("PostgreSQL");
            measure(
                || raw::Bed::postgres(&server),
                "pgbench, 32 clients, SKIP LOCKED",
            )
            .await
        }
        Err(_) => {
            println!("PostgreSQL: skipped, SLIPWAY_TEST_POSTGRES names no server");
            Ok(())
        }
    }
}

async fn measure(bed: impl Fn() -> anyhow::Result<raw::Bed>, peer: &str) -> anyhow::Result<()> {
    let mut first = None;
    for depth in [1_000, 100_000, 1_000_000] {
        let bed = bed()?;
        let store = Store::open(&bed.url).await?;
        bed.fill(depth)?;
        let cost = cost_of_a_claim(&store, &bed).await?;
        let base = *first.get_or_insert(cost);
        println!(
            "  {cost:>9.1} us a claim at {depth:>9} pending, {:.2} of that at 1,000",
            cost / base
        );
        if depth == 1_000_000 {
            against_raw(&store, &bed, peer).await?;
        }
    }
    Ok(())
}

/// Microseconds a claim, while all claimants make [`PROBE`] claims together.
async fn cost_of_a_claim(store: &Store, bed: &raw::Bed) -> anyhow::Result<f64> {
    let mut costs = Vec::new();
    for _ in 0..=ROUNDS * 4 {
        costs.push(claim_some(store, PROBE).await?);
        bed.put_back()?;
    }
    // The first one warms the caches up.
    costs.remove(0);
    Ok(median(costs))
}

/// Claims per second with plenty pending, the store and its peer in turn.
async fn against_raw(store: &Store, bed: &raw::Bed, peer: &str) -> anyhow::Result<()> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(bed.raw_claims_per_second(ROUND)?);
        bed.put_back()?;
        ours.push(claims_per_second(store).await?);
        bed.put_back()?;
    }
    let ratios: Vec<f64> = ours
        .iter()
        .zip(&theirs)
        .map(|(ours, theirs)| ours / theirs)
        .collect();
    println!(
        "  {:>9.0} claims/s  store, {CLAIMANTS} claimants",
        median(ours)
    );
    println!("  {:>9.0} claims/s  {peer}", median(theirs));
    println!(
        "  {:>9.2} store / raw (median of {ROUNDS} pairs)",
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

/// Microseconds a claim, while `count` are made by all claimants together.
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
        lease: TimeDelta::seconds(15),
        now: DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(1),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
