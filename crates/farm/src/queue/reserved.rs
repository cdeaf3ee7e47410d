//! Jobs that are reserved for a busy warm runner for a moment: wakes their runner, and all others
//! when the reservation expires.

use slipway_domain::{JobState, QueueKeyId};
use slipway_store::reservations::{self, Reservation};
use slipway_store::{Conn, StoreError, jobs, queue};

use crate::farm::Farm;
use crate::state::wakeups::PendingKey;

impl Farm {
    /// Wakes the runners, if they are parked here, that the pending jobs of these queue keys are
    /// reserved for, and other runners once the reservations expire.
    pub(crate) async fn wake_reserved_runners(&self, keys: &[QueueKeyId]) {
        if keys.is_empty() {
            return;
        }
        let reserved = self.reserved_jobs().await;
        for key in keys {
            match reserved.iter().find(|reserved| reserved.key == *key) {
                Some(reserved) => self.wake_reserved_runner(*reserved).await,
                // The reservation expired, or a runner claimed the job: a runner that looks in vain
                // goes back to waiting.
                None => self.wake_runners_for(&[*key]).await,
            }
        }
    }

    /// [`Farm::wake_reserved_runners`] for every reserved job, as after missed signals.
    pub(crate) async fn wake_all_reserved_runners(&self) {
        for reserved in self.reserved_jobs().await {
            self.wake_reserved_runner(reserved).await;
        }
    }

    async fn reserved_jobs(&self) -> Vec<Reservation> {
        let now = self.now();
        let read = move |conn: &mut Conn| reservations::current(conn, now);
        self.inner.store.read(read).await.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "Could not read the reserved jobs");
            Vec::new()
        })
    }

    async fn wake_reserved_runner(&self, reserved: Reservation) {
        let read = move |conn: &mut Conn| queue::requirement(conn, reserved.key);
        match self.inner.store.read(read).await {
            Ok((requirement, policy)) => self.inner.wakeups.wake(&PendingKey {
                key: reserved.key,
                requirement,
                policy,
                warm: vec![reserved.runner],
                only_warm: true,
                passed_on: false,
            }),
            // The project was deleted meanwhile, so there is nothing to wait for.
            Err(StoreError::NotFound(_)) => return,
            Err(error) => {
                tracing::warn!(
                    error = %error,
                    "Could not read the queue key; waking all parked runners"
                );
                self.inner.wakeups.wake_all();
            }
        }
        let farm = self.clone();
        // On the farm's own runtime, which outlives the worker thread that handles this request.
        self.inner.runtime.spawn(async move {
            tokio::select! {
                () = farm.wake_others_after(reserved) => {}
                () = farm.inner.stopping.cancelled() => {}
            }
        });
    }

    /// Waits until a reservation expires, and wakes another runner if the job is still pending.
    async fn wake_others_after(&self, reserved: Reservation) {
        // The farm's clock decides, and it need not advance like the timer's.
        while let Ok(left) = (reserved.until - self.now()).to_std()
            && !left.is_zero()
        {
            tokio::time::sleep(left).await;
        }
        let read = move |conn: &mut Conn| jobs::get(conn, reserved.job);
        match self.inner.store.read(read).await {
            Ok(job) if job.state != JobState::Pending => {}
            // When the read fails the job may be pending still, so a runner is woken in any case.
            _ => self.wake_runners_for(&[reserved.key]).await,
        }
    }
}
