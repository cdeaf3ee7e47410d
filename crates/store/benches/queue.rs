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
use diesel::connection::SimpleConnection;
use slipway_domain::queue::{Capabilities, RunnerScope};
use slipway_domain::{RunnerId, TagSet};
use slipway_store::{ClaimRequest, Conn, DatabaseUrl, Store, StoreError};

/// How many runners claim at once.
const CLAIMANTS: usize = 64;
/// How many projects have jobs waiting.
pub(crate) const PROJECTS: usize = 20;
/// How many rounds each peer gets.
const ROUNDS: usize = 5;
/// How long one round of claiming takes.
const ROUND: Duration = Duration::from_secs(2);
/// How many claims one measurement of the cost at a depth takes: less than the least depth.
const PROBE: usize = 512;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("queue.db");
    let sqlite: DatabaseUrl = format!("sqlite://{}", path.display())
        .parse()
        .map_err(anyhow::Error::msg)?;
    println!("SQLite, durable commits (WAL, synchronous=FULL)");
    let store = Store::open(&sqlite).await?;
    let peer = raw::Sqlite::open(&path)?;
    against_raw(&store, "raw SQL, one thread, one commit each", || {
        Ok(peer.claims_per_second(ROUND)?)
    })
    .await?;
    by_depth(&store).await?;
    if let Ok(server) = std::env::var("SLIPWAY_TEST_POSTGRES") {
        println!("PostgreSQL");
        let database = raw::Postgres::create(&server)?;
        let url = database.url.parse().map_err(anyhow::Error::msg)?;
        let store = Store::open(&url).await?;
        against_raw(
            &store,
            "pgbench, 32 clients, FOR UPDATE SKIP LOCKED",
            || database.claims_per_second(ROUND),
        )
        .await?;
        by_depth(&store).await?;
    } else {
        println!("PostgreSQL: skipped, SLIPWAY_TEST_POSTGRES names no server");
    }
    Ok(())
}

/// Claims per second with plenty pending, the store and its peer in turn.
async fn against_raw(
    store: &Store,
    name: &str,
    peer: impl Fn() -> anyhow::Result<f64>,
) -> anyhow::Result<()> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        fill(store, 600_000).await?;
        theirs.push(peer()?);
        fill(store, 600_000).await?;
        ours.push(claims_per_second(store).await?);
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
    println!("  {:>9.0} claims/s  {name}", median(theirs));
    println!(
        "  {:>9.2} store / raw (median of {ROUNDS} pairs)",
        median(ratios)
    );
    Ok(())
}

/// What a claim costs at three depths of the queue, as ratios to the shallowest.
async fn by_depth(store: &Store) -> anyhow::Result<()> {
    let mut first = None;
    for depth in [1_000, 100_000, 1_000_000] {
        fill(store, depth).await?;
        let mut costs = Vec::new();
        for _ in 0..=ROUNDS * 3 {
            costs.push(claim_some(store, PROBE).await?);
            put_back(store).await?;
        }
        // The first one warms the caches up.
        costs.remove(0);
        let cost = median(costs);
        let base = *first.get_or_insert(cost);
        println!(
            "  {:>9.1} us a claim at {depth:>9} pending, {:.2} of that at 1,000",
            cost,
            cost / base
        );
    }
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
        },
        lease: TimeDelta::seconds(15),
        now: DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(1),
    }
}

/// Makes the queue `depth` jobs deep, over [`PROJECTS`] projects and ten jobs a build.
async fn fill(store: &Store, depth: usize) -> anyhow::Result<()> {
    store
        .write(move |conn| Ok(conn.batch_execute(&raw::fill(depth))?))
        .await?;
    tidy(store).await
}

/// Makes everything pending again.
async fn put_back(store: &Store) -> anyhow::Result<()> {
    store
        .write(|conn| Ok(conn.batch_execute(raw::PUT_BACK)?))
        .await?;
    Ok(())
}

/// What an autovacuum would have done by the time a queue is this deep.
async fn tidy(store: &Store) -> anyhow::Result<()> {
    let analyze = |conn: &mut Conn| {
        conn.batch_execute("ANALYZE")?;
        Ok(())
    };
    Ok(store.write(analyze).await?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
