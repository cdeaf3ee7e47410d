//! Wakes those who wait for a change: runners that are parked, and those who watch a job.

use slipway_domain::{JobId, QueueKeyId};
use slipway_store::{Conn, Signal, StoreError, jobs, queue, reservations};

use crate::farm::Farm;
use crate::state::wakeups::Pending;

impl Farm {
    /// Acts on what a write changed, after its commit.
    pub(crate) async fn announce_changes(&self, changes: jobs::Changes) {
        for key in &changes.pending {
            self.inner.store.announce(Signal::Pending(*key));
        }
        for key in &changes.reserved {
            self.inner.store.announce(Signal::Reserved(*key));
        }
        self.announce_job_changes(&changes.jobs);
        self.wake_reserved_runners(&changes.reserved).await;
        self.wake_runners_for(&changes.pending).await;
    }

    /// Wakes runners, here and at other coordinators, for jobs that became pending.
    pub(crate) async fn wake_runners_for(&self, keys: &[QueueKeyId]) {
        for key in keys {
            // Where there is no choice it is all the same who built the project.
            let (key, has_choice) = (*key, self.inner.wakeups.parked() > 1);
            let look = move |conn: &mut Conn| {
                let (requirement, policy) = queue::requirement(conn, key)?;
                let warm = match has_choice {
                    true => reservations::recent_runners(conn, requirement.project)?,
                    false => Vec::new(),
                };
                Ok(Pending {
                    key,
                    requirement,
                    policy,
                    warm,
                    only_warm: false,
                    passed_on: false,
                })
            };
            match self.inner.store.read(look).await {
                Ok(pending) => self.inner.wakeups.wake(&pending),
                Err(StoreError::NotFound(_)) => {}
                Err(error) => {
                    tracing::warn!(error = %error, "Runners are woken blindly");
                    self.inner.wakeups.wake_all();
                }
            }
        }
    }

    /// Tells those who watch a job, here and at other coordinators, that it changed.
    pub(crate) fn announce_job_changes(&self, jobs: &[JobId]) {
        for job in jobs {
            self.wake_watchers(*job);
            self.inner.store.announce(Signal::Job(*job));
        }
    }

    /// Wakes those here who wait for something to happen to a job.
    pub(crate) fn wake_watchers(&self, job: JobId) {
        self.inner.wakeups.touch(job);
        self.inner.rooms.look(job);
    }
}
