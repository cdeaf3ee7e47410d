//! Random histories of the queue, checked against a model: a job has at most one holder, no job is
//! lost, a finished job stays finished, no limit is exceeded, and a runner gets no job only if
//! there is none that it could run.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]
#![expect(clippy::unwrap_used, reason = "in a test a panic is a failure")]

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use slipway_domain::pipeline::Definition;
use slipway_domain::queue::{Capabilities, RunnerScope};
use slipway_domain::{
    BuildUuid, Event, FeatureSet, JobId, JobState, Outcome, PipelineId, ProjectId, ReportedResult,
    RunnerId, Slug, TagSet, UserId,
};
use slipway_store::pipelines::NewPipeline;
use slipway_store::projects::Settings;
use slipway_store::runners::{About, NewRunner};
use slipway_store::{
    ClaimRequest, DatabaseUrl, Store, builds, jobs, pipelines, projects, queue, retries, runners,
    settle,
};
use slipway_testkit::postgres::migrated_database;

/// The limit of running jobs of each project. The last runner has the tag that the tagged jobs
/// require.
const LIMITS: [Option<u32>; 3] = [None, Some(1), Some(2)];
const RUNNERS: i64 = 4;
const LEASE: TimeDelta = TimeDelta::seconds(10);
const BY_USER: retries::Cause = retries::Cause::Person(UserId(1));

#[derive(Clone, Debug)]
enum Step {
    /// Creates a build of one job in this project, with or without the tag.
    Enqueue { project: usize, tagged: bool },
    /// These runners claim at once.
    Claim(Vec<usize>),
    /// The holder of the nth running job reports success.
    Succeed(usize),
    /// The nth unfinished job is canceled.
    Cancel(usize),
    /// This many seconds pass, and expired leases are ended.
    Advance(i64),
    /// The nth finished job is retried.
    Retry(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..LIMITS.len(), any::<bool>()).prop_map(|(project, tagged)| Step::Enqueue { project, tagged }),
        4 => proptest::collection::vec(0..RUNNERS as usize, 1..6).prop_map(Step::Claim),
        3 => any::<usize>().prop_map(Step::Succeed),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => (1i64..15).prop_map(Step::Advance),
        1 => any::<usize>().prop_map(Step::Retry),
    ]
}

/// The state that the farm should be in.
struct Model {
    store: Store,
    projects: Vec<(ProjectId, PipelineId)>,
    now: DateTime<Utc>,
    /// Every job: its project, whether it requires the tag, and its state.
    jobs: BTreeMap<JobId, (usize, bool, State)>,
    superseded: BTreeSet<JobId>,
    builds: u128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pending,
    Running(i64, DateTime<Utc>),
    Finished,
}

impl Model {
    async fn new(url: &DatabaseUrl) -> Self {
        let store = Store::open(url).await.unwrap();
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let projects = store
            .write(move |conn| {
                let namespace = projects::insert_namespace(conn, &"acme".parse().unwrap(), now)?;
                let mut created = Vec::new();
                for (index, limit) in LIMITS.iter().enumerate() {
                    let settings = Settings {
                        max_running: *limit,
                        ..Settings::of_source("http://example.org/x.git", "main".parse().unwrap())
                    };
                    let name = format!("p{index}").parse().unwrap();
                    let project =
                        projects::insert(conn, namespace.id, &name, &settings, UserId(1), now)?;
                    let first = NewPipeline {
                        project: project.id,
                        slug: Slug::default_pipeline(),
                        definition: Definition::single_image(),
                        from_repository: false,
                    };
                    let pipeline = pipelines::insert(conn, &first, now)?;
                    created.push((project.id, pipeline.id));
                }
                for index in 0..RUNNERS {
                    let token = slipway_domain::RunnerToken::presented(format!("runner {index}"));
                    let new = NewRunner {
                        token: token.hash(),
                        description: String::new(),
                        capabilities: capabilities(index as usize),
                        locked: false,
                        heartbeat: true,
                        paused: false,
                        about: About::default(),
                    };
                    runners::insert(conn, &new, now)?;
                }
                Ok(created)
            })
            .await
            .unwrap();
        Self {
            store,
            projects,
            now,
            jobs: BTreeMap::new(),
            superseded: BTreeSet::new(),
            builds: 0,
        }
    }

    async fn apply(&mut self, step: &Step) {
        match step {
            Step::Enqueue { project, tagged } => self.enqueue(*project, *tagged).await,
            Step::Claim(runners) => self.claim(runners).await,
            Step::Succeed(nth) => self.succeed(*nth).await,
            Step::Cancel(nth) => self.cancel(*nth).await,
            Step::Advance(seconds) => self.advance(*seconds).await,
            Step::Retry(nth) => self.retry(*nth).await,
        }
        self.check().await;
    }

