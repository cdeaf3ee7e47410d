//! The limit on what a job may write to its directory while it is prepared.

use std::path::Path;
use std::time::Duration;

use slipway_domain::FailureReason;

use crate::executor::{Failure, Job};

/// How often the size of the directory is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Runs `work`, and fails if the job's directory then or meanwhile holds more than `limit` bytes.
pub(super) async fn enforce<T>(
    limit: Option<u64>,
    job: &Job,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(limit) = limit else {
        return work.await;
    };
    let exceeded = async {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            if exceeds(&job.dir, limit).await {
                return;
            }
        }
    };
    let done = tokio::select! {
        done = work => done?,
        () = exceeded => return Err(limit_exceeded(job, limit)),
    };
    // Work that is faster than the interval was never checked.
    if exceeds(&job.dir, limit).await {
        Err(limit_exceeded(job, limit))
    } else {
        Ok(done)
    }
}

async fn exceeds(dir: &Path, limit: u64) -> bool {
    let dir = dir.to_owned();
    let size = tokio::task::spawn_blocking(move || size_of(&dir)).await;
    size.is_ok_and(|size| size > limit)
}

fn limit_exceeded(job: &Job, limit: u64) -> Failure {
    // It may be set already; that changes nothing.
    let _ = job.exceeded_limit.set(());
    Failure {
        reason: FailureReason::DiskFull,
        message: format!(
            "the sources of the job take more than the {} MiB of disk that a job may use on this \
             runner; make them smaller, or ask the runner's operator to raise --job-disk-mb",
            limit >> 20
        ),
    }
}

/// The size of the files below a directory, in bytes. Files that are deleted meanwhile count as 0.
fn size_of(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
