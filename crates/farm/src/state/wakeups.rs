//! Wake-ups of parked polls and of requests that watch a job. Nothing here is a fact: losing all of
//! it costs time and nothing else.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slipway_domain::queue::{Capabilities, ProjectPolicy, Requirement};
use slipway_domain::{JobId, QueueKeyId, RunnerId};
use tokio::sync::{oneshot, watch};

/// Parked polls and watched jobs. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wakeups {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Counts how often a job became pending, or anything else changed that runners may look for.
    generation: AtomicU64,
    next_ticket: AtomicU64,
    /// Parked polls by what their runner can take; those of equal capabilities in order of arrival.
    parked: Mutex<HashMap<Capabilities, VecDeque<Parked>>>,
    watched: Mutex<HashMap<JobId, watch::Sender<u64>>>,
}

#[derive(Debug)]
struct Parked {
    ticket: u64,
    runner: RunnerId,
    /// The revision of the runner that was read before it was parked.
    rev: i64,
    wake: oneshot::Sender<PendingKey>,
}

/// A queue key for which a job became pending.
#[derive(Clone, Debug)]
pub(crate) struct PendingKey {
    pub(crate) key: QueueKeyId,
    pub(crate) requirement: Requirement,
    pub(crate) policy: ProjectPolicy,
    /// The runners that built the project lately, the latest first.
    pub(crate) warm: Vec<RunnerId>,
    /// Whether only these runners are woken, because the job is reserved.
    pub(crate) only_warm: bool,
    /// Whether a runner that may not take the job was woken before.
    pub(crate) passed_on: bool,
}

impl Wakeups {
    /// A number that grows whenever a runner may find a job that it did not find before.
    pub(crate) fn generation(&self) -> u64 {
        self.inner.generation.load(Ordering::Acquire)
    }

    fn bump(&self) {
        self.inner.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Parks the poll of a runner until a job that it can take becomes pending.
    pub(crate) fn park(
        &self,
        runner: RunnerId,
        rev: i64,
        capabilities: &Capabilities,
    ) -> ParkedPoll {
        let (wake, woken) = oneshot::channel();
        let ticket = self.inner.next_ticket.fetch_add(1, Ordering::Relaxed);
        let mut parked = lock(&self.inner.parked);
        let line = parked.entry(capabilities.clone()).or_default();
        line.push_back(Parked {
            ticket,
            runner,
            rev,
            wake,
        });
        ParkedPoll {
            wakeups: self.clone(),
            capabilities: capabilities.clone(),
            ticket,
            woken: Some(woken),
            woken_for: None,
        }
    }

    /// Wakes one runner that can take such a job: the one that built the project last, or else the
    /// one that has waited longest. For a reserved job only its runner is woken.
    pub(crate) fn wake(&self, pending: &PendingKey) {
        self.bump();
        let mut parked = lock(&self.inner.parked);
        // A poll that has gone away meanwhile cannot be woken; the next one takes its place.
        while let Some(next) = take_best(&mut parked, pending) {
            if next.wake.send(pending.clone()).is_ok() {
                return;
            }
        }
    }

    /// Wakes all parked polls of one runner, as after it was changed or deleted.
    pub(crate) fn wake_runner(&self, runner: RunnerId) {
        self.wake_outdated(|parked, _| parked == runner);
    }

    /// Wakes all parked polls of the runners whose revision `is_outdated`.
    pub(crate) fn wake_outdated(&self, is_outdated: impl Fn(RunnerId, i64) -> bool) {
        lock(&self.inner.parked).retain(|_, line| {
            line.retain(|parked| !is_outdated(parked.runner, parked.rev));
            !line.is_empty()
        });
    }

    /// What the runners of parked polls can take; equal capabilities are listed once.
    pub(crate) fn parked_capabilities(&self) -> Vec<Capabilities> {
        lock(&self.inner.parked).keys().cloned().collect()
    }

    /// Wakes every parked poll, as after missed signals.
    pub(crate) fn wake_all(&self) {
        self.bump();
        // Dropping the senders wakes the polls, which must not happen under the lock.
        let everyone = std::mem::take(&mut *lock(&self.inner.parked));
        drop(everyone);
    }

    /// How many polls are parked.
    pub(crate) fn parked(&self) -> usize {
        lock(&self.inner.parked).values().map(VecDeque::len).sum()
    }

    /// Watches a job for changes of its state or its trace.
    pub(crate) fn watch(&self, job: JobId) -> JobWatch {
        let mut watched = lock(&self.inner.watched);
        let sender = watched.entry(job).or_insert_with(|| watch::channel(0).0);
        JobWatch {
            wakeups: self.clone(),
            job,
            receiver: Some(sender.subscribe()),
        }
    }

    /// Wakes those who watch a job.
    pub(crate) fn touch(&self, job: JobId) {
        if let Some(sender) = lock(&self.inner.watched).get(&job) {
            sender.send_modify(|count| *count += 1);
        }
    }
}

/// Takes the poll that is woken first for `pending` out of the parked ones.
fn take_best(
    parked: &mut HashMap<Capabilities, VecDeque<Parked>>,
    pending: &PendingKey,
) -> Option<Parked> {
    // Among runners of equal capabilities the first one waits longest, so the others matter only
    // when some of them may be warm.
    let depth = if pending.warm.is_empty() {
        1
    } else {
        usize::MAX
    };
    let serving = parked
        .iter()
        .filter(|(kind, _)| kind.can_serve(&pending.requirement, pending.policy));
    let candidates = serving.flat_map(|(kind, line)| {
        let line = line.iter().enumerate().take(depth);
        line.filter_map(move |(index, parked)| {
            let warmth = pending.warm.iter().position(|warm| *warm == parked.runner);
            if pending.only_warm && warmth.is_none() {
                return None;
            }
            let rank = (warmth.unwrap_or(usize::MAX), parked.ticket);
            Some((rank, kind, index))
        })
    });
    let (_, kind, index) = candidates.min_by_key(|(rank, ..)| *rank)?;
    let kind = kind.clone();
    let line = parked.get_mut(&kind)?;
    let next = line.remove(index);
    if line.is_empty() {
        parked.remove(&kind);
    }
    next
}

/// Code that holds one of these locks cannot panic between two changes, so a poisoned map is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A parked poll. When it is dropped after it was woken for a job but before its runner looked,
/// another runner is woken, so that no wake-up is lost with a broken connection.
#[derive(Debug)]
pub(crate) struct ParkedPoll {
    wakeups: Wakeups,
    capabilities: Capabilities,
    ticket: u64,
    woken: Option<oneshot::Receiver<PendingKey>>,
    /// What the poll was woken for, until its runner has looked.
    woken_for: Option<PendingKey>,
}

impl ParkedPoll {
    /// Waits until there may be a job to take.
    pub(crate) async fn woken(&mut self) {
        if let Some(woken) = &mut self.woken {
            // An error means that the poll was woken for no particular job: nothing to pass on.
            self.woken_for = woken.await.ok();
            self.woken = None;
        }
    }

