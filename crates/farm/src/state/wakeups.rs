//! Who waits for what: parked polls, and those who watch a job. Nothing here is a fact; losing all
//! of it costs time and nothing else.

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
    /// Counts the times a job became pending, or anything else a runner may want to look at.
    generation: AtomicU64,
    next_ticket: AtomicU64,
    /// Runners that wait, by what they can take; those of equal capabilities in order of arrival.
    parked: Mutex<HashMap<Capabilities, VecDeque<Parked>>>,
    watched: Mutex<HashMap<JobId, watch::Sender<u64>>>,
}

#[derive(Debug)]
struct Parked {
    ticket: u64,
    runner: RunnerId,
    wake: oneshot::Sender<Pending>,
}

/// A requirement for which a job became pending.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) key: QueueKeyId,
    pub(crate) requirement: Requirement,
    pub(crate) policy: ProjectPolicy,
    /// The runners that built the project lately, the latest first.
    pub(crate) warm: Vec<RunnerId>,
    /// Whether none but these are woken.
    pub(crate) only_warm: bool,
    /// Whether somebody was woken for it already who may not take it.
    pub(crate) passed_on: bool,
}

impl Wakeups {
    /// A number that grows whenever a runner may find work that it did not find before.
    pub(crate) fn generation(&self) -> u64 {
        self.inner.generation.load(Ordering::Acquire)
    }

    /// Makes every runner look again at its next poll.
    pub(crate) fn bump(&self) {
        self.inner.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Parks a runner until a job that it can take becomes pending.
    pub(crate) fn park(&self, runner: RunnerId, capabilities: &Capabilities) -> Ticket {
        let (wake, woken) = oneshot::channel();
        let ticket = self.inner.next_ticket.fetch_add(1, Ordering::Relaxed);
        let mut parked = lock(&self.inner.parked);
        let line = parked.entry(capabilities.clone()).or_default();
        line.push_back(Parked {
            ticket,
            runner,
            wake,
        });
        Ticket {
            wakeups: self.clone(),
            capabilities: capabilities.clone(),
            ticket,
            woken: Some(woken),
            call: None,
        }
    }

    /// Wakes one of the runners that can take such a job: the one that built the project latest,
    /// or else the one that has waited longest. For a job that is kept it is its runner or nobody.
    pub(crate) fn wake(&self, pending: &Pending) {
        self.bump();
        let mut parked = lock(&self.inner.parked);
        // One that has gone away meanwhile is no reason to stop.
        while let Some(next) = best_for(&mut parked, pending) {
            if next.wake.send(pending.clone()).is_ok() {
                return;
            }
        }
    }

    /// Wakes one runner wherever it is parked, as after it was changed or removed.
    pub(crate) fn wake_runner(&self, runner: RunnerId) {
        lock(&self.inner.parked).retain(|_, line| {
            line.retain(|parked| parked.runner != runner);
            !line.is_empty()
        });
    }

    /// Wakes every parked runner, as after signals were missed.
    pub(crate) fn wake_all(&self) {
        self.bump();
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

    /// Tells those who watch a job that something about it changed.
    pub(crate) fn touch(&self, job: JobId) {
        if let Some(sender) = lock(&self.inner.watched).get(&job) {
            sender.send_modify(|count| *count += 1);
        }
    }
}

/// Takes the runner that is to be woken first out of those that are parked.
fn best_for(
    parked: &mut HashMap<Capabilities, VecDeque<Parked>>,
    pending: &Pending,
) -> Option<Parked> {
    // Within a line it is the first, unless it matters which runner it is.
    let depth = match pending.warm.as_slice() {
        [] => 1,
        _ => usize::MAX,
    };
    let serving = parked
        .iter()
        .filter(|(kind, _)| kind.can_serve(&pending.requirement, pending.policy));
    let places = serving.flat_map(|(kind, line)| {
        let line = line.iter().enumerate().take(depth);
        line.filter_map(move |(place, parked)| {
            let warmth = pending.warm.iter().position(|warm| *warm == parked.runner);
            if pending.only_warm && warmth.is_none() {
                return None;
            }
            let rank = (warmth.unwrap_or(usize::MAX), parked.ticket);
            Some((rank, kind, place))
        })
    });
    let (_, kind, place) = places.min_by_key(|(rank, ..)| *rank)?;
    let kind = kind.clone();
    let line = parked.get_mut(&kind)?;
    let next = line.remove(place);
    if line.is_empty() {
        parked.remove(&kind);
    }
    next
}

/// No code that holds these locks can panic half-way, so a poisoned one is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A parked runner's place. When it is dropped after it was woken for a job but before it looked,
/// somebody else is woken in its stead, so that no wake-up is lost with a broken connection.
#[derive(Debug)]
pub(crate) struct Ticket {
    wakeups: Wakeups,
    capabilities: Capabilities,
    ticket: u64,
    woken: Option<oneshot::Receiver<Pending>>,
    /// What the runner was woken for, until it has looked.
    call: Option<Pending>,
}

impl Ticket {
    /// Returns when there may be something to take.
    pub(crate) async fn woken(&mut self) {
        if let Some(woken) = &mut self.woken {
            // An error says that it was woken for no one job: there is nothing to pass on.
            self.call = woken.await.ok();
            self.woken = None;
        }
    }

    /// The requirement that the runner was woken for and has not looked for yet.
    pub(crate) fn called_for(&self) -> Option<QueueKeyId> {
        self.call.as_ref().map(|call| call.key)
    }

    /// Wakes another runner in the stead of this one, which may not take what it was woken for.
    /// That is done once, so that a call to which nobody can answer does not go round for ever.
    pub(crate) fn pass_on(mut self) {
        match &mut self.call {
            Some(call) if !call.passed_on => call.passed_on = true,
            call => *call = None,
        }
    }

    /// Says that the runner looked: what it was woken for need not be passed on.
    pub(crate) fn looked(mut self) {
        self.call = None;
    }
}

impl Drop for Ticket {
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
            self.call = woken.try_recv().ok();
        }
        if let Some(pending) = self.call.take() {
            self.wakeups.wake(&pending);
        }
    }
}

/// A view on the changes of one job.
#[derive(Debug)]
pub(crate) struct JobWatch {
    wakeups: Wakeups,
    job: JobId,
    receiver: Option<watch::Receiver<u64>>,
}

impl JobWatch {
    /// Returns when the job changed since the watch began, or since the last call.
    pub(crate) async fn changed(&mut self) {
        if let Some(receiver) = &mut self.receiver {
            // The sender lives for as long as anybody watches, so this does not fail.
            let _ = receiver.changed().await;
        }
    }
}

impl Drop for JobWatch {
    fn drop(&mut self) {
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
