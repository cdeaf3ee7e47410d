//! Lists of builds and jobs: parts, totals and filters.
#![expect(clippy::unwrap_used, reason = "in a test a panic is a failure")]

mod many_builds;
mod plans;

use diesel::connection::SimpleConnection as _;
use many_builds::{ManyBuilds, commit_of, create_project, created_at, more_builds, usual_commit};
use slipway_domain::{BuildState, PipelineId, RefName, StateName};
use slipway_store::builds::{self, Build, Filter};
use slipway_store::job_lists::{self, CommitFilter};
use slipway_store::jobs::Job;
use slipway_store::{Conn, DatabaseUrl, Page, Part, Slice, Store, StoreError, queue};
use slipway_testkit::postgres::{Database, migrated_database};
use slipway_testkit::{Backend, on_both_back_ends};
use tempfile::TempDir;

on_both_back_ends!(
    a_list_is_counted_up_to_the_maximum,
    parts_from_a_position_and_after_an_id_are_the_same,
    jobs_in_several_states_are_in_the_order_of_ids,
    a_commit_with_thousands_of_builds_is_listed,
    filters_can_be_combined,
    builds_since_a_time_are_in_the_order_of_their_creation,
    pending_jobs_are_counted_by_queue_key,
);

/// Enough builds for filters that match many, and for some that match few.
const BUILDS: i64 = 4000;

/// A database with [`BUILDS`] builds.
struct Fixture {
    store: Store,
    many: ManyBuilds,
    _database: Option<Database>,
    _dir: TempDir,
}

impl Fixture {
    async fn start(backend: Backend) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = match backend {
            Backend::Sqlite => None,
            Backend::Postgres => Some(migrated_database().await),
        };
        let url = match &database {
            Some(database) => database.url().parse().unwrap(),
            None => DatabaseUrl::Sqlite(dir.path().join("lists.db")),
        };
        let store = Store::open(&url).await.unwrap();
        let many = create_project(&store).await.unwrap();
        let fixture = Self {
            store,
            many,
            _database: database,
            _dir: dir,
        };
        fixture.execute(more_builds(many, BUILDS)).await;
        fixture
    }

    async fn execute(&self, statements: String) {
        let run = move |conn: &mut Conn| Ok(conn.batch_execute(&statements)?);
        self.store.write(run).await.unwrap();
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Conn, ManyBuilds) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        let many = self.many;
        self.store.read(move |conn| read(conn, many)).await.unwrap()
    }

    async fn jobs(&self, states: &[StateName], slice: Slice) -> Part<Job> {
        let states = states.to_vec();
        self.read(move |conn, many| job_lists::slice_of_project(conn, many.project, &states, slice))
            .await
    }

    async fn builds(&self, filter: Filter, limit: i64) -> Vec<Build> {
        let page = Page {
            before: None,
            limit,
        };
        self.read(move |conn, many| builds::of_project(conn, many.project, &filter, page))
            .await
    }
}

fn slice(offset: i64, before: Option<i64>, count_to: i64) -> Slice {
    Slice {
        offset,
        before,
        limit: 50,
        count_to,
    }
}

fn ids(jobs: &[Job]) -> Vec<i64> {
    jobs.iter().map(|job| job.id.0).collect()
}

fn commit(sha: slipway_domain::CommitSha) -> CommitFilter {
    CommitFilter {
        sha,
        states: Vec::new(),
        git_ref: None,
        stage: None,
        name: None,
        latest: false,
    }
}

async fn a_list_is_counted_up_to_the_maximum(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let canceled = [StateName::Canceled];
    for (states, length) in [(&[][..], BUILDS), (&canceled[..], 10)] {
        for (count_to, total) in [
            (length + 1, Some(length as u64)),
            (length, Some(length as u64)),
            (length - 1, None),
        ] {
            let part = fixture.jobs(states, slice(0, None, count_to)).await;
            assert_eq!(part.total, total, "{states:?} up to {count_to}");
            assert_eq!(part.has_more, length > 50);
        }
    }
    let list = |conn: &mut Conn, many: ManyBuilds| {
        let known = builds::slice_of_project(conn, many.project, slice(0, None, BUILDS))?;
        let unknown = builds::slice_of_project(conn, many.project, slice(0, None, BUILDS - 1))?;
        Ok((known.total, unknown.total))
    };
    assert_eq!(fixture.read(list).await, (Some(BUILDS as u64), None));
}

async fn parts_from_a_position_and_after_an_id_are_the_same(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for states in [
        &[][..],
        &[StateName::Failed],
        &[StateName::Failed, StateName::Succeeded],
    ] {
        let (mut offset, mut before) = (0, None);
        loop {
            let by_position = fixture.jobs(states, slice(offset, None, 10)).await;
            let after_id = fixture.jobs(states, slice(offset, before, 10)).await;
            assert_eq!(
                ids(&by_position.rows),
                ids(&after_id.rows),
                "{states:?} {offset}"
            );
            assert_eq!(by_position.has_more, after_id.has_more);
            offset += 50;
            before = ids(&after_id.rows).last().copied();
            if !after_id.has_more {
                break;
            }
        }
        assert!(offset >= 150, "{states:?}");
    }
}

