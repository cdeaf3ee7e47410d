//! Bytes in the storage to which no row refers: a coordinator ended, or a request broke off, after they
//! were stored and before their row was.

use std::collections::HashSet;
use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};
use slipway_blobs::Listed;
use slipway_domain::JobId;
use slipway_store::Conn;
use slipway_store::jobs::{self, EndedJob};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::artifacts::artifact_folder;
use crate::traces::chunks::trace_folder;

/// How old they are at least. No request takes that long from its blob to its row, and a job takes no
/// more bytes when it has ended.
const AGE: TimeDelta = TimeDelta::hours(2);
/// The jobs that ended in this time before the start of the coordinator are looked at once more.
const BEFORE_START: TimeDelta = TimeDelta::days(2);
/// How many jobs are read at a time.
const BATCH: i64 = 200;

impl Farm {
    /// Deletes the stored bytes of jobs that have ended to which no row refers. Each job is looked at
    /// once, two hours after its end. Returns how many blobs and unfinished files were deleted.
    ///
    /// Bytes that are older than their job stay: then another database was used with this storage.
    pub async fn delete_orphans(&self) -> Result<usize, FarmError> {
        let until = self.expiry_now() - AGE;
        let mut count = 0;
        loop {
            let start = (until - BEFORE_START, JobId(0));
            let after = self.inner.orphans_deleted.get().unwrap_or(start);
            let read = move |conn: &mut Conn| jobs::ended_between(conn, after, until, BATCH);
            let ended = self.read(read).await?;
            for job in &ended {
                count += self.delete_orphans_of(*job, until).await?;
                self.inner.orphans_deleted.set((job.finished_at, job.id));
            }
            if ended.is_empty() {
                return Ok(count);
            }
        }
    }

    async fn delete_orphans_of(
        &self,
        job: EndedJob,
        until: DateTime<Utc>,
    ) -> Result<usize, FarmError> {
        let written = SystemTime::from(job.created_at)..SystemTime::from(until);
        let mut found = Vec::new();
        for folder in [trace_folder(job.id), artifact_folder(job.id)] {
            let listed = self.inner.blobs.list(&folder).await?;
            let old = |listed: &Listed| written.contains(&listed.modified);
            found.extend(listed.into_iter().filter(old));
        }
        if found.is_empty() {
            return Ok(0);
        }
        // Read after the listing, so that no row is missed whose bytes were listed.
        let read = move |conn: &mut Conn| jobs::blobs_of(conn, job.id);
        let used: HashSet<String> = self.read(read).await?;
        found.retain(|listed| !used.contains(&listed.key));
        for listed in &found {
            self.inner.blobs.delete_listed(listed).await?;
        }
        if !found.is_empty() {
            tracing::info!(
                job.id = %job.id, blobs = found.len(),
                "Deleted {} stored blobs of job {} to which nothing refers", found.len(), job.id
            );
        }
        Ok(found.len())
    }
}
