//! What clients sent, and what of it the farm acknowledged.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use slipway_history::{Recorder, State};

/// What a client sent for one job.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    pub(super) trace: Vec<u8>,
    /// How many bytes of the trace are acknowledged.
    pub(super) acknowledged: usize,
    /// Every archive that was sent, in order. A later one replaces an earlier one.
    pub(super) archives: Vec<Vec<u8>>,
    /// The index of the last archive that was acknowledged.
    pub(super) archive: Option<usize>,
    /// The result, if it was acknowledged.
    pub(super) result: Option<State>,
}

/// What all clients share. They run in one thread.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) history: Recorder,
    /// Acknowledged builds by id, with the number of lines that a runner of ours writes for them.
    pub(super) builds: RefCell<Vec<(String, u32)>>,
    pub(super) jobs: RefCell<BTreeMap<i64, Sent>>,
    /// What is wrong already: an acknowledgement that a later answer contradicts.
    pub(super) problems: RefCell<Vec<String>>,
    /// Whether no more builds are created.
    pub(super) draining: Cell<bool>,
    /// Whether clients end after their current job.
    pub(super) ending: Cell<bool>,
}

impl Ledger {
    /// Changes what is known of a job.
    pub(super) fn update(&self, job: i64, change: impl FnOnce(&mut Sent)) {
        change(self.jobs.borrow_mut().entry(job).or_default());
    }

    pub(super) fn problem(&self, problem: String) {
        println!("{problem}");
        self.problems.borrow_mut().push(problem);
    }
}
