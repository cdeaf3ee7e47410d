//! Warm runners: a parked one is woken first, and a job is reserved for a busy one for a limited time.

use std::time::Duration;

use chrono::TimeDelta;
use slipway_domain::When;
use slipway_domain::pipeline::Definition;
use slipway_domain::queue::PendingReason;
use slipway_farm::{Build, ClaimedJob, ProjectAccess, StartBlocker};
use slipway_testkit::farm::jobs_named;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends, wait_until};
use tokio::task::JoinHandle;

use crate::scripted_runner::ScriptedRunner;

const LIMIT: Duration = Duration::from_secs(20);
/// Longer than any test, and shorter than a lease.
const LONG: Duration = Duration::from_secs(80);
/// Shorter than the interval at which parked polls look at the queue.
const SOON: TimeDelta = TimeDelta::seconds(9);

on_both_back_ends!(
    warm_parked_runner_is_woken_before_one_that_waited_longer,
    job_is_reserved_for_the_busy_runner_that_built_the_project_last,
    reserved_job_is_free_after_the_reservation_ends,
    parked_runner_is_woken_when_a_reservation_ends,
    one_job_of_a_burst_is_reserved_and_the_others_are_free,
    no_job_is_reserved_if_the_wait_is_zero,
    deleted_runner_delays_no_job,
    no_job_is_reserved_while_a_warm_runner_is_idle,
    dependent_job_is_reserved_for_the_runner_of_its_predecessor,
    job_is_reserved_however_it_becomes_pending,
    restarted_coordinator_knows_when_a_reservation_ends,
);

/// A project that one of two runners has built; that runner is busy with its next build.
struct Fixture {
    farm: TestFarm,
    project: ProjectAccess,
    warm: ScriptedRunner,
    cold: ScriptedRunner,
    work: ClaimedJob,
}

