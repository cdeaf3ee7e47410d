//! Jobs go to runners that built their project lately: one that waits is called first, and one that
//! is busy is waited for, within a bound.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]

use std::time::Duration;

use chrono::TimeDelta;
use slipway_domain::When;
use slipway_domain::pipeline::Definition;
use slipway_domain::queue::PendingReason;
use slipway_farm::{Build, ClaimedJob, ProjectAccess, StartBlocker};
use slipway_testkit::farm::jobs_named;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends, wait_until};

use crate::hands::Hands;

const LIMIT: Duration = Duration::from_secs(20);
/// Longer than any test takes, and shorter than the lease of a runner that is silent.
const LONG: Duration = Duration::from_secs(80);
/// Shorter than those who wait look for themselves.
const SOON: TimeDelta = TimeDelta::seconds(9);

on_both_back_ends!(
    one_that_waits_is_called_before_one_that_has_waited_longer,
    a_job_is_kept_for_the_busy_runner_that_built_its_project_last,
    a_kept_job_is_for_everybody_when_its_time_is_over,
    who_waits_is_called_when_the_time_of_a_kept_job_is_over,
    of_a_burst_one_job_is_kept_and_the_others_go_to_who_is_there,
    without_a_wait_nothing_is_kept,
    a_runner_that_is_gone_holds_nothing_back,
    nothing_is_kept_while_one_that_built_the_project_is_idle,
    what_follows_from_a_job_goes_to_its_runner,
    a_job_is_kept_however_it_becomes_pending,
    a_coordinator_that_starts_meanwhile_knows_when_the_time_is_over,
);

/// A project that one of two runners has built; that one is at the next build of it.
struct Yard {
    farm: TestFarm,
    project: ProjectAccess,
    warm: Hands,
    cold: Hands,
    work: ClaimedJob,
}

impl Yard {
    async fn new(backend: Backend, warm_wait: Duration) -> Self {
        let farm = TestFarm::start_with(backend, |config| {
            config.limits.poll_wait_s = LIMIT;
            config.limits.warm_wait_s = warm_wait;
        })
        .await;
        let project = farm.project("acme/api").await;
        let (warm, cold) = (
            Hands::on(&farm, "amd64").await,
            Hands::on(&farm, "amd64").await,
        );
        build_with(&farm, &project, &warm).await;
        farm.build(&project).await;
        let work = warm.claim_named("image").await;
        Self {
            farm,
            project,
            warm,
            cold,
            work,
        }
    }

    async fn build(&self) -> Build {
        self.farm.build(&self.project).await
    }

    /// Why the only job of a build has not begun.
    async fn why(&self, build: &Build) -> StartBlocker {
        let job = self.farm.jobs(build).await.remove(0);
        let why = self.farm.farm().pending_reason(&self.project, job.id);
        why.await.unwrap()
    }
}

/// Has a runner build a project with success.
async fn build_with(farm: &TestFarm, project: &ProjectAccess, runner: &Hands) {
    farm.build(project).await;
    runner.succeed(runner.claim_named("image").await).await;
}

async fn until_parked(farm: &TestFarm, count: i64) {
    wait_until(LIMIT, "the runners wait", || async {
        farm.farm().figures().await.unwrap().parked_polls == count
    })
    .await;
}

/// A poll that is held, once it is.
async fn held(farm: &TestFarm, hands: &Hands) -> tokio::task::JoinHandle<Option<ClaimedJob>> {
    let parked = farm.farm().figures().await.unwrap().parked_polls;
    let hands = hands.clone();
    let poll = tokio::spawn(async move { hands.wait().await });
    until_parked(farm, parked + 1).await;
    poll
}

fn waited(claimed: &ClaimedJob) -> TimeDelta {
    claimed.job.started_at.unwrap() - claimed.job.queued_at.unwrap()
}

async fn one_that_waits_is_called_before_one_that_has_waited_longer(backend: Backend) {
    let yard = Yard::new(backend, LONG).await;
    // The one that has waited longest has built another project.
    let other = yard.farm.project("acme/web").await;
    build_with(&yard.farm, &other, &yard.cold).await;
    yard.warm.succeed(yard.work).await;
    let first = held(&yard.farm, &yard.cold).await;
    let second = held(&yard.farm, &yard.warm).await;
    let build = yard.farm.build(&yard.project).await;
    let claimed = second.await.unwrap().unwrap();
    assert_eq!(claimed.build.id, build.id);
    assert!(!first.is_finished());
}

