//! The network between clients and the farm, the clock, and the crashes of the coordinator.

use std::collections::BTreeSet;
use std::path::PathBuf;

use slipway_farm::{FailPoint, Fault};
use slipway_history::Recorder;
use slipway_testkit::TestFarm;

use super::random::Random;
use crate::client::{Reply, Request};

/// How many points a request may pass before it is interrupted.
const MAX_POINTS: usize = 4;
/// How many steps a client is cut off at most.
const MAX_CUT: usize = 25;
/// By how much the clock moves on in one step, in seconds. It is not a divisor of a lease, so the
/// time that a run takes does not matter.
const TICK_S: i64 = 2;
/// A pause, after which leases have expired.
const LONG_TICK_S: i64 = 32;

/// What happened in a simulation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: usize,
    pub(super) lost_requests: usize,
    pub(super) lost_answers: usize,
    pub(super) delayed: usize,
    pub(super) repeated: usize,
    pub(super) cuts: usize,
    pub(super) crashes: usize,
    pub(super) torn_writes: usize,
    /// Requests that ended without an answer, or whose storage failed.
    pub(super) interrupted: usize,
    pub(super) lost_jobs: usize,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.lost_requests += other.lost_requests;
        self.lost_answers += other.lost_answers;
        self.delayed += other.delayed;
        self.repeated += other.repeated;
        self.cuts += other.cuts;
        self.crashes += other.crashes;
        self.torn_writes += other.torn_writes;
        self.interrupted += other.interrupted;
        self.lost_jobs += other.lost_jobs;
    }
}

/// The farm, and the network before it.
pub(super) struct Network {
    pub(super) farm: TestFarm,
    pub(super) random: Random,
    pub(super) history: Recorder,
    pub(super) counts: Counts,
    /// Requests that arrive later, although their clients gave them up.
    late: Vec<Request>,
    /// The client that is cut off, and for how many steps.
    cut: (u32, usize),
    /// Whether nothing breaks any more.
    is_calm: bool,
}

impl Network {
    pub(super) fn new(farm: TestFarm, random: Random) -> Self {
        Self {
            farm,
            random,
            history: Recorder::default(),
            counts: Counts::default(),
            late: Vec::new(),
            cut: (0, 0),
            is_calm: false,
        }
    }

    /// Lets time pass, and delivers late requests.
    pub(super) async fn next_step(&mut self) {
        let is_long = !self.is_calm && self.random.percent(2);
        self.farm
            .advance(if is_long { LONG_TICK_S } else { TICK_S });
        self.counts.lost_jobs += self.farm.expire_leases().await;
        self.cut.1 = self.cut.1.saturating_sub(1);
        if self.is_calm {
            return;
        }
        if self.cut.1 == 0 && self.random.percent(3) {
            self.counts.cuts += 1;
            let client = self.random.below(4) as u32;
            self.cut = (client, 1 + self.random.below(MAX_CUT));
        }
        if !self.late.is_empty() && self.random.percent(25) {
            // They overtake each other.
            let at = self.random.below(self.late.len());
            let request = self.late.swap_remove(at);
            self.deliver(&request).await;
        }
    }

    /// Ends all faults. What is still on its way arrives now.
    pub(super) async fn calm_down(&mut self) {
        for request in std::mem::take(&mut self.late) {
            self.deliver(&request).await;
        }
        self.is_calm = true;
    }

    /// Sends a request of a client. `None` if no answer arrives; then it may have been carried out, may
    /// never be, or may be later.
    pub(super) async fn send(&mut self, client: u32, request: &Request) -> Option<Reply> {
        self.counts.requests += 1;
        if self.is_calm {
            return self.deliver(request).await;
        }
        if self.cut.1 > 0 && self.cut.0 == client {
            self.counts.lost_requests += 1;
            return None;
        }
        match self.random.below(100) {
            0..4 => {
                self.counts.lost_requests += 1;
                None
            }
            4..12 => {
                self.deliver(request).await;
                self.counts.lost_answers += 1;
                None
            }
            12..18 => {
                self.counts.delayed += 1;
                self.late.push(request.clone());
                None
            }
            18..23 => {
                self.counts.repeated += 1;
                self.deliver(request).await;
                self.deliver(request).await
            }
            23..35 => {
                let fault = [Fault::Crash, Fault::Abort, Fault::Unavailable];
                let fault = fault[self.random.below(fault.len())];
                let passed = self.random.below(MAX_POINTS) as u32;
                self.interrupt(request, fault, passed).await
            }
            _ => self.deliver(request).await,
        }
    }

    /// Delivers a request to a coordinator that works.
    async fn deliver(&mut self, request: &Request) -> Option<Reply> {
        let reply = request.send(&self.farm).await;
        let reply = reply.unwrap_or_else(|| panic!("{request:?} is not answered"));
        assert!(reply.status < 500, "{request:?}: {reply:?}");
        Some(reply)
    }

    /// Delivers a request that a fault may interrupt.
    async fn interrupt(&mut self, request: &Request, fault: Fault, passed: u32) -> Option<Reply> {
        let before: BTreeSet<PathBuf> = self.farm.blob_files().into_iter().collect();
        self.farm.fail_points.inject(fault, passed);
        let reply = request.send(&self.farm).await;
        let reached = self.farm.fail_points.disarm();
        if self.farm.fail_points.has_crashed() {
            self.counts.crashes += 1;
            if reached == Some(FailPoint::BlobStored) && self.random.percent(50) {
                self.tear(&before);
            }
            self.farm.restart().await;
            return None;
        }
        if reached.is_some() {
            self.counts.interrupted += 1;
        }
        reply.filter(|reply| {
            assert!(reply.status < 500 || reached.is_some(), "{reply:?}");
            reply.status < 500
        })
    }

    /// Cuts the bytes that were written last, as a power cut can do before they are synced, and leaves a
    /// write unfinished.
    fn tear(&mut self, before: &BTreeSet<PathBuf>) {
        for file in self.farm.blob_files() {
            if before.contains(&file) {
                continue;
            }
            self.counts.torn_writes += 1;
            let length = std::fs::metadata(&file).unwrap().len();
            let torn = std::fs::File::options().write(true).open(&file).unwrap();
            torn.set_len(length / 2).unwrap();
            let mut unfinished = file.into_os_string();
            unfinished.push("#1");
            std::fs::write(unfinished, "unfinished").unwrap();
        }
    }
}