async fn jobs_in_several_states_are_in_the_order_of_ids(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let states = [
        StateName::Canceled,
        StateName::Failed,
        StateName::Pending,
        StateName::Failed,
    ];
    let part = fixture.jobs(&states, slice(0, None, BUILDS)).await;
    assert_eq!(part.rows[0].id.0, BUILDS);
    assert_eq!(part.rows[1].id.0, BUILDS - 25);
    let length = BUILDS / 25 + 10 + 1;
    assert_eq!(part.total, Some(length as u64));
    let end = fixture
        .jobs(&states, slice(length - 12, None, BUILDS))
        .await;
    assert_eq!(ids(&end.rows), [25, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
}

async fn a_commit_with_thousands_of_builds_is_listed(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for (filter, expected) in [
        (commit(usual_commit()), 1333),
        (commit(commit_of(100)), 2),
        (
            CommitFilter {
                states: vec![StateName::Canceled, StateName::Pending],
                ..commit(usual_commit())
            },
            3,
        ),
        (
            CommitFilter {
                git_ref: Some("feature-30".to_owned()),
                latest: true,
                ..commit(usual_commit())
            },
            2,
        ),
        (
            CommitFilter {
                name: Some("other".to_owned()),
                ..commit(usual_commit())
            },
            0,
        ),
    ] {
        let shown = format!("{filter:?}");
        let (jobs, total) = fixture
            .read(move |conn, many| {
                let (mut jobs, mut before) = (Vec::new(), None);
                loop {
                    let slice = slice(jobs.len() as i64, before, 2000);
                    let part = job_lists::slice_of_commit(conn, many.project, &filter, slice)?;
                    jobs.extend(ids(&part.rows));
                    before = jobs.last().copied();
                    if !part.has_more {
                        break Ok((jobs, part.total));
                    }
                }
            })
            .await;
        assert_eq!(jobs.len(), expected, "{shown}");
        assert_eq!(total, Some(expected as u64), "{shown}");
        assert!(jobs.is_sorted_by(|newer, older| newer > older), "{shown}");
    }
}

async fn filters_can_be_combined(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let mut all = Vec::new();
    while all.len() < BUILDS as usize {
        let page = Page {
            before: all.last().map(|build: &Build| build.id.0),
            limit: 1000,
        };
        let next = fixture.read(move |conn, many| {
            builds::of_project(conn, many.project, &Filter::default(), page)
        });
        all.extend(next.await);
    }
    let pipelines = [None, Some(fixture.many.usual), Some(fixture.many.rare)];
    let states = [
        None,
        Some(BuildState::Succeeded),
        Some(BuildState::Canceled),
    ];
    let commits = [None, Some(usual_commit()), Some(commit_of(7))];
    let refs = [
        None,
        Some("main"),
        Some("feature-30"),
        Some("refs/tags/main"),
    ];
    let mut matched = 0;
    for pipeline in pipelines {
        for state in states {
            for sha in &commits {
                for git_ref in refs {
                    let filter = Filter {
                        pipeline,
                        state,
                        sha: sha.clone(),
                        git_ref: git_ref.map(|name| name.parse().unwrap()),
                    };
                    let expected: Vec<i64> = all
                        .iter()
                        .filter(|build| matches(build, &filter))
                        .map(|build| build.id.0)
                        .take(100)
                        .collect();
                    let found = fixture.builds(filter.clone(), 100).await;
                    let found: Vec<i64> = found.iter().map(|build| build.id.0).collect();
                    assert_eq!(found, expected, "{filter:?}");
                    matched += usize::from(!found.is_empty());
                }
            }
        }
    }
    assert!(matched > 20, "{matched}");
}

fn matches(build: &Build, filter: &Filter) -> bool {
    let has_ref = |git_ref: &RefName| {
        build.git_ref.as_ref() == Some(&git_ref.name)
            && git_ref
                .tag_if_known()
                .is_none_or(|tag| tag == build.ref_is_tag)
    };
    filter
        .pipeline
        .is_none_or(|id: PipelineId| id == build.pipeline)
        && filter.state.is_none_or(|state| state == build.state)
        && filter.sha.as_ref().is_none_or(|sha| *sha == build.sha)
        && filter.git_ref.as_ref().is_none_or(has_ref)
}

async fn builds_since_a_time_are_in_the_order_of_their_creation(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let since = |since: Option<i64>, limit: i64| {
        fixture.read(move |conn, many| {
            let since = since.map(created_at);
            let found = builds::created_since(conn, many.project, since, limit)?;
            Ok(found.iter().map(|build| build.id.0).collect::<Vec<_>>())
        })
    };
    assert_eq!(since(None, 2).await, [BUILDS, BUILDS - 1]);
    assert_eq!(since(Some(BUILDS - 1), 5).await, [BUILDS, BUILDS - 1]);
    assert!(since(Some(BUILDS + 1), 5).await.is_empty());
    // The clock of another coordinator was ahead.
    let ahead = format!(
        "UPDATE builds SET created_at = {} WHERE id = 7",
        BUILDS * 2000
    );
    fixture.execute(ahead).await;
    assert_eq!(since(Some(BUILDS), 5).await, [7, BUILDS]);
}

async fn pending_jobs_are_counted_by_queue_key(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let pending = "UPDATE jobs SET state = 'pending', queued_at = 1000 * id WHERE id >= 3991";
    fixture.execute(pending.to_owned()).await;
    let counts = |conn: &mut Conn, many: ManyBuilds| {
        let keys = queue::pending_keys(conn, many.project)?;
        Ok((
            queue::backlogs(conn)?,
            queue::backlogs_of_few(conn, 11)?,
            queue::backlogs_of_few(conn, 10)?,
            queue::backlog(conn, keys[0], 4)?.count,
            keys,
        ))
    };
    let (all, few, too_few, some, keys) = fixture.read(counts).await;
    assert_eq!(keys.len(), 1);
    assert_eq!((all.len(), some), (1, 4));
    assert_eq!(all[&keys[0]].count, 11);
    // The first build is as old as the project.
    assert_eq!(all[&keys[0]].oldest, Some(created_at(1)));
    assert_eq!(few, Some(all));
    assert_eq!(too_few, None);
}