    /// The queue key that the poll was woken for and its runner has not looked at yet.
    pub(crate) fn woken_for(&self) -> Option<QueueKeyId> {
        self.woken_for.as_ref().map(|pending| pending.key)
    }

    /// Wakes another runner, because this one may not take what it was woken for. This is done once
    /// per wake-up: otherwise a job that no parked runner may take would go round for ever.
    pub(crate) fn pass_on(mut self) {
        match &mut self.woken_for {
            Some(pending) if !pending.passed_on => pending.passed_on = true,
            pending => *pending = None,
        }
    }

    /// Ends the wake-up: the runner has looked, and nothing is passed on.
    pub(crate) fn looked(mut self) {
        self.woken_for = None;
    }
}

impl Drop for ParkedPoll {
    fn drop(&mut self) {
        if let Some(mut woken) = self.woken.take() {
            let mut parked = lock(&self.wakeups.inner.parked);
            if let Some(line) = parked.get_mut(&self.capabilities) {
                line.retain(|parked| parked.ticket != self.ticket);
                if line.is_empty() {
                    parked.remove(&self.capabilities);
                }
            }
            drop(parked);
            // A wake-up may have been sent just before the poll left the map.
            self.woken_for = woken.try_recv().ok();
        }
        if let Some(pending) = self.woken_for.take() {
            self.wakeups.wake(&pending);
        }
    }
}

/// A subscription to the changes of one job.
#[derive(Debug)]
pub(crate) struct JobWatch {
    wakeups: Wakeups,
    job: JobId,
    receiver: Option<watch::Receiver<u64>>,
}

impl JobWatch {
    /// Waits until the job has changed since the watch began, or since the last call.
    pub(crate) async fn changed(&mut self) {
        if let Some(receiver) = &mut self.receiver {
            // The sender lives as long as there are watches, so this does not fail.
            let _ = receiver.changed().await;
        }
    }
}

impl Drop for JobWatch {
    fn drop(&mut self) {
        // The receiver goes first, or it would count among the watches that remain.
        self.receiver = None;
        let mut watched = lock(&self.wakeups.inner.watched);
        if watched
            .get(&self.job)
            .is_some_and(|sender| sender.receiver_count() == 0)
        {
            watched.remove(&self.job);
        }
    }
}

#[cfg(test)]
mod tests;
