//! Points at which a test interrupts the farm: between stored bytes and their rows, and between a commit
//! and what follows it.
//!
//! Every write of a row and every write of a blob passes such a point, so a test need not name them: it
//! interrupts the first, the second, the third … point of a request, until the request passes no more.
//! Nothing that an operator configures or a client sends reaches them.

use std::fmt;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use slipway_store::StoreError;

/// A place between two effects of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailPoint {
    /// A blob is about to be written.
    BlobBegins,
    /// A blob is stored, and no row refers to it yet.
    BlobStored,
    /// Rows are committed, and no answer or signal was sent.
    Committed,
    /// A blob to which no row refers any more is about to be deleted.
    BlobUnused,
}

/// What happens at a fail point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails although it was carried out, as when the connection to the database or the
    /// bucket is lost. The request goes on with the error.
    Unavailable,
    /// The request ends there and has no answer, as when its client hangs up.
    Abort,
    /// The coordinator ends there. Nothing of it has an effect any more.
    Crash,
}

/// A handle to the fail points of a farm. Clones are of the same farm. The default has none.
#[derive(Clone, Debug, Default)]
pub struct FailPoints(Option<Arc<State>>);

#[derive(Debug, Default)]
struct State {
    plan: Mutex<Plan>,
    has_crashed: AtomicBool,
}

#[derive(Debug, Default)]
struct Plan {
    /// The fault, and how many points are passed before it.
    next: Option<(Fault, u32)>,
    reached: Option<FailPoint>,
}

/// A fault was injected here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interrupted(FailPoint);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a test interrupted the farm at {:?}", self.0)
    }
}

impl std::error::Error for Interrupted {}

impl From<Interrupted> for StoreError {
    fn from(interrupted: Interrupted) -> Self {
        Self::Unavailable(interrupted.to_string())
    }
}

impl FailPoints {
    /// Fail points for a test.
    #[must_use]
    pub fn for_test() -> Self {
        Self(Some(Arc::default()))
    }

    /// Injects `fault` once, at the point that is reached after `passed` others.
    ///
    /// # Panics
    /// If these fail points are not for a test.
    pub fn inject(&self, fault: Fault, passed: u32) {
        let state = self.0.as_ref().expect("fail points for a test");
        *lock(state) = Plan {
            next: Some((fault, passed)),
            reached: None,
        };
    }

    /// Injects nothing more. Returns the point at which a fault was injected since the last call of
    /// [`FailPoints::inject`], if any.
    pub fn disarm(&self) -> Option<FailPoint> {
        let mut plan = lock(self.0.as_ref()?);
        plan.next = None;
        plan.reached
    }

    /// Whether [`Fault::Crash`] was injected. Then the coordinator has to be started again, with fail
    /// points of its own.
    pub fn has_crashed(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|state| state.has_crashed.load(Ordering::Acquire))
    }

    /// Passes a point.
    ///
    /// # Errors
    /// If a fault is injected that lets the request go on.
    pub(crate) fn pass(&self, point: FailPoint) -> Result<(), Interrupted> {
        let Some(state) = &self.0 else { return Ok(()) };
        self.stop_after_crash();
        let fault = {
            let mut plan = lock(state);
            match plan.next {
                Some((fault, 0)) => {
                    plan.next = None;
                    plan.reached = Some(point);
                    if fault == Fault::Crash {
                        state.has_crashed.store(true, Ordering::Release);
                    }
                    Some(fault)
                }
                Some((fault, passed)) => {
                    plan.next = Some((fault, passed - 1));
                    None
                }
                None => None,
            }
        };
        match fault {
            None => Ok(()),
            Some(Fault::Unavailable) => Err(Interrupted(point)),
            Some(Fault::Abort | Fault::Crash) => end_request(point),
        }
    }

    /// Ends the request if the coordinator has crashed. Called before every effect.
    pub(crate) fn stop_after_crash(&self) {
        if self.has_crashed() {
            end_request(FailPoint::Committed);
        }
    }
}

/// Ends the task of a request: its connection is closed without an answer.
fn end_request(point: FailPoint) -> ! {
    // Not a panic: the hook would print it, and tests do this hundreds of times.
    resume_unwind(Box::new(Interrupted(point).to_string()))
}

fn lock(state: &Arc<State>) -> std::sync::MutexGuard<'_, Plan> {
    state.plan.lock().unwrap_or_else(PoisonError::into_inner)
}
