//! Periodic duties. Each one looks at the database, does what is due, and may be run again at any
//! time, here or at another coordinator.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::{BuildId, Event, InvalidTransition, JobId, JobState};
use slipway_store::builds::{self, BuildError};
use slipway_store::jobs::{self, Changes};
use slipway_store::{Conn, Signal, StoreError, artifacts, uploads};
use tokio::sync::broadcast::error::RecvError;

use crate::builds::create::uploads::upload_folder;
use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::ending::{end_together, finish};

/// How many rows one run of a duty handles at most, so that it never holds up others for long.
const MAX_ROWS: i64 = 200;

impl Farm {
    /// Ends the jobs whose lease has expired, and creates their next attempts. Returns how many
    /// jobs were lost. A job that cannot be ended does not keep the others from ending.
    ///
    /// While the database was unreachable no runner could report, and after a jump of the clock the
    /// deadlines are wrong, so all leases get a grace period first.
    pub async fn expire_leases(&self) -> Result<usize, FarmError> {
        // Read before jumps are looked for, so that it is never the time after an unnoticed jump.
        let now = self.now();
        if let Some(by) = self.inner.clock_jumps.pending(&self.inner.clock) {
            self.adjust_to_jump(by).await?;
            self.inner.clock_jumps.settle(by);
            return Ok(0);
        }
        // The flag is cleared only after the grace was granted, so that a second failure grants it
        // again.
        if self.inner.database_was_away.load(Ordering::Acquire) {
            self.grant_grace().await?;
            self.inner.database_was_away.store(false, Ordering::Release);
        }
        let expired = self.expire_due_leases(now).await;
        if let Err(FarmError::Unavailable(_) | FarmError::DiskFull) = &expired {
            self.inner.database_was_away.store(true, Ordering::Release);
        }
        expired
    }

    /// The jobs whose lease has expired. After a jump of the clock, with the lease that was seen to
    /// expire.
    async fn due_leases(
        &self,
        now: DateTime<Utc>,
    ) -> Result<Vec<(JobId, Option<DateTime<Utc>>)>, FarmError> {
        if self.inner.lease_watch.is_on() {
            let running = self.read(jobs::running_leases).await?;
            let passed = self.inner.clock.monotonic();
            let due = self.inner.lease_watch.expired(&running, passed).into_iter();
            return Ok(due
                .map(|lease| (lease.job, Some(lease.expires_at)))
                .collect());
        }
        let lapsed = move |conn: &mut Conn| jobs::lapsed(conn, now, MAX_ROWS);
        let due = self.read(lapsed).await?.into_iter();
        Ok(due.map(|id| (id, None)).collect())
    }

    async fn expire_due_leases(&self, now: DateTime<Utc>) -> Result<usize, FarmError> {
        let mut lost = 0;
        for (id, seen) in self.due_leases(now).await? {
            // Each job ends in its own transaction, so that none holds up other writers for long.
            let policy = self.retry_policy();
            let message = "the lease expired: the runner sent no report in time";
            let write = move |conn: &mut Conn| {
                // The time of day in the lease may be that of another clock.
                let checked_at = seen.unwrap_or(now);
                if let Some(seen) = seen {
                    let from = jobs::get(conn, id)?.state;
                    if !matches!(from, JobState::Running(lease, _) if lease.expires_at == seen) {
                        let event = Event::CheckLease { now: checked_at };
                        return Err(InvalidTransition { from, event }.into());
                    }
                }
                finish(
                    conn,
                    id,
                    Event::CheckLease { now: checked_at },
                    Some(message),
                    policy,
                    now,
                )
            };
            match self.write(write).await {
                Ok((JobState::Done(_), changes)) => {
                    tracing::warn!(
                        job.id = %id,
                        "Job {id} is lost: its runner sent no report before the lease expired"
                    );
                    lost += 1;
                    self.announce_changes(changes).await;
                }
                // The job ended, or its lease was renewed, between the read and the write.
                Ok(_) | Err(FarmError::Refused(_)) => {}
                Err(error) => skip(&format!("end job {id}, whose lease expired"), error)?,
            }
        }
        Ok(lost)
    }

    /// Ends the builds that exceeded their time limit, with all their jobs. Returns how many.
    pub async fn expire_builds(&self) -> Result<usize, FarmError> {
        let (warm_wait, now) = (self.warm_wait(), self.now());
        // The deadlines are moved first.
        if self.inner.clock_jumps.pending(&self.inner.clock).is_some() {
            return Ok(0);
        }
        let read = move |conn: &mut Conn| builds::overdue(conn, now, MAX_ROWS);
        let mut expired = 0;
        for id in self.read(read).await? {
            let write = move |conn: &mut Conn| expire_build(conn, id, warm_wait, now);
            match self.write(write).await {
                Ok(Some(changes)) => {
                    expired += 1;
                    self.announce_changes(changes).await;
                }
                Ok(None) => {}
                Err(error) => skip(&format!("end build {id:?}, which timed out"), error)?,
            }
        }
        Ok(expired)
    }

    /// Deletes expired artifacts. Returns how many.
    pub async fn expire_artifacts(&self) -> Result<usize, FarmError> {
        let now = self.expiry_now();
        let read = move |conn: &mut Conn| artifacts::expired(conn, now, MAX_ROWS);
        let mut count = 0;
        for id in self.read(read).await? {
            // Rows go first and blobs after the commit: a crash in between wastes space, but no row
            // points to a missing blob.
            match self.write(move |conn| artifacts::delete(conn, id)).await {
                Ok(unused) => {
                    count += 1;
                    self.delete_blobs(unused).await;
                }
                // Another coordinator was faster.
                Err(FarmError::NotFound(_)) => {}
                Err(error) => skip(&format!("delete artifact {id}"), error)?,
            }
        }
        Ok(count)
    }