    async fn enqueue(&mut self, project: usize, tagged: bool) {
        self.builds += 1;
        let mut definition = Definition::single_image();
        definition.jobs[0].tags = tags(tagged);
        let new = builds::NewBuild {
            trust: slipway_domain::TrustLevel::Unverified,
            uuid: BuildUuid(uuid::Uuid::from_u128(self.builds)),
            project: self.projects[project].0,
            pipeline: self.projects[project].1,
            sha: "a".repeat(40).parse().unwrap(),
            git_ref: None,
            ref_is_tag: false,
            created_by: None,
            variables: None,
            trigger: None,
            definition,
            package: None,
            pull_login: None,
            submission: builds::Submission::default(),
        };
        let now = self.now;
        let (build, changes) = self
            .store
            .write(move |conn| builds::create(conn, &new, TimeDelta::zero(), now))
            .await
            .unwrap();
        let numbered =
            self.jobs.values().filter(|job| job.0 == project).count() - self.retries_of(project);
        assert_eq!(
            build.number,
            numbered as i64 + 1,
            "build numbers must count up without gaps"
        );
        self.jobs
            .insert(changes.jobs[0], (project, tagged, State::Pending));
    }

    /// How many jobs of a project are retries.
    fn retries_of(&self, project: usize) -> usize {
        self.superseded
            .iter()
            .filter(|job| self.jobs[job].0 == project)
            .count()
    }

    async fn claim(&mut self, runners: &[usize]) {
        let claims: Vec<_> = runners
            .iter()
            .map(|runner| {
                let request = ClaimRequest {
                    runner: RunnerId(1 + *runner as i64),
                    capabilities: capabilities(*runner),
                    request: None,
                    manager: None,
                    lease: LEASE,
                    now: self.now,
                };
                let store = self.store.clone();
                tokio::spawn(async move { store.claim(request).await.unwrap() })
            })
            .collect();
        let mut unserved = Vec::new();
        for (runner, answer) in runners.iter().zip(claims) {
            let Some(claimed) = answer.await.unwrap() else {
                unserved.push(*runner);
                continue;
            };
            let job = self
                .jobs
                .get_mut(&claimed.job)
                .expect("the claimed job exists");
            assert_eq!(
                job.2,
                State::Pending,
                "job {} was claimed although it is not pending",
                claimed.job
            );
            assert!(
                !job.1 || *runner == RUNNERS as usize - 1,
                "the runner lacks the tag"
            );
            job.2 = State::Running(1 + *runner as i64, self.now + LEASE);
        }
        for runner in unserved {
            let left = self
                .jobs
                .iter()
                .find(|(_, job)| self.could_take(runner, job));
            assert!(
                left.is_none(),
                "runner {runner} got no job although {left:?} is pending"
            );
        }
    }

    fn could_take(&self, runner: usize, (project, tagged, state): &(usize, bool, State)) -> bool {
        let below_limit =
            LIMITS[*project].is_none_or(|limit| self.running(*project) < limit as usize);
        let able = !tagged || runner == RUNNERS as usize - 1;
        *state == State::Pending && below_limit && able
    }

    fn running(&self, project: usize) -> usize {
        let running =
            |job: &&(usize, bool, State)| job.0 == project && matches!(job.2, State::Running(..));
        self.jobs.values().filter(running).count()
    }

    async fn succeed(&mut self, nth: usize) {
        let running = self.nth(nth, |state| matches!(state, State::Running(..)));
        let Some((id, State::Running(runner, _))) = running else {
            return;
        };
        self.end(
            id,
            Event::Report(RunnerId(runner), ReportedResult::Succeeded),
        )
        .await;
    }

    async fn cancel(&mut self, nth: usize) {
        if let Some((id, _)) = self.nth(nth, |state| state != State::Finished) {
            self.end(id, Event::Cancel).await;
        }
    }

    async fn end(&mut self, id: JobId, event: Event) {
        let now = self.now;
        let write = move |conn: &mut slipway_store::Conn| {
            jobs::apply(conn, id, event, None, now)?;
            settle::settle_job(conn, id, TimeDelta::zero(), now)
        };
        self.store.write(write).await.unwrap();
        self.jobs.get_mut(&id).unwrap().2 = State::Finished;
        // A late report finds the job finished and changes nothing.
        let late =
            move |conn: &mut slipway_store::Conn| jobs::apply(conn, id, Event::Cancel, None, now);
        assert!(self.store.write(late).await.is_err());
    }

