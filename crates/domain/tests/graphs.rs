//! Random builds of random graphs, played by the pure rules alone: whatever runners, people and
//! luck do, every build comes to an end that its rules allow.

use chrono::DateTime;
use proptest::prelude::*;
use slipway_domain::pipeline::needs::{Need, next_event};
use slipway_domain::rollup::{RollupJob, roll_up};
use slipway_domain::{
    BuildState, Event, FailureReason, JobState, Lease, Outcome, ReportedResult, RunnerId, When,
};

/// A job of a graph: what it needs are jobs before it.
#[derive(Clone, Debug)]
struct Job {
    needs: Vec<usize>,
    when: When,
    allowed_to_fail: bool,
}

/// Something that somebody does; the number picks one of the jobs that it can be done to.
#[derive(Clone, Copy, Debug)]
enum Act {
    Claim(usize),
    Succeed(usize),
    Fail(usize),
    Lose(usize),
    Play(usize),
    CancelJob(usize),
    CancelBuild,
    RetryBuild,
}

struct Build {
    jobs: Vec<Job>,
    states: Vec<JobState>,
    /// Whether a manual job was started, or need not be any more.
    started: Vec<bool>,
}

const LEASE: Lease = Lease {
    runner: RunnerId(1),
    expires_at: DateTime::UNIX_EPOCH,
};

impl Build {
    fn new(jobs: Vec<Job>) -> Self {
        let count = jobs.len();
        let mut build = Self {
            jobs,
            states: vec![JobState::Waiting; count],
            started: vec![false; count],
        };
        build.settle();
        build
    }

    fn needs(&self, job: usize) -> Vec<Need> {
        let needs = self.jobs[job].needs.iter();
        needs
            .map(|need| Need {
                state: self.states[*need],
                allowed_to_fail: self.jobs[*need].allowed_to_fail,
            })
            .collect()
    }

    fn when(&self, job: usize) -> When {
        match self.jobs[job].when {
            When::Manual if self.started[job] => When::OnSuccess,
            when => when,
        }
    }

    fn apply(&mut self, job: usize, event: Event) {
        let before = self.states[job];
        let after = before.after(event).expect("an event that the state takes");
        assert!(!before.is_done(), "{before:?} is over and does not change");
        self.states[job] = after;
    }

    /// Lets everything happen that follows from the ends there are, and checks each step against
    /// the rules in plain words.
    fn settle(&mut self) {
        loop {
            let mut waiting = (0..self.jobs.len()).filter(|n| self.states[*n] == JobState::Waiting);
            let step = waiting.find_map(|n| Some((n, next_event(self.when(n), &self.needs(n))?)));
            let Some((job, event)) = step else {
                return;
            };
            self.check_step(job, event);
            self.apply(job, event);
        }
    }

    fn check_step(&self, job: usize, event: Event) {
        let needs = self.needs(job);
        let is = |outcome| move |need: &Need| need.state == JobState::Done(outcome);
        let good = |need: &Need| match need.state {
            JobState::Done(Outcome::Succeeded) => true,
            JobState::Done(Outcome::Failed(_)) => need.allowed_to_fail,
            _ => false,
        };
        let over = needs.iter().all(|need| need.state.is_done());
        let all_good = needs.iter().all(good);
        let canceled = needs.iter().any(is(Outcome::Canceled));
        let skipped = needs.iter().any(is(Outcome::Skipped));
        match event {
            Event::NeedsMet | Event::Offer => {
                assert!(over, "nothing begins before what it needs is over");
                assert!(!canceled, "nothing runs after a cancel");
                match self.when(job) {
                    When::OnSuccess | When::Manual => assert!(all_good && !skipped),
                    When::OnFailure => assert!(!all_good),
                    When::Always => {}
                }
                let by_hand = self.when(job) == When::Manual;
                assert_eq!(by_hand, event == Event::Offer);
            }
            Event::NeedsFailed => match self.when(job) {
                When::OnSuccess | When::Manual => assert!(
                    canceled || needs.iter().any(|need| need.state.is_done() && !good(need))
                ),
                When::OnFailure => assert!(canceled || all_good),
                When::Always => assert!(canceled),
            },
            other => panic!("{other:?} does not follow from needs"),
        }
    }