    /// Deletes uploads that expired before a build used them, and uploads that no build has used
    /// for `upload_keep`. Returns how many.
    pub async fn expire_uploads(&self) -> Result<usize, FarmError> {
        let now = self.expiry_now();
        let keep = self.inner.settings.upload_keep;
        let keep = keep.and_then(|keep| TimeDelta::from_std(keep).ok());
        let used_before = keep.and_then(|keep| now.checked_sub_signed(keep));
        let write = move |conn: &mut Conn| {
            let mut deleted = uploads::delete_expired(conn, now, MAX_ROWS)?;
            if let Some(before) = used_before {
                deleted.extend(uploads::delete_unused(conn, before, MAX_ROWS)?);
            }
            Ok(deleted)
        };
        let deleted = self.write(write).await?;
        let count = deleted.len();
        for upload in deleted {
            self.delete_blobs(upload.blob_key).await;
            // What is left of uploads that broke off.
            let folder = upload_folder(upload.id);
            if let Err(error) = self.inner.blobs.delete_below(&folder).await {
                tracing::warn!(%error, folder, "Could not delete what is left of an upload");
            }
        }
        Ok(count)
    }

    /// Moves deadlines after the clock jumped.
    async fn adjust_to_jump(&self, by: TimeDelta) -> Result<(), FarmError> {
        self.inner.lease_watch.begin(self.grace_end());
        self.grant_grace().await?;
        // After a jump back, a build may only take longer than it should, which loses nothing.
        if by > TimeDelta::zero() {
            self.write(move |conn| builds::postpone_deadlines(conn, by))
                .await?;
        }
        Ok(())
    }

    /// Extends the lease of every running job after the coordinator or its database was away, or its
    /// clock jumped.
    pub(crate) async fn grant_grace(&self) -> Result<(), FarmError> {
        if self.inner.lease_watch.is_on() {
            self.inner.lease_watch.begin(self.grace_end());
        }
        let grace = TimeDelta::from_std(self.inner.settings.grace).unwrap_or(TimeDelta::MAX);
        let now = self.now();
        let running = self
            .write(move |conn| jobs::grant_grace(conn, now, grace))
            .await?;
        if running > 0 {
            tracing::info!(running, "Extended the leases of {running} running jobs");
        }
        Ok(())
    }

    /// The monotonic time at which a grace period ends that begins now.
    fn grace_end(&self) -> Duration {
        self.inner.clock.monotonic() + self.inner.settings.grace
    }

    /// Acts on the signals of other coordinators until the farm stops.
    pub async fn relay_signals(&self) {
        let mut signals = self.inner.store.signals();
        // Jobs that were reserved before this coordinator started have no timer here yet.
        self.wake_all_reserved_runners().await;
        loop {
            let signal = tokio::select! {
                signal = signals.recv() => signal,
                () = self.inner.stopping.cancelled() => return,
            };
            match signal {
                Ok(Signal::Pending(key)) => self.wake_runners_for(&[key]).await,
                Ok(Signal::Reserved(key)) => self.wake_reserved_runners(&[key]).await,
                Ok(Signal::Job(job)) => self.wake_watchers(job),
                // Signals were missed, so anything may have changed.
                Ok(Signal::Resync) | Err(RecvError::Lagged(_)) => {
                    self.inner.wakeups.wake_all();
                    self.inner.live_traces.refresh_all();
                    self.wake_all_reserved_runners().await;
                }
                Err(RecvError::Closed) => return,
            }
        }
    }
}

/// Logs why one row could not be handled, so that the others are handled nevertheless.
///
/// # Errors
/// `Unavailable` and `DiskFull`: while the database is away, every other row would fail as well.
pub(crate) fn skip(what: &str, error: FarmError) -> Result<(), FarmError> {
    if let FarmError::Unavailable(_) | FarmError::DiskFull = &error {
        return Err(error);
    }
    error.log();
    tracing::warn!(%error, "Could not {what}; trying again with the next run");
    Ok(())
}

/// Identifies the reason, for builds and jobs, that a build exceeded its time limit.
const TIMEOUT_CODE: &str = "pipeline_timeout";

/// Ends a build that exceeded its time limit; `None` when it has ended already. No job is retried or
/// skipped, because the time limit is the same for all of them.
fn expire_build(
    conn: &mut Conn,
    id: BuildId,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Option<Changes>, StoreError> {
    let allowed = builds::get(conn, id)?.submission.timeout_s.unwrap_or(0);
    let error = BuildError {
        code: TIMEOUT_CODE.to_owned(),
        message: format!("the build exceeded its time limit of {allowed} s"),
    };
    // Another coordinator may have ended the build between the read and this write.
    if !builds::fail(conn, id, &error)? {
        return Ok(None);
    }
    let mut open = jobs::latest_of_builds(conn, &[id])?;
    open.retain(|job| !job.state.is_done());
    let message = Some(error.message.as_str());
    let changes = end_together(conn, &open, Event::Expire, message, warm_wait, now)?;
    for job in &open {
        jobs::record_exit(conn, job.id, None, Some(TIMEOUT_CODE))?;
    }
    Ok(Some(changes))
}
