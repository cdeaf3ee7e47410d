//! Looks at the queue on behalf of all parked polls, which wait for signals only.

use std::collections::HashMap;

use slipway_domain::RunnerId;
use slipway_domain::queue::KeyQueue;
use slipway_store::{Conn, queue, runners};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::state::wakeups::PendingKey;

/// How many polls one run wakes for a queue key at most.
const MAX_WOKEN: i64 = 100;

impl Farm {
    /// Wakes the parked polls whose runner was changed or deleted, and as many polls as there are
    /// pending jobs that may start. Signals do the same at once; this is for signals that were lost,
    /// and for jobs that a runner may only take after some time. However many polls are parked, it
    /// costs two reads.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn look_for_parked_polls(&self) -> Result<(), FarmError> {
        let parked = self.inner.wakeups.parked_capabilities();
        if parked.is_empty() {
            return Ok(());
        }
        let revisions: HashMap<RunnerId, i64> = self.read(runners::revisions).await?;
        self.inner
            .wakeups
            .wake_outdated(|runner, rev| revisions.get(&runner) != Some(&rev));
        let find = move |conn: &mut Conn| {
            let (mut queues, running) = queue::pending_queues(conn)?;
            queues.retain(|queue| {
                let running = running.get(&queue.requirement.project).copied();
                let limit = queue.policy.max_running;
                let is_below_limit = limit.is_none_or(|limit| running.unwrap_or(0) < limit);
                let can_serve = || {
                    let mut parked = parked.iter();
                    parked.any(|kind| kind.can_serve(&queue.requirement, queue.policy))
                };
                is_below_limit && can_serve()
            });
            let mut found: Vec<(KeyQueue, i64)> = Vec::with_capacity(queues.len());
            for queue in queues {
                let backlog = queue::backlog(conn, queue.key, MAX_WOKEN)?;
                found.push((queue, backlog.count));
            }
            Ok(found)
        };
        for (queue, jobs) in self.read(find).await? {
            let pending = PendingKey {
                key: queue.key,
                requirement: queue.requirement,
                policy: queue.policy,
                warm: Vec::new(),
                only_warm: false,
                passed_on: false,
            };
            for _ in 0..jobs {
                self.inner.wakeups.wake(&pending);
            }
        }
        Ok(())
    }
}