    fn pick(&self, number: usize, test: impl Fn(&JobState) -> bool) -> Option<usize> {
        let fit: Vec<usize> = (0..self.jobs.len())
            .filter(|job| test(&self.states[*job]))
            .collect();
        (!fit.is_empty()).then(|| fit[number % fit.len()])
    }

    fn play(&mut self, act: Act) {
        let failed = |reason| Event::Report(RunnerId(1), ReportedResult::Failed(reason));
        let step = match act {
            Act::Claim(n) => {
                let job = self.pick(n, |state| *state == JobState::Pending);
                job.map(|job| (job, Event::Claim(LEASE)))
            }
            Act::Succeed(n) => {
                let event = Event::Report(RunnerId(1), ReportedResult::Succeeded);
                self.pick(n, JobState::is_running).map(|job| (job, event))
            }
            Act::Fail(n) => {
                let event = failed(FailureReason::JobFailed);
                self.pick(n, JobState::is_running).map(|job| (job, event))
            }
            Act::Lose(n) => {
                let event = Event::CheckLease {
                    now: DateTime::UNIX_EPOCH,
                };
                self.pick(n, JobState::is_running).map(|job| (job, event))
            }
            Act::Play(n) => {
                let job = self.pick(n, |state| *state == JobState::Manual);
                job.map(|job| (job, Event::Play))
            }
            Act::CancelJob(n) => {
                let job = self.pick(n, |state| !state.is_done());
                job.map(|job| (job, Event::Cancel))
            }
            Act::CancelBuild => return self.cancel(),
            Act::RetryBuild => return self.retry(),
        };
        let Some((job, event)) = step else { return };
        if event == Event::Play {
            self.started[job] = true;
        }
        self.apply(job, event);
        self.settle();
    }

    /// Calls everything off: no job is left that could begin.
    fn cancel(&mut self) {
        for job in 0..self.jobs.len() {
            if !self.states[job].is_done() {
                self.apply(job, Event::Cancel);
            }
        }
        self.settle();
        assert!(self.states.iter().all(JobState::is_done));
    }

    /// Tries again what did not succeed, once the build is over: new attempts in their place.
    fn retry(&mut self) {
        if !self.rolled_up().is_done() {
            return;
        }
        let kept = self.states.clone();
        for job in 0..self.jobs.len() {
            let state = self.states[job];
            if state.is_done() && state != JobState::Done(Outcome::Succeeded) {
                self.states[job] = JobState::Waiting;
            }
        }
        self.settle();
        for (before, after) in kept.iter().zip(&self.states) {
            if *before == JobState::Done(Outcome::Succeeded) {
                assert_eq!(before, after, "what succeeded is not run again");
            }
        }
    }

    fn rolled_up(&self) -> BuildState {
        let parts: Vec<RollupJob> = (0..self.jobs.len())
            .map(|job| RollupJob {
                state: self.states[job],
                allowed_to_fail: self.jobs[job].allowed_to_fail,
            })
            .collect();
        roll_up(&parts)
    }

    /// Runners take and end what there is until there is nothing left.
    fn finish(&mut self, luck: &[bool]) {
        for round in 0.. {
            assert!(round <= 2 * self.jobs.len(), "no job runs twice by itself");
            self.play(Act::Claim(round));
            let lucky = luck.get(round % luck.len().max(1)).copied();
            self.play(match lucky.unwrap_or(true) {
                true => Act::Succeed(round),
                false => Act::Fail(round),
            });
            let idle = |state: &JobState| *state != JobState::Pending && !state.is_running();
            if self.states.iter().all(idle) {
                return;
            }
        }
    }

