//! Deletes a project with everything in it.

use chrono::{DateTime, Utc};
use slipway_domain::{BuildId, Event, Role};
use slipway_store::jobs::{self, Changes};
use slipway_store::{Conn, StoreError, removal};

use crate::access::authorize::ProjectAccess;
use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::ending::{RetryPolicy, finish};

/// How many builds are deleted in one transaction, so that others are not held up.
const BATCH: i64 = 20;

impl Farm {
    /// Deletes a project. Running jobs are canceled, and are then unknown to their runners. Requires
    /// an owner.
    ///
    /// Builds are deleted in batches, and the project after the last of them. An interrupted deletion
    /// can be repeated; until then the project exists with its builds disabled.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn delete_project(&self, access: &ProjectAccess) -> Result<(), FarmError> {
        access.require(Role::Owner)?;
        let id = access.id();
        // Builds are disabled first, or new ones could appear faster than old ones are deleted.
        let close = move |conn: &mut Conn| removal::close(conn, id);
        self.write(close).await?;
        let served_by = loop {
            self.delete_builds(access).await?;
            // `None` when a build was created just before builds were disabled.
            let remove = move |conn: &mut Conn| removal::delete_project(conn, id);
            if let Some(runners) = self.write(remove).await? {
                break runners;
            }
        };
        // Runners that served only this project must look at their new state.
        for runner in served_by {
            self.inner.wakeups.wake_runner(runner);
        }
        tracing::info!(project.id = %id, "Deleted project {}", access.project().path());
        Ok(())
    }

    async fn delete_builds(&self, access: &ProjectAccess) -> Result<(), FarmError> {
        let (id, policy) = (access.id(), self.retry_policy());
        loop {
            let now = self.now();
            let some = move |conn: &mut Conn| {
                let builds = removal::lock_oldest_builds(conn, id, BATCH)?;
                let (mut changes, mut unused) = (Changes::default(), Vec::new());
                for build in &builds {
                    changes.extend(cancel_jobs(conn, *build, policy, now)?);
                    unused.extend(removal::delete_build(conn, *build)?);
                }
                Ok((builds.len(), changes, unused))
            };
            let (count, changes, unused) = self.write(some).await?;
            self.delete_blobs(unused).await;
            self.announce_changes(changes).await;
            if count == 0 {
                return Ok(());
            }
        }
    }
}

/// Cancels every job of a build that has not ended.
fn cancel_jobs(
    conn: &mut Conn,
    build: BuildId,
    policy: RetryPolicy,
    now: DateTime<Utc>,
) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    for job in jobs::of_build(conn, build)? {
        // Canceling an earlier job may have ended this one as well.
        if !jobs::get(conn, job.id)?.state.is_done() {
            changes.extend(finish(conn, job.id, Event::Cancel, None, policy, now)?.1);
        }
    }
    Ok(changes)
}