async fn a_job_is_kept_for_the_busy_runner_that_built_its_project_last(backend: Backend) {
    let yard = Yard::new(backend, LONG).await;
    let build = yard.build().await;
    assert!(yard.cold.claim().await.is_none(), "it is kept");
    let job = yard.farm.jobs(&build).await.remove(0);
    let kept = PendingReason::Reserved {
        runner: yard.warm.id(),
        until: job.queued_at.unwrap() + LONG,
    };
    let line = yard.farm.farm().queue(&yard.farm.admin().await).await;
    assert_eq!(line.unwrap()[0].reason, kept);
    assert_eq!(yard.why(&build).await, StartBlocker::Pending(kept));
    yard.warm.succeed(yard.work).await;
    assert!(yard.cold.claim().await.is_none(), "it is kept still");
    assert_eq!(yard.warm.claim_named("image").await.build.id, build.id);
}

async fn a_kept_job_is_for_everybody_when_its_time_is_over(backend: Backend) {
    let yard = Yard::new(backend, LONG).await;
    let build = yard.build().await;
    assert!(yard.cold.claim().await.is_none(), "it is kept");
    yard.farm.advance(80);
    let busy = StartBlocker::Pending(PendingReason::AllBusy);
    assert_eq!(yard.why(&build).await, busy);
    assert_eq!(yard.cold.claim_named("image").await.build.id, build.id);
}

async fn who_waits_is_called_when_the_time_of_a_kept_job_is_over(backend: Backend) {
    let wait = Duration::from_millis(300);
    let yard = Yard::new(backend, wait).await;
    let poll = held(&yard.farm, &yard.cold).await;
    let build = yard.build().await;
    let claimed = poll.await.unwrap().unwrap();
    assert_eq!(claimed.build.id, build.id);
    let waited = waited(&claimed);
    assert!(
        waited >= TimeDelta::from_std(wait).unwrap() && waited < SOON,
        "{waited}"
    );
}

async fn of_a_burst_one_job_is_kept_and_the_others_go_to_who_is_there(backend: Backend) {
    let yard = Yard::new(backend, LONG).await;
    let other = yard.farm.project("acme/web").await;
    build_with(&yard.farm, &other, &yard.warm).await;
    let poll = held(&yard.farm, &yard.cold).await;
    let (first, second) = (yard.build().await, yard.build().await);
    let claimed = poll.await.unwrap().unwrap();
    assert_eq!(claimed.build.id, second.id);
    assert!(waited(&claimed) < SOON);
    assert!(yard.cold.claim().await.is_none(), "the first is kept");
    // Nor does one of another project wait for a runner that a job is kept for already.
    let build = yard.farm.build(&other).await;
    assert_eq!(yard.cold.claim_named("image").await.build.id, build.id);
    assert_eq!(yard.warm.claim_named("image").await.build.id, first.id);
}

async fn without_a_wait_nothing_is_kept(backend: Backend) {
    let yard = Yard::new(backend, Duration::ZERO).await;
    let poll = held(&yard.farm, &yard.cold).await;
    let build = yard.build().await;
    let claimed = poll.await.unwrap().unwrap();
    assert_eq!(claimed.build.id, build.id);
    assert!(waited(&claimed) < SOON);
}

async fn a_runner_that_is_gone_holds_nothing_back(backend: Backend) {
    let yard = Yard::new(backend, LONG).await;
    yard.farm.pause_runner(yard.warm.id()).await;
    let build = yard.build().await;
    assert_eq!(yard.cold.claim_named("image").await.build.id, build.id);

    let yard = Yard::new(backend, LONG).await;
    yard.warm.leave().await;
    let build = yard.build().await;
    // What it was at may have been lost already, and stand before it.
    let mut next = yard.cold.claim_named("image").await;
    if next.build.id == yard.work.build.id {
        next = yard.cold.claim_named("image").await;
    }
    assert_eq!(next.build.id, build.id);

    let yard = Yard::new(backend, LONG).await;
    yard.warm.succeed(yard.work).await;
    yard.farm.advance(3600);
    let build = yard.farm.build(&yard.project).await;
    assert_eq!(yard.cold.claim_named("image").await.build.id, build.id);
}

