//! What people do to a job: cancel, retry, play and erase it.

use slipway_domain::{Event, Role};
use slipway_store::jobs::{self, Job};
use slipway_store::retries::{self, Cause};
use slipway_store::{Conn, StoreError, artifact_uploads, artifacts, settle, traces};

use crate::access::authorize::{Actor, ProjectAccess};
use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::ending::finish;

impl Farm {
    /// Cancels a job.
    ///
    /// # Errors
    /// `Refused` when the job has ended.
    pub async fn cancel_job(&self, access: &ProjectAccess, job: &Job) -> Result<Job, FarmError> {
        access.require_builds(Role::Developer)?;
        let (id, now, policy) = (job.id, self.now(), self.retry_policy());
        let write = move |conn: &mut Conn| {
            let (_, changes) = finish(conn, id, Event::Cancel, None, policy, now)?;
            Ok((jobs::get(conn, id)?, changes))
        };
        let (job, changes) = self.write(write).await?;
        self.announce_changes(changes).await;
        Ok(job)
    }

    /// Retries a job, and the jobs that were skipped because of it.
    ///
    /// # Errors
    /// `Conflict` when the job has not ended or was retried before; `SourcesGone`.
    pub async fn retry_job(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        job: &Job,
    ) -> Result<Job, FarmError> {
        access.require_builds(Role::Developer)?;
        let (id, cause) = (job.id, Cause::Person(actor.user));
        let (warm_wait, now) = (self.warm_wait(), self.now());
        let (job, changes) = self
            .write(move |conn| retries::retry_job(conn, id, cause, warm_wait, now))
            .await?;
        self.announce_changes(changes).await;
        Ok(job)
    }

    /// Plays a manual job, which puts it into the queue.
    ///
    /// # Errors
    /// `Refused` when the job is not manual.
    pub async fn play_job(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        job: &Job,
    ) -> Result<Job, FarmError> {
        access.require_builds(Role::Developer)?;
        let (id, by, warm_wait, now) = (job.id, actor.user, self.warm_wait(), self.now());
        let write = move |conn: &mut Conn| {
            let changes = settle::play_job(conn, id, by, warm_wait, now)?;
            Ok((jobs::get(conn, id)?, changes))
        };
        let (job, changes) = self.write(write).await?;
        self.announce_changes(changes).await;
        Ok(job)
    }

    /// Erases a job that has ended: deletes its trace and artifacts, and records who did.
    ///
    /// # Errors
    /// `Conflict` when the job has not ended, was erased before, or has neither trace nor artifacts.
    pub async fn erase_job(
        &self,
        actor: &Actor,
        access: &ProjectAccess,
        job: &Job,
    ) -> Result<Job, FarmError> {
        access.require_builds(Role::Developer)?;
        let (id, by, now) = (job.id, actor.user, self.now());
        let write = move |conn: &mut Conn| {
            // Marked first: a runner that appends at the same time then fails in its own
            // transaction.
            jobs::mark_erased(conn, id, by, now)?;
            let made = artifacts::of_job(conn, id)?;
            if made.is_empty() && traces::received(conn, id)?.length == 0 {
                return Err(StoreError::Conflict(
                    "the job has neither a trace nor artifacts",
                ));
            }
            let mut unused = traces::clear(conn, id)?;
            unused.extend(artifact_uploads::delete_of_job(conn, id)?);
            for artifact in made {
                unused.extend(artifacts::delete(conn, artifact.id)?);
            }
            Ok((jobs::get(conn, id)?, unused))
        };
        let (job, unused) = self.write(write).await?;
        // Rows first: a blob without a row costs space, a row without its blob is a broken answer.
        self.delete_blobs(unused).await;
        self.announce_job_changes(&[id]);
        Ok(job)
    }
}
