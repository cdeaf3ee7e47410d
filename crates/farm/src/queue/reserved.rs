//! Jobs that are kept for a busy runner for a moment: who is woken for one, and when all others are.

use slipway_domain::{JobState, QueueKeyId};
use slipway_store::reservations::{self, Reservation};
use slipway_store::{Conn, StoreError, jobs, queue};

use crate::farm::Farm;
use crate::state::wakeups::Pending;

impl Farm {
    /// Wakes the runners, if they wait here, for which jobs that became pending are kept; and others
    /// when the time is over.
    pub(crate) async fn wake_reserved_runners(&self, keys: &[QueueKeyId]) {
        if keys.is_empty() {
            return;
        }
        let kept = self.kept_now().await;
        for key in keys {
            match kept.iter().find(|kept| kept.key == *key) {
                Some(kept) => self.keep(*kept).await,
                // Its time is over already, or somebody has it: who looks in vain waits on.
                None => self.wake_runners_for(&[*key]).await,
            }
        }
    }

    /// The same for every job that is kept, as after signals were missed.
    pub(crate) async fn wake_all_reserved_runners(&self) {
        for kept in self.kept_now().await {
            self.keep(kept).await;
        }
    }

    async fn kept_now(&self) -> Vec<Reservation> {
        let now = self.now();
        let look = move |conn: &mut Conn| reservations::current(conn, now);
        self.inner.store.read(look).await.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "The jobs that are kept could not be read");
            Vec::new()
        })
    }

    async fn keep(&self, kept: Reservation) {
        let look = move |conn: &mut Conn| queue::requirement(conn, kept.key);
        match self.inner.store.read(look).await {
            Ok((requirement, policy)) => self.inner.wakeups.wake(&Pending {
                key: kept.key,
                requirement,
                policy,
                warm: vec![kept.runner],
                only_warm: true,
                passed_on: false,
            }),
            Err(StoreError::NotFound(_)) => return,
            Err(error) => {
                tracing::warn!(error = %error, "Runners are woken blindly");
                self.inner.wakeups.wake_all();
            }
        }
        let farm = self.clone();
        self.inner.runtime.spawn(async move {
            tokio::select! {
                () = farm.let_go(kept) => {}
                () = farm.inner.stopping.cancelled() => {}
            }
        });
    }

    /// Waits until a job is for everybody, and wakes one who can take it if it is there still.
    async fn let_go(&self, kept: Reservation) {
        // The clock may not have gone as the timer did.
        while let Ok(left) = (kept.until - self.now()).to_std()
            && !left.is_zero()
        {
            tokio::time::sleep(left).await;
        }
        let look = move |conn: &mut Conn| jobs::get(conn, kept.job);
        match self.inner.store.read(look).await {
            Ok(job) if job.state != JobState::Pending => {}
            _ => self.wake_runners_for(&[kept.key]).await,
        }
    }
}
