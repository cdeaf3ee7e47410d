//! Announces what changed: wakes parked runners and requests that watch a job, here and at other
//! coordinators.
//!
//! Everything here runs after the commit of the change. A runner that is woken earlier would look
//! too soon and go back to sleep.

use slipway_domain::{JobId, QueueKeyId};
use slipway_store::{Conn, Signal, StoreError, jobs, queue, reservations};

use crate::farm::Farm;
use crate::state::wakeups::PendingKey;

impl Farm {
    /// Announces the changes that a write returned.
    pub(crate) async fn announce_changes(&self, changes: jobs::Changes) {
        // Other coordinators first: waking runners here reads the database, which may take longer.
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

    /// Wakes one parked runner of this coordinator for each of the queue keys.
    pub(crate) async fn wake_runners_for(&self, keys: &[QueueKeyId]) {
        for key in keys {
            // With one parked runner there is no choice, and who built the project does not matter.
            let (key, has_choice) = (*key, self.inner.wakeups.parked() > 1);
            let read = move |conn: &mut Conn| {
                let (requirement, policy) = queue::requirement(conn, key)?;
                let warm = if has_choice {
                    reservations::recent_runners(conn, requirement.project)?
                } else {
                    Vec::new()
                };
                Ok(PendingKey {
                    key,
                    requirement,
                    policy,
                    warm,
                    only_warm: false,
                    passed_on: false,
                })
            };
            match self.inner.store.read(read).await {
                Ok(pending) => self.inner.wakeups.wake(&pending),
                // The project was deleted meanwhile, and its jobs with it.
                Err(StoreError::NotFound(_)) => {}
                Err(error) => {
                    tracing::warn!(
                        error = %error,
                        "Could not read the queue key; waking all parked runners"
                    );
                    self.inner.wakeups.wake_all();
                }
            }
        }
    }

    /// Wakes the requests that watch one of these jobs, here and at other coordinators.
    pub(crate) fn announce_job_changes(&self, jobs: &[JobId]) {
        for job in jobs {
            self.wake_watchers(*job);
            self.inner.store.announce(Signal::Job(*job));
        }
    }

    /// Wakes the requests of this coordinator that watch a job or follow its trace.
    pub(crate) fn wake_watchers(&self, job: JobId) {
        self.inner.wakeups.touch(job);
        self.inner.live_traces.refresh(job);
    }
}