impl Fixture {
    async fn new(backend: Backend, warm_wait: Duration) -> Self {
        let farm = TestFarm::start_with(backend, |config| {
            config.limits.poll_wait_s = LIMIT;
            config.limits.warm_wait_s = warm_wait;
        })
        .await;
        let project = farm.project("acme/api").await;
        let (warm, cold) = (
            ScriptedRunner::on(&farm, "amd64").await,
            ScriptedRunner::on(&farm, "amd64").await,
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

    /// Why the only job of a build is pending.
    async fn why(&self, build: &Build) -> StartBlocker {
        let job = self.farm.jobs(build).await.remove(0);
        let why = self.farm.farm().pending_reason(&self.project, job.id);
        why.await.unwrap()
    }
}

/// Lets a runner build a project successfully.
async fn build_with(farm: &TestFarm, project: &ProjectAccess, runner: &ScriptedRunner) {
    farm.build(project).await;
    runner.succeed(runner.claim_named("image").await).await;
}

async fn until_parked(farm: &TestFarm, count: usize) {
    wait_until(LIMIT, "the runners are parked", || async {
        farm.farm().parked_polls() == count
    })
    .await;
}

/// Starts a poll, and waits until it is parked.
async fn parked_poll(farm: &TestFarm, runner: &ScriptedRunner) -> JoinHandle<Option<ClaimedJob>> {
    let parked = farm.farm().parked_polls();
    let poll = runner.hold().await;
    until_parked(farm, parked + 1).await;
    poll
}

fn waited(claimed: &ClaimedJob) -> TimeDelta {
    claimed.job.started_at.unwrap() - claimed.job.queued_at.unwrap()
}

async fn warm_parked_runner_is_woken_before_one_that_waited_longer(backend: Backend) {
    let fixture = Fixture::new(backend, LONG).await;
    // The runner that waited longest has built another project.
    let other = fixture.farm.project("acme/web").await;
    build_with(&fixture.farm, &other, &fixture.cold).await;
    fixture.warm.succeed(fixture.work).await;
    let first = parked_poll(&fixture.farm, &fixture.cold).await;
    let second = parked_poll(&fixture.farm, &fixture.warm).await;
    let build = fixture.farm.build(&fixture.project).await;
    let claimed = second.await.unwrap().unwrap();
    assert_eq!(claimed.build.id, build.id);
    assert!(!first.is_finished());
}

async fn job_is_reserved_for_the_busy_runner_that_built_the_project_last(backend: Backend) {
    let fixture = Fixture::new(backend, LONG).await;
    let build = fixture.build().await;
    assert!(fixture.cold.claim().await.is_none(), "it is kept");
    let job = fixture.farm.jobs(&build).await.remove(0);
    let kept = PendingReason::Reserved {
        runner: fixture.warm.id(),
        until: job.queued_at.unwrap() + LONG,
    };
    let line = fixture.farm.farm().queue(&fixture.farm.admin().await).await;
    assert_eq!(line.unwrap()[0].reason, kept);
    assert_eq!(fixture.why(&build).await, StartBlocker::Pending(kept));
    fixture.warm.succeed(fixture.work).await;
    assert!(
        fixture.cold.claim().await.is_none(),
        "the job is still reserved"
    );
    assert_eq!(fixture.warm.claim_named("image").await.build.id, build.id);
}

async fn reserved_job_is_free_after_the_reservation_ends(backend: Backend) {
    let fixture = Fixture::new(backend, LONG).await;
    let build = fixture.build().await;
    assert!(fixture.cold.claim().await.is_none(), "it is kept");
    fixture.farm.advance(80);
    let busy = StartBlocker::Pending(PendingReason::AllBusy);
    assert_eq!(fixture.why(&build).await, busy);
    assert_eq!(fixture.cold.claim_named("image").await.build.id, build.id);
}

async fn parked_runner_is_woken_when_a_reservation_ends(backend: Backend) {
    let wait = Duration::from_millis(300);
    let fixture = Fixture::new(backend, wait).await;
    let poll = parked_poll(&fixture.farm, &fixture.cold).await;
    let build = fixture.build().await;
    let claimed = poll.await.unwrap().unwrap();
    assert_eq!(claimed.build.id, build.id);
    let waited = waited(&claimed);
    assert!(
        waited >= TimeDelta::from_std(wait).unwrap() && waited < SOON,
        "{waited}"
    );
}

async fn one_job_of_a_burst_is_reserved_and_the_others_are_free(backend: Backend) {
    let fixture = Fixture::new(backend, LONG).await;
    let other = fixture.farm.project("acme/web").await;
    build_with(&fixture.farm, &other, &fixture.warm).await;
    let poll = parked_poll(&fixture.farm, &fixture.cold).await;
    let (first, second) = (fixture.build().await, fixture.build().await);
    let claimed = poll.await.unwrap().unwrap();
    assert_eq!(claimed.build.id, second.id);
    assert!(waited(&claimed) < SOON);
    assert!(
        fixture.cold.claim().await.is_none(),
        "the first job is reserved"
    );
    // A runner has at most one reserved job, also of another project.
    let build = fixture.farm.build(&other).await;
    assert_eq!(fixture.cold.claim_named("image").await.build.id, build.id);
    assert_eq!(fixture.warm.claim_named("image").await.build.id, first.id);
}

async fn no_job_is_reserved_if_the_wait_is_zero(backend: Backend) {
    let fixture = Fixture::new(backend, Duration::ZERO).await;
    let poll = parked_poll(&fixture.farm, &fixture.cold).await;
    let build = fixture.build().await;
    let claimed = poll.await.unwrap().unwrap();
    assert_eq!(claimed.build.id, build.id);
    assert!(waited(&claimed) < SOON);
}

async fn deleted_runner_delays_no_job(backend: Backend) {
    let fixture = Fixture::new(backend, LONG).await;
    fixture.farm.pause_runner(fixture.warm.id()).await;
    let build = fixture.build().await;
    assert_eq!(fixture.cold.claim_named("image").await.build.id, build.id);

    let fixture = Fixture::new(backend, LONG).await;
    fixture.warm.leave().await;
    let build = fixture.build().await;
    // Its running job may have been lost already, and its retry may come first.
    let mut next = fixture.cold.claim_named("image").await;
    if next.build.id == fixture.work.build.id {
        next = fixture.cold.claim_named("image").await;
    }
    assert_eq!(next.build.id, build.id);

    let fixture = Fixture::new(backend, LONG).await;
    fixture.warm.succeed(fixture.work).await;
    fixture.farm.advance(3600);
    let build = fixture.farm.build(&fixture.project).await;
    assert_eq!(fixture.cold.claim_named("image").await.build.id, build.id);
}

async fn no_job_is_reserved_while_a_warm_runner_is_idle(backend: Backend) {
    let fixture = Fixture::new(backend, LONG).await;
    fixture.build().await;
    fixture.farm.advance(80);
    fixture
        .cold
        .succeed(fixture.cold.claim_named("image").await)
        .await;
    // Both have built the project and one is idle; a third runner may claim the job.
    let build = fixture.build().await;
    let third = ScriptedRunner::on(&fixture.farm, "amd64").await;
    assert_eq!(third.claim_named("image").await.build.id, build.id);
}

async fn dependent_job_is_reserved_for_the_runner_of_its_predecessor(backend: Backend) {
    let fixture = Fixture::new(backend, LONG).await;
    fixture.warm.succeed(fixture.work).await;
    let jobs = jobs_named(&[("base", &[]), ("app", &["base"])]);
    fixture.farm.build_defined(&fixture.project, jobs).await;
    let base = fixture.warm.claim_named("base").await;
    let poll = parked_poll(&fixture.farm, &fixture.cold).await;
    fixture.warm.succeed(base).await;
    fixture.warm.claim_named("app").await;
    assert!(!poll.is_finished());
}

async fn job_is_reserved_however_it_becomes_pending(backend: Backend) {
    let fixture = Fixture::new(backend, LONG).await;
    let admin = fixture.farm.admin().await;
    let farm = fixture.farm.farm();
    fixture.build().await;
    fixture.farm.advance(80);
    let failed = fixture.cold.claim_named("image").await;
    let job = failed.job.clone();
    fixture.cold.fail(failed).await;
    farm.retry_job(&admin, &fixture.project, &job)
        .await
        .unwrap();
    assert!(fixture.cold.claim().await.is_none(), "a retry is reserved");

    let fixture = Fixture::new(backend, LONG).await;
    let mut by_hand = Definition::single_image();
    by_hand.jobs[0].when = When::Manual;
    let build = fixture.farm.build_defined(&fixture.project, by_hand).await;
    assert!(
        fixture.cold.claim().await.is_none(),
        "the manual job was not played"
    );
    let job = fixture.farm.jobs(&build).await.remove(0);
    let admin = fixture.farm.admin().await;
    let played = fixture
        .farm
        .farm()
        .play_job(&admin, &fixture.project, &job)
        .await;
    assert_eq!(played.unwrap().state.name(), "pending");
    assert!(
        fixture.cold.claim().await.is_none(),
        "a played job is reserved"
    );
    fixture.farm.advance(80);
    assert_eq!(fixture.cold.claim_named("image").await.build.id, build.id);
}

async fn restarted_coordinator_knows_when_a_reservation_ends(backend: Backend) {
    let mut fixture = Fixture::new(backend, Duration::from_secs(2)).await;
    let build = fixture.build().await;
    fixture.farm.restart().await;
    let claimed = fixture.cold.at(fixture.farm.farm()).next().await;
    assert_eq!(claimed.build.id, build.id);
    let waited = waited(&claimed);
    assert!(waited >= TimeDelta::seconds(2) && waited < SOON, "{waited}");
}

mod postgres_two_coordinators {
    use super::*;

    #[tokio::test]
    async fn other_coordinator_knows_when_a_reservation_ends() {
        let fixture = Fixture::new(Backend::Postgres, Duration::from_millis(300)).await;
        let second = fixture.farm.second_coordinator().await;
        let there = fixture.cold.at(&second.farm);
        let poll = there.hold().await;
        wait_until(LIMIT, "the poll is parked", || async {
            second.farm.parked_polls() == 1
        })
        .await;
        let build = fixture.build().await;
        let claimed = poll.await.unwrap().unwrap();
        assert_eq!(claimed.build.id, build.id);
        let waited = waited(&claimed);
        assert!(
            waited >= TimeDelta::milliseconds(300) && waited < SOON,
            "{waited}"
        );
    }

    #[tokio::test]
    async fn reserved_job_wakes_its_runner_at_the_other_coordinator() {
        let fixture = Fixture::new(Backend::Postgres, LONG).await;
        let second = fixture.farm.second_coordinator().await;
        let here = parked_poll(&fixture.farm, &fixture.cold).await;
        // The runner is busy, and can run one more job.
        let there = fixture.warm.at(&second.farm);
        let poll = there.hold().await;
        wait_until(LIMIT, "the poll is parked", || async {
            second.farm.parked_polls() == 1
        })
        .await;
        let build = fixture.build().await;
        let claimed = poll.await.unwrap().unwrap();
        assert_eq!(claimed.build.id, build.id);
        assert!(waited(&claimed) < SOON);
        assert!(!here.is_finished());
    }
}
