//! What clients record.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The state of a job, as far as the check distinguishes states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits, or is pending.
    Pending,
    Running,
    Succeeded,
    Failed,
    Canceled,
    Skipped,
}

impl State {
    /// Whether a job stays in this state forever.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    /// Reads the state in the native API; `None` for an unknown name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "waiting" | "pending" | "manual" => Self::Pending,
            "running" => Self::Running,
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "canceled" => Self::Canceled,
            "skipped" => Self::Skipped,
            _ => return None,
        })
    }
}

/// What a client learned of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The farm acknowledged the request.
    Accepted,
    /// The farm refused it, for example because the job has ended.
    Refused,
    /// No answer arrived, or only that of a repeated request: the first one may have been carried out.
    Unknown,
}

/// What a client did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A runner was given the job. Only answers that arrived are recorded.
    Claim,
    /// The holder reported that it works on the job, or appended to the trace.
    Heartbeat(Answer),
    /// The holder reported a result, which is terminal.
    Finish(State, Answer),
    /// Somebody canceled the job.
    Cancel(Answer),
    /// Somebody read the job.
    Read {
        state: State,
        /// The job whose next attempt this is.
        retries: Option<i64>,
    },
    /// Somebody asked for the job and the farm answered that it does not exist.
    Missing,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The client; each runner has its own number.
    pub client: u32,
    pub job: i64,
    /// When the request was sent, in microseconds since the start of the recording.
    pub from: u64,
    /// When its answer arrived, or the client gave up.
    pub to: u64,
    pub action: Action,
}

impl Event {
    /// Whether this event ended before the other began.
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        self.to < other.from
    }
}

/// Collects events of concurrent clients.
#[derive(Debug)]
pub struct Recorder {
    start: Instant,
    events: Mutex<Vec<Event>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            events: Mutex::default(),
        }
    }
}

impl Recorder {
    /// The time now, for `from` of an event.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Records a request that was sent at `from` and ends now.
    pub fn record(&self, client: u32, job: i64, from: u64, action: Action) {
        let event = Event {
            client,
            job,
            from,
            to: self.now(),
            action,
        };
        self.lock().push(event);
    }

    /// All events so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Event>> {
        // A panic of another client leaves the list as it was.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
