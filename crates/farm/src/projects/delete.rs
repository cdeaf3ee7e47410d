//! A project goes, with everything that it has.

use chrono::{DateTime, Utc};
use slipway_domain::{BuildId, Event, Role};
use slipway_store::jobs::{self, Changes};
use slipway_store::{Conn, StoreError, removal};

use crate::access::authorize::ProjectAccess;
use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::ending::{RetryPolicy, finish};

/// How many builds go in one transaction.
const AT_ONCE: i64 = 20;

impl Farm {
    /// Removes a project. Jobs that run are called off and then unknown to their runners. Owners
    /// do.
    ///
    /// Builds go a few at a time, so that others are not held up, and the project after the last of
    /// them. Whoever is interrupted calls this again; until then the project is there, its builds
    /// switched off.
    ///
    /// # Errors
    /// `Forbidden` to lower roles.
    pub async fn delete_project(&self, access: &ProjectAccess) -> Result<(), FarmError> {
        access.require(Role::Owner)?;
        let id = access.id();
        let close = move |conn: &mut Conn| removal::close(conn, id);
        self.write(close).await?;
        let served_by = loop {
            self.delete_builds(access).await?;
            // None when somebody who was quicker than the switch made another build.
            let remove = move |conn: &mut Conn| removal::delete_project(conn, id);
            if let Some(runners) = self.write(remove).await? {
                break runners;
            }
        };
        for runner in served_by {
            self.inner.wakeups.wake_runner(runner);
        }
        tracing::info!(project.id = %id, "Project {} is deleted", access.project().path());
        Ok(())
    }

    async fn delete_builds(&self, access: &ProjectAccess) -> Result<(), FarmError> {
        let (id, policy) = (access.id(), self.retry_policy());
        loop {
            let now = self.now();
            let some = move |conn: &mut Conn| {
                let builds = removal::lock_oldest_builds(conn, id, AT_ONCE)?;
                let (mut changes, mut unused) = (Changes::default(), Vec::new());
                for build in &builds {
                    changes.extend(call_off(conn, *build, policy, now)?);
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

/// Calls off every job of a build that is not over.
fn call_off(
    conn: &mut Conn,
    build: BuildId,
    policy: RetryPolicy,
    now: DateTime<Utc>,
) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    for job in jobs::of_build(conn, build)? {
        // An earlier one of the loop may have taken this one with it.
        if !jobs::get(conn, job.id)?.state.is_done() {
            changes.extend(finish(conn, job.id, Event::Cancel, None, policy, now)?.1);
        }
    }
    Ok(changes)
}