    /// Whether a job waits, directly or not, for one that somebody is to start.
    fn is_held(&self, job: usize) -> bool {
        self.states[job] == JobState::Manual
            || self.states[job] == JobState::Waiting
                && self.jobs[job].needs.iter().any(|need| self.is_held(*need))
    }
}

fn job(index: usize) -> impl Strategy<Value = Job> {
    let when = prop_oneof![
        4 => Just(When::OnSuccess),
        1 => Just(When::OnFailure),
        1 => Just(When::Always),
        1 => Just(When::Manual),
    ];
    let needs = proptest::collection::btree_set(0..index.max(1), 0..=index.min(3));
    (needs, when, proptest::bool::weighted(0.2)).prop_map(move |(needs, when, allowed_to_fail)| {
        Job {
            needs: needs.into_iter().filter(|need| *need < index).collect(),
            when,
            allowed_to_fail,
        }
    })
}

fn graph() -> impl Strategy<Value = Vec<Job>> {
    (1..=8_usize).prop_flat_map(|count| (0..count).map(job).collect::<Vec<_>>())
}

fn act() -> impl Strategy<Value = Act> {
    let n = || 0..8_usize;
    prop_oneof![
        6 => n().prop_map(Act::Claim),
        4 => n().prop_map(Act::Succeed),
        2 => n().prop_map(Act::Fail),
        1 => n().prop_map(Act::Lose),
        1 => n().prop_map(Act::Play),
        1 => n().prop_map(Act::CancelJob),
        1 => Just(Act::CancelBuild),
        1 => Just(Act::RetryBuild),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    /// Whatever is done to it, a build comes to its end once runners have done what there is: then
    /// only what waits for a hand is open, and the roll-up says that it is over.
    #[test]
    fn every_build_ends(
        jobs in graph(),
        acts in proptest::collection::vec(act(), 0..40),
        luck in proptest::collection::vec(any::<bool>(), 1..8),
    ) {
        let mut build = Build::new(jobs);
        for act in acts {
            build.play(act);
        }
        build.finish(&luck);
        prop_assert!(build.rolled_up().is_done(), "{:?}", build.states);
        for job in 0..build.jobs.len() {
            prop_assert!(build.states[job].is_done() || build.is_held(job), "{:?}", build.states);
        }
    }

    /// A job that was skipped takes those with it that run on success.
    #[test]
    fn skipping_is_inherited(
        jobs in graph(),
        luck in proptest::collection::vec(any::<bool>(), 1..8),
    ) {
        let mut build = Build::new(jobs);
        build.finish(&luck);
        for (job, state) in build.jobs.iter().zip(&build.states) {
            let skipped = |need: &usize| build.states[*need] == JobState::Done(Outcome::Skipped);
            if matches!(job.when, When::OnSuccess | When::Manual) && job.needs.iter().any(skipped) {
                prop_assert_eq!(*state, JobState::Done(Outcome::Skipped));
            }
        }
    }

    /// After a cancel of the build nothing begins, and it has not succeeded unless all of it had.
    #[test]
    fn nothing_runs_after_a_cancel(
        jobs in graph(),
        acts in proptest::collection::vec(act(), 0..20),
    ) {
        let mut build = Build::new(jobs);
        for act in acts {
            build.play(act);
        }
        let open = build.states.iter().any(|state| !state.is_done());
        build.play(Act::CancelBuild);
        let ended = build.states.clone();
        build.finish(&[true]);
        prop_assert_eq!(&ended, &build.states);
        let state = build.rolled_up();
        prop_assert!(!open || matches!(state, BuildState::Canceled | BuildState::Failed));
    }

    /// A retry with better luck makes good whatever went wrong, but for what only a failure starts.
    #[test]
    fn a_retry_with_luck_succeeds(
        jobs in graph(),
        luck in proptest::collection::vec(any::<bool>(), 1..8),
    ) {
        let mut build = Build::new(jobs);
        build.finish(&luck);
        build.play(Act::RetryBuild);
        build.finish(&[true]);
        prop_assert!(matches!(build.rolled_up(), BuildState::Succeeded | BuildState::Skipped));
    }
}
