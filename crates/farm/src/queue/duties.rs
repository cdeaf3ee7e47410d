//! What the farm does unasked. Each duty looks at the database, does what is due, and may be run
//! again at once, here or at another coordinator.

use std::sync::atomic::Ordering;

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::{BuildId, Event, JobState};
use slipway_store::builds::{self, BuildError};
use slipway_store::jobs::{self, Changes};
use slipway_store::{Conn, Signal, StoreError, artifacts, uploads};
use tokio::sync::broadcast::error::RecvError;

use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::ending::{end_together, finish};

/// How many rows one pass of a duty looks at.
const PASS: i64 = 200;

impl Farm {
    /// Ends the jobs whose runner fell silent, and makes their next attempts. Returns how many.
    ///
    /// After the database was away nobody could be heard of, so everybody gets time first.
    pub async fn expire_leases(&self) -> Result<usize, FarmError> {
        if self.inner.database_was_away.load(Ordering::Acquire) {
            self.grant_grace().await?;
            self.inner.database_was_away.store(false, Ordering::Release);
        }
        let expired = self.expire_lapsed().await;
        if let Err(FarmError::Unavailable(_)) = &expired {
            self.inner.database_was_away.store(true, Ordering::Release);
        }
        expired
    }

    async fn expire_lapsed(&self) -> Result<usize, FarmError> {
        let now = self.now();
        let lapsed = self.read(move |conn| jobs::lapsed(conn, now, PASS)).await?;
        let mut lost = 0;
        for id in lapsed {
            let policy = self.retry_policy();
            let message = "its runner was not heard of any more";
            let write = move |conn: &mut Conn| {
                finish(
                    conn,
                    id,
                    Event::CheckLease { now },
                    Some(message),
                    policy,
                    now,
                )
            };
            match self.write(write).await {
                Ok((JobState::Done(_), changes)) => {
                    tracing::warn!(job.id = %id, "Job {id} is lost: its runner fell silent");
                    lost += 1;
                    self.announce_changes(changes).await;
                }
                // It was reported, or its lease renewed, between the look and the write.
                Ok(_) | Err(FarmError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(lost)
    }

    /// Ends the builds that took longer than they may, with all their jobs. Returns how many.
    pub async fn expire_builds(&self) -> Result<usize, FarmError> {
        let (warm_wait, now) = (self.warm_wait(), self.now());
        let look = move |conn: &mut Conn| builds::overdue(conn, now, PASS);
        let mut expired = 0;
        for id in self.read(look).await? {
            let write = move |conn: &mut Conn| expire_build(conn, id, warm_wait, now);
            if let Some(changes) = self.write(write).await? {
                expired += 1;
                self.announce_changes(changes).await;
            }
        }
        Ok(expired)
    }

    /// Removes the artifacts whose time is over. Returns how many.
    pub async fn expire_artifacts(&self) -> Result<usize, FarmError> {
        let now = self.now();
        let write = move |conn: &mut Conn| {
            let mut unused = Vec::new();
            let expired = artifacts::expired(conn, now, PASS)?;
            for id in &expired {
                unused.extend(artifacts::delete(conn, *id)?);
            }
            Ok((expired.len(), unused))
        };
        let (count, unused) = self.write(write).await?;
        self.drop_blobs(unused).await;
        Ok(count)
    }

    /// Removes the places of uploaded files that expired before a build used them, and files that
    /// no build has used for long. Returns how many.
    pub async fn expire_uploads(&self) -> Result<usize, FarmError> {
        let now = self.now();
        let keep = self.inner.settings.upload_keep;
        let keep = keep.and_then(|keep| TimeDelta::from_std(keep).ok());
        let used_before = keep.and_then(|keep| now.checked_sub_signed(keep));
        let write = move |conn: &mut Conn| {
            let (mut count, mut unused) = uploads::delete_expired(conn, now, PASS)?;
            if let Some(before) = used_before {
                let (old, blobs) = uploads::delete_unused(conn, before, PASS)?;
                count += old;
                unused.extend(blobs);
            }
            Ok((count, unused))
        };
        let (count, unused) = self.write(write).await?;
        self.drop_blobs(unused).await;
        Ok(count)
    }

    /// Gives every running job time to be heard of after the coordinator was away.
    pub(crate) async fn grant_grace(&self) -> Result<(), FarmError> {
        let grace = TimeDelta::from_std(self.inner.settings.grace).unwrap_or(TimeDelta::MAX);
        let until = self.now() + grace;
        let running = self
            .write(move |conn| jobs::grant_grace(conn, until))
            .await?;
        if running > 0 {
            tracing::info!(running, "{running} running jobs have time to be heard of");
        }
        Ok(())
    }

    /// Passes on what other coordinators announce, until the farm stops.
    pub async fn relay_signals(&self) {
        let mut signals = self.inner.store.signals();
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
                Ok(Signal::Resync) | Err(RecvError::Lagged(_)) => {
                    self.inner.wakeups.wake_all();
                    self.inner.rooms.look_at_all();
                    self.wake_all_reserved_runners().await;
                }
                Err(RecvError::Closed) => return,
            }
        }
    }
}

/// The word of what ends a build that took too long, and its jobs.
const TOO_LONG: &str = "pipeline_timeout";

/// Ends a build that took longer than it may; `None` when it is over already. None of its jobs is
/// tried again, and none skipped: for all of them the time was too short.
fn expire_build(
    conn: &mut Conn,
    id: BuildId,
    warm_wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Option<Changes>, StoreError> {
    let allowed = builds::get(conn, id)?.submission.timeout_s.unwrap_or(0);
    let error = BuildError {
        code: TOO_LONG.to_owned(),
        message: format!("the build took longer than the {allowed} s that it may"),
    };
    if !builds::fail(conn, id, &error)? {
        return Ok(None);
    }
    let mut open = jobs::latest_of_builds(conn, &[id])?;
    open.retain(|job| !job.state.is_done());
    let message = Some(error.message.as_str());
    let changes = end_together(conn, &open, Event::Expire, message, warm_wait, now)?;
    for job in &open {
        jobs::record_exit(conn, job.id, None, Some(TOO_LONG))?;
    }
    Ok(Some(changes))
}