    async fn advance(&mut self, seconds: i64) {
        self.now += TimeDelta::seconds(seconds);
        let now = self.now;
        let expired = self
            .store
            .read(move |conn| jobs::lapsed(conn, now, 1000))
            .await
            .unwrap();
        let expected: BTreeSet<JobId> = self
            .jobs
            .iter()
            .filter(|(_, job)| matches!(job.2, State::Running(_, until) if until <= now))
            .map(|(id, _)| *id)
            .collect();
        assert_eq!(expired.iter().copied().collect::<BTreeSet<_>>(), expected);
        for id in expired {
            self.end(id, Event::CheckLease { now }).await;
        }
    }

    async fn retry(&mut self, nth: usize) {
        let finished: Vec<JobId> = self
            .jobs
            .iter()
            .filter(|(id, job)| job.2 == State::Finished && !self.superseded.contains(id))
            .map(|(id, _)| *id)
            .collect();
        let Some(id) = finished.get(nth % finished.len().max(1)).copied() else {
            return;
        };
        let now = self.now;
        let (new, _) = self
            .store
            .write(move |conn| retries::retry_job(conn, id, BY_USER, TimeDelta::zero(), now))
            .await
            .unwrap();
        self.superseded.insert(id);
        let (project, tagged, _) = self.jobs[&id];
        self.jobs.insert(new.id, (project, tagged, State::Pending));
        let again = self
            .store
            .write(move |conn| retries::retry_job(conn, id, BY_USER, TimeDelta::zero(), now))
            .await;
        assert!(again.is_err(), "a job can be retried only once");
    }

    fn nth(&self, nth: usize, wanted: impl Fn(State) -> bool) -> Option<(JobId, State)> {
        let all: Vec<(JobId, State)> = self
            .jobs
            .iter()
            .filter(|(_, job)| wanted(job.2))
            .map(|(id, job)| (*id, job.2))
            .collect();
        all.get(nth % all.len().max(1)).copied()
    }

    /// Checks that the store agrees with the model about every job and about the running jobs.
    async fn check(&self) {
        for (id, (_, _, state)) in &self.jobs {
            let id = *id;
            let stored = self
                .store
                .read(move |conn| jobs::get(conn, id))
                .await
                .unwrap();
            let same = match (stored.state, state) {
                (JobState::Pending, State::Pending) => true,
                (JobState::Running(lease, _), State::Running(runner, until)) => {
                    lease.runner.0 == *runner && lease.expires_at == *until
                }
                (JobState::Done(outcome), State::Finished) => outcome != Outcome::Skipped,
                _ => false,
            };
            assert!(same, "job {id} is {:?} instead of {state:?}", stored.state);
            assert_eq!(stored.superseded, self.superseded.contains(&id));
        }
        for (index, (project, _)) in self.projects.iter().enumerate() {
            let project = *project;
            let counted = self
                .store
                .read(move |conn| queue::running(conn, project))
                .await
                .unwrap();
            assert_eq!(counted as usize, self.running(index));
            assert!(LIMITS[index].is_none_or(|limit| counted <= limit));
        }
    }
}

fn tags(tagged: bool) -> TagSet {
    TagSet::from_list(if tagged { "special" } else { "" }).unwrap()
}

fn capabilities(runner: usize) -> Capabilities {
    Capabilities {
        tags: tags(runner == RUNNERS as usize - 1),
        run_untagged: true,
        scope: RunnerScope::Shared,
        features: FeatureSet::default(),
    }
}

/// Runs random histories. `fresh` creates a database for each, which lives as long as the returned
/// guard.
fn histories<G>(cases: u32, fresh: impl AsyncFn() -> (DatabaseUrl, G)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let steps = proptest::collection::vec(step(), 1..40);
    let outcome = runner.run(&steps, |steps| {
        runtime.block_on(async {
            let (url, _guard) = fresh().await;
            let mut model = Model::new(&url).await;
            for step in &steps {
                model.apply(step).await;
            }
        });
        Ok(())
    });
    outcome.unwrap();
}

mod sqlite {
    use super::*;

    #[test]
    fn random_histories_keep_the_queue_consistent() {
        histories(48, async || {
            let dir = tempfile::tempdir().unwrap();
            (DatabaseUrl::Sqlite(dir.path().join("x.db")), dir)
        });
    }
}

mod postgres {
    use super::*;

    #[test]
    fn random_histories_keep_the_queue_consistent() {
        histories(12, async || {
            let database = migrated_database().await;
            (database.url().parse().unwrap(), database)
        });
    }
}
