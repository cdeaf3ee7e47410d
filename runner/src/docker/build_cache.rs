//! Disk space: what the engine's cache may take, and what a job may write while it is prepared.

use std::path::Path;
use std::time::Duration;

use slipway_domain::FailureReason;
use slipway_image_builder::Builder;

use crate::executor::{Failure, Job};

/// The pause between two looks at what a job has written.
const LOOK: Duration = Duration::from_secs(2);

/// How much build cache is kept in the engine.
#[derive(Clone, Copy, Debug)]
pub struct CacheLimits {
    /// Its size, in bytes.
    pub bytes: u64,
    /// How long what nobody uses is kept; without it, for ever.
    pub age: Option<Duration>,
}

/// Prunes the cache by age and size.
pub(super) async fn prune(builder: &Builder, cache: &CacheLimits) {
    let aged = async {
        match cache.age {
            Some(age) => builder.prune_unused_for(age).await,
            None => Ok(0),
        }
    };
    for pruned in [aged.await, builder.prune(cache.bytes).await] {
        match pruned {
            Ok(0) => {}
            Ok(freed) => tracing::info!(size_bytes = freed, "Freed build cache"),
            // Another job may be pruning at this moment; the next one tries again.
            Err(error) => tracing::debug!(%error, "The build cache was not pruned"),
        }
    }
}

/// Prunes more and more of the cache until there is enough room or nothing left to prune but what
/// builds use.
pub(super) async fn make_room(
    builder: &Builder,
    cache: &CacheLimits,
    is_enough: &(dyn Fn() -> bool + Send + Sync),
) {
    for kept in [cache.bytes / 2, cache.bytes / 8, 0] {
        prune(
            builder,
            &CacheLimits {
                bytes: kept,
                ..*cache
            },
        )
        .await;
        if is_enough() {
            return;
        }
    }
}

/// Does `work`, unless the directory of the job comes to hold more than `limit` bytes.
pub(super) async fn within<T>(
    limit: Option<u64>,
    job: &Job,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(limit) = limit else {
        return work.await;
    };
    let over = async {
        loop {
            tokio::time::sleep(LOOK).await;
            if is_over(&job.dir, limit).await {
                return;
            }
        }
    };
    let done = tokio::select! {
        done = work => done?,
        () = over => return Err(too_much(limit)),
    };
    match is_over(&job.dir, limit).await {
        true => Err(too_much(limit)),
        false => Ok(done),
    }
}

async fn is_over(dir: &Path, limit: u64) -> bool {
    let dir = dir.to_owned();
    let held = tokio::task::spawn_blocking(move || held_by(&dir)).await;
    held.is_ok_and(|held| held > limit)
}

fn too_much(limit: u64) -> Failure {
    Failure {
        reason: FailureReason::DiskFull,
        message: format!(
            "what the job works on takes more than the {} MiB of disk that a job may use on this \
             runner; leave some of it out, or ask the runner's operator to raise --job-disk-mb",
            limit >> 20
        ),
    }
}

/// How many bytes the files below a directory take. What goes meanwhile counts nothing.
fn held_by(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => held_by(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}
