//! Property tests that simulate random builds of random graphs with the rules of this crate. Whatever
//! runners and users do, every build ends in a state that its rules allow.

use chrono::DateTime;
use proptest::prelude::*;
use slipway_domain::pipeline::needs::{Need, next_event};
use slipway_domain::rollup::{RollupJob, roll_up};
use slipway_domain::{
    BuildState, Event, FailureReason, JobState, Lease, Outcome, ReportedResult, RunnerId, When,
};

/// A job of a graph. It only needs jobs with a lower index.
#[derive(Clone, Debug)]
struct Job {
    needs: Vec<usize>,
    when: When,
    allowed_to_fail: bool,
}

/// An action of a runner or a user. The number picks one of the jobs the action applies to.
#[derive(Clone, Copy, Debug)]
enum Action {
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
    /// Whether a manual job was started, after which it runs like any other.
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
        let after = before.after(event).expect("an event that the state allows");
        assert!(!before.is_done(), "{before:?} is final");
        self.states[job] = after;
    }

    /// Applies all events that follow from finished jobs, and checks each against the rules.
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
        let all_done = needs.iter().all(|need| need.state.is_done());
        let all_good = needs.iter().all(good);
        let canceled = needs.iter().any(is(Outcome::Canceled));
        let skipped = needs.iter().any(is(Outcome::Skipped));
        match event {
            Event::NeedsMet | Event::NeedsMetManual => {
                assert!(all_done, "a job must not start before its needs finished");
                assert!(
                    !canceled,
                    "a job must not run after a needed job was canceled"
                );
                match self.when(job) {
                    When::OnSuccess | When::Manual => assert!(all_good && !skipped),
                    When::OnFailure => assert!(!all_good),
                    When::Always => {}
                }
                let by_hand = self.when(job) == When::Manual;
                assert_eq!(by_hand, event == Event::NeedsMetManual);
            }
            Event::NeedsFailed => match self.when(job) {
                When::OnSuccess | When::Manual => assert!(
                    canceled || needs.iter().any(|need| need.state.is_done() && !good(need))
                ),
                When::OnFailure => assert!(canceled || all_good),
                When::Always => assert!(canceled),
            },
            other => panic!("unexpected event {other:?}"),
        }
    }

    fn pick(&self, number: usize, test: impl Fn(&JobState) -> bool) -> Option<usize> {
        let fit: Vec<usize> = (0..self.jobs.len())
            .filter(|job| test(&self.states[*job]))
            .collect();
        (!fit.is_empty()).then(|| fit[number % fit.len()])
    }

    fn apply_action(&mut self, action: Action) {
        let failed = |reason| Event::Report(RunnerId(1), ReportedResult::Failed(reason));
        let step = match action {
            Action::Claim(n) => {
                let job = self.pick(n, |state| *state == JobState::Pending);
                job.map(|job| (job, Event::Claim(LEASE)))
            }
            Action::Succeed(n) => {
                let event = Event::Report(RunnerId(1), ReportedResult::Succeeded);
                self.pick(n, JobState::is_running).map(|job| (job, event))
            }
            Action::Fail(n) => {
                let event = failed(FailureReason::JobFailed);
                self.pick(n, JobState::is_running).map(|job| (job, event))
            }
            Action::Lose(n) => {
                let event = Event::CheckLease {
                    now: DateTime::UNIX_EPOCH,
                };
                self.pick(n, JobState::is_running).map(|job| (job, event))
            }
            Action::Play(n) => {
                let job = self.pick(n, |state| *state == JobState::Manual);
                job.map(|job| (job, Event::Play))
            }
            Action::CancelJob(n) => {
                let job = self.pick(n, |state| !state.is_done());
                job.map(|job| (job, Event::Cancel))
            }
            Action::CancelBuild => return self.cancel(),
            Action::RetryBuild => return self.retry(),
        };
        let Some((job, event)) = step else { return };
        if event == Event::Play {
            self.started[job] = true;
        }
        self.apply(job, event);
        self.settle();
    }

    /// Cancels all jobs that have not finished.
    fn cancel(&mut self) {
        for job in 0..self.jobs.len() {
            if !self.states[job].is_done() {
                self.apply(job, Event::Cancel);
            }
        }
        self.settle();
        assert!(self.states.iter().all(JobState::is_done));
    }

    /// Retries the jobs that did not succeed, if the build has finished.
    fn retry(&mut self) {
        if !self.rolled_up().is_done() {
            return;
        }
        let before_retry = self.states.clone();
        for job in 0..self.jobs.len() {
            let state = self.states[job];
            if state.is_done() && state != JobState::Done(Outcome::Succeeded) {
                self.states[job] = JobState::Waiting;
            }
        }
        self.settle();
        for (before, after) in before_retry.iter().zip(&self.states) {
            if *before == JobState::Done(Outcome::Succeeded) {
                assert_eq!(before, after, "a retry must not run succeeded jobs again");
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

    /// Runs pending jobs until none is left. `results` gives the result of each job in turn.
    fn finish(&mut self, results: &[bool]) {
        for round in 0.. {
            assert!(
                round <= 2 * self.jobs.len(),
                "a job must not run twice without a retry"
            );
            self.apply_action(Action::Claim(round));
            let succeeds = results.get(round % results.len().max(1)).copied();
            self.apply_action(if succeeds.unwrap_or(true) {
                Action::Succeed(round)
            } else {
                Action::Fail(round)
            });
            let idle = |state: &JobState| *state != JobState::Pending && !state.is_running();
            if self.states.iter().all(idle) {
                return;
            }
        }
    }

    /// Returns true if a job waits, directly or indirectly, for a manual job.
    fn waits_for_manual(&self, job: usize) -> bool {
        self.states[job] == JobState::Manual
            || self.states[job] == JobState::Waiting
                && self.jobs[job]
                    .needs
                    .iter()
                    .any(|need| self.waits_for_manual(*need))
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

fn action() -> impl Strategy<Value = Action> {
    let n = || 0..8_usize;
    prop_oneof![
        6 => n().prop_map(Action::Claim),
        4 => n().prop_map(Action::Succeed),
        2 => n().prop_map(Action::Fail),
        1 => n().prop_map(Action::Lose),
        1 => n().prop_map(Action::Play),
        1 => n().prop_map(Action::CancelJob),
        1 => Just(Action::CancelBuild),
        1 => Just(Action::RetryBuild),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    /// After any actions, a build ends once all pending jobs have run: only jobs that wait for a manual
    /// job are open, and the build's state is final.
    #[test]
    fn every_build_ends(
        jobs in graph(),
        actions in proptest::collection::vec(action(), 0..40),
        results in proptest::collection::vec(any::<bool>(), 1..8),
    ) {
        let mut build = Build::new(jobs);
        for action in actions {
            build.apply_action(action);
        }
        build.finish(&results);
        prop_assert!(build.rolled_up().is_done(), "{:?}", build.states);
        for job in 0..build.jobs.len() {
            prop_assert!(build.states[job].is_done() || build.waits_for_manual(job), "{:?}", build.states);
        }
    }

    /// If a job was skipped, the jobs that need its success are skipped too.
    #[test]
    fn a_skipped_job_skips_the_jobs_that_need_its_success(
        jobs in graph(),
        results in proptest::collection::vec(any::<bool>(), 1..8),
    ) {
        let mut build = Build::new(jobs);
        build.finish(&results);
        for (job, state) in build.jobs.iter().zip(&build.states) {
            let skipped = |need: &usize| build.states[*need] == JobState::Done(Outcome::Skipped);
            if matches!(job.when, When::OnSuccess | When::Manual) && job.needs.iter().any(skipped) {
                prop_assert_eq!(*state, JobState::Done(Outcome::Skipped));
            }
        }
    }

    /// After a build was canceled no job starts, and it has not succeeded unless all jobs had.
    #[test]
    fn no_job_runs_after_a_cancel(
        jobs in graph(),
        actions in proptest::collection::vec(action(), 0..20),
    ) {
        let mut build = Build::new(jobs);
        for action in actions {
            build.apply_action(action);
        }
        let open = build.states.iter().any(|state| !state.is_done());
        build.apply_action(Action::CancelBuild);
        let ended = build.states.clone();
        build.finish(&[true]);
        prop_assert_eq!(&ended, &build.states);
        let state = build.rolled_up();
        prop_assert!(!open || matches!(state, BuildState::Canceled | BuildState::Failed));
    }

    /// A retry in which all jobs succeed makes the build succeed.
    #[test]
    fn a_retry_without_failures_succeeds(
        jobs in graph(),
        results in proptest::collection::vec(any::<bool>(), 1..8),
    ) {
        let mut build = Build::new(jobs);
        build.finish(&results);
        build.apply_action(Action::RetryBuild);
        build.finish(&[true]);
        prop_assert!(matches!(build.rolled_up(), BuildState::Succeeded | BuildState::Skipped));
    }
}
