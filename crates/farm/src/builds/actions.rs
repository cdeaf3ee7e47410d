//! What people do to a whole build: cancel it, retry it.

use slipway_domain::{Event, Role};
use slipway_store::builds::{self, Build};
use slipway_store::{Conn, jobs, retries};

use crate::access::authorize::{Actor, ProjectAccess};
use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::ending::end_together;

impl Farm {
    /// Cancels every job of a build that has not ended.
    ///
    /// # Errors
    /// `Conflict` when the build has ended.
    pub async fn cancel_build(
        &self,
        access: &ProjectAccess,
        build: &Build,
    ) -> Result<Build, FarmError> {
        access.require_builds(Role::Developer)?;
        let (id, warm_wait, now) = (build.id, self.warm_wait(), self.now());
        let write = move |conn: &mut Conn| {
            builds::mark_canceled(conn, id)?;
            let mut open = jobs::latest_of_builds(conn, &[id])?;
            open.retain(|job| !job.state.is_done());
            let changes = end_together(conn, &open, Event::Cancel, None, warm_wait, now)?;
            Ok((builds::get(conn, id)?, changes))
        };
        let (build, changes) = self.write(write).await?;
        self.announce_changes(changes).await;
        Ok(build)
    }

    /// Retries all jobs of a build that did not succeed.
    ///
    /// # Errors
    /// `Conflict` when the build has not ended, or every job succeeded; `SourcesGone`.
    pub async fn retry_build(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        build: &Build,
    ) -> Result<Build, FarmError> {
        access.require_builds(Role::Developer)?;
        let (id, by, warm_wait, now) = (build.id, actor.user, self.warm_wait(), self.now());
        let write = move |conn: &mut Conn| {
            let changes = retries::retry_build(conn, id, by, warm_wait, now)?;
            Ok((builds::get(conn, id)?, changes))
        };
        let (build, changes) = self.write(write).await?;
        self.announce_changes(changes).await;
        Ok(build)
    }
}