async fn nothing_is_kept_while_one_that_built_the_project_is_idle(backend: Backend) {
    let yard = Yard::new(backend, LONG).await;
    yard.build().await;
    yard.farm.advance(80);
    yard.cold
        .succeed(yard.cold.claim_named("image").await)
        .await;
    // Now both have built it, and one of them is free; a third one comes first all the same.
    let build = yard.build().await;
    let third = Hands::on(&yard.farm, "amd64").await;
    assert_eq!(third.claim_named("image").await.build.id, build.id);
}

async fn what_follows_from_a_job_goes_to_its_runner(backend: Backend) {
    let yard = Yard::new(backend, LONG).await;
    yard.warm.succeed(yard.work).await;
    let jobs = jobs_named(&[("base", &[]), ("app", &["base"])]);
    yard.farm.build_defined(&yard.project, jobs).await;
    let base = yard.warm.claim_named("base").await;
    let poll = held(&yard.farm, &yard.cold).await;
    yard.warm.succeed(base).await;
    yard.warm.claim_named("app").await;
    assert!(!poll.is_finished());
}

async fn a_job_is_kept_however_it_becomes_pending(backend: Backend) {
    let yard = Yard::new(backend, LONG).await;
    let admin = yard.farm.admin().await;
    let farm = yard.farm.farm();
    yard.build().await;
    yard.farm.advance(80);
    let failed = yard.cold.claim_named("image").await;
    let job = failed.job.clone();
    yard.cold.fail(failed).await;
    farm.retry_job(&admin, &yard.project, &job).await.unwrap();
    assert!(yard.cold.claim().await.is_none(), "a retry is kept");

    let yard = Yard::new(backend, LONG).await;
    let mut by_hand = Definition::single_image();
    by_hand.jobs[0].when = When::Manual;
    let build = yard.farm.build_defined(&yard.project, by_hand).await;
    assert!(yard.cold.claim().await.is_none(), "nobody started it");
    let job = yard.farm.jobs(&build).await.remove(0);
    let admin = yard.farm.admin().await;
    let played = yard.farm.farm().play_job(&admin, &yard.project, &job).await;
    assert_eq!(played.unwrap().state.name(), "pending");
    assert!(yard.cold.claim().await.is_none(), "what is started is kept");
    yard.farm.advance(80);
    assert_eq!(yard.cold.claim_named("image").await.build.id, build.id);
}

async fn a_coordinator_that_starts_meanwhile_knows_when_the_time_is_over(backend: Backend) {
    let mut yard = Yard::new(backend, Duration::from_secs(2)).await;
    let build = yard.build().await;
    yard.farm.restart().await;
    let claimed = yard.cold.at(yard.farm.farm()).next().await;
    assert_eq!(claimed.build.id, build.id);
    let waited = waited(&claimed);
    assert!(waited >= TimeDelta::seconds(2) && waited < SOON, "{waited}");
}

mod postgres_two_coordinators {
    use super::*;

    #[tokio::test]
    async fn the_other_one_knows_too_when_the_time_of_a_kept_job_is_over() {
        let yard = Yard::new(Backend::Postgres, Duration::from_millis(300)).await;
        let second = yard.farm.second_coordinator().await;
        let there = yard.cold.at(&second.farm);
        let poll = tokio::spawn(async move { there.wait().await });
        wait_until(LIMIT, "the poll is held", || async {
            second.farm.parked_polls() == 1
        })
        .await;
        let build = yard.build().await;
        let claimed = poll.await.unwrap().unwrap();
        assert_eq!(claimed.build.id, build.id);
        let waited = waited(&claimed);
        assert!(
            waited >= TimeDelta::milliseconds(300) && waited < SOON,
            "{waited}"
        );
    }

    #[tokio::test]
    async fn a_kept_job_calls_its_runner_that_waits_at_the_other_one() {
        let yard = Yard::new(Backend::Postgres, LONG).await;
        let second = yard.farm.second_coordinator().await;
        let here = held(&yard.farm, &yard.cold).await;
        // It is busy, and has room for one more.
        let there = yard.warm.at(&second.farm);
        let poll = tokio::spawn(async move { there.wait().await });
        wait_until(LIMIT, "the poll is held", || async {
            second.farm.parked_polls() == 1
        })
        .await;
        let build = yard.build().await;
        let claimed = poll.await.unwrap().unwrap();
        assert_eq!(claimed.build.id, build.id);
        assert!(waited(&claimed) < SOON);
        assert!(!here.is_finished());
    }
}
