//! Measures what lists of builds and jobs cost with a million builds: the first page, a page near the end, and
//! each filter, compared with a raw keyset query in the same run.
//!
//! `cargo xtask bench lists` runs it. PostgreSQL is measured if `SLIPWAY_TEST_POSTGRES` names a
//! server. A number of builds as the last argument replaces the million.

#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

mod database;
#[path = "../tests/lists/many_builds.rs"]
mod many_builds;

use std::sync::Arc;
use std::time::Instant;

use database::BenchDatabase;
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl as _};
use many_builds::{ManyBuilds, commit_of, create_project, created_at, more_builds, usual_commit};
use slipway_domain::{BuildState, StateName};
use slipway_store::builds::{self, Filter};
use slipway_store::job_lists::{self, CommitFilter};
use slipway_store::{Conn, Page, Slice, Store, StoreError, queue};

/// How many builds there are, unless an argument says otherwise.
const BUILDS: i64 = 1_000_000;
/// How often each list is read.
const ROUNDS: usize = 21;
/// The rows of a page.
const LIMIT: i64 = 50;
/// The longest list that is counted, as in the API that shows totals.
const COUNT_TO: i64 = 10_000;

type List = Arc<dyn Fn(&mut Conn) -> Result<usize, StoreError> + Send + Sync>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().filter_map(|text| text.parse().ok());
    let builds = numbers.next_back().unwrap_or(BUILDS);
    println!("SQLite, {builds} builds");
    measure(BenchDatabase::sqlite()?, builds).await?;
    match std::env::var("SLIPWAY_TEST_POSTGRES") {
        Ok(server) => {
            println!("PostgreSQL, {builds} builds");
            measure(BenchDatabase::postgres(&server)?, builds).await
        }
        Err(_) => {
            println!("PostgreSQL: skipped, because SLIPWAY_TEST_POSTGRES is not set");
            Ok(())
        }
    }
}

async fn measure(database: BenchDatabase, builds: i64) -> anyhow::Result<()> {
    let store = Store::open(&database.url).await?;
    let many = create_project(&store).await?;
    database.execute(&more_builds(many, builds))?;
    database.vacuum()?;
    let (raw, lists) = (raw(many), lists(many, builds));
    print(&store, &raw, lists).await?;
    // All jobs wait again, which are as many pending jobs as builds.
    database
        .execute("UPDATE jobs SET state = 'pending', started_at = NULL, finished_at = NULL;")?;
    database.vacuum()?;
    let queue = [
        (
            "pending jobs, if they are few",
            list(|conn| Ok(queue::backlogs_of_few(conn, 100)?.map_or(0, |keys| keys.len()))),
        ),
        (
            "a hundred pending jobs of a key",
            list(move |conn| {
                let keys = queue::pending_keys(conn, many.project)?;
                let key = keys.first().copied().ok_or(StoreError::NotFound("key"))?;
                Ok(queue::backlog(conn, key, 100)?.count as usize)
            }),
        ),
        (
            "all pending jobs (in the background)",
            list(|conn| Ok(queue::backlogs(conn)?.len())),
        ),
    ];
    print(&store, &raw, queue.into()).await
}

/// Reads each list in turn with the raw query, and prints the medians.
async fn print(store: &Store, raw: &List, lists: Vec<(&str, List)>) -> anyhow::Result<()> {
    for (name, list) in lists {
        let (mut own, mut base, mut rows) = (Vec::new(), Vec::new(), 0);
        for _ in 0..ROUNDS {
            base.push(time(store, raw).await?.0);
            let (took, found) = time(store, &list).await?;
            own.push(took);
            rows = found;
        }
        let (own, base) = (median(own), median(base));
        println!(
            "  {own:>9.3} ms  {:>6.1} x raw keyset query ({base:.3} ms)  {rows:>3} rows  {name}",
            own / base
        );
    }
    Ok(())
}

/// Milliseconds of one read without the way to its thread, and the number of rows.
async fn time(store: &Store, list: &List) -> anyhow::Result<(f64, usize)> {
    let list = Arc::clone(list);
    let read = move |conn: &mut Conn| {
        let begin = Instant::now();
        let rows = list(conn)?;
        Ok((begin.elapsed().as_secs_f64() * 1000.0, rows))
    };
    Ok(store.read(read).await?)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn list(read: impl Fn(&mut Conn) -> Result<usize, StoreError> + Send + Sync + 'static) -> List {
    Arc::new(read)
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    #[expect(
        dead_code,
        reason = "only the number of rows counts, but the row must be read as the store reads it"
    )]
    id: i64,
}

/// The newest builds by their ids: what every list is compared with.
fn raw(many: ManyBuilds) -> List {
    let sql = format!(
        "SELECT * FROM builds WHERE project_id = {} AND id < {} ORDER BY id DESC LIMIT {LIMIT}",
        many.project.0,
        i64::MAX
    );
    list(move |conn| {
        let rows: Vec<Row> = diesel::sql_query(&sql).load(conn)?;
        Ok(rows.len())
    })
}

fn filtered(many: ManyBuilds, before: Option<i64>, filter: Filter) -> List {
    list(move |conn| {
        let page = Page {
            before,
            limit: LIMIT,
        };
        Ok(builds::of_project(conn, many.project, &filter, page)?.len())
    })
}

fn slice(offset: i64, before: Option<i64>) -> Slice {
    Slice {
        offset,
        before,
        limit: LIMIT,
        count_to: COUNT_TO,
    }
}

fn jobs(many: ManyBuilds, states: &'static [StateName], slice: Slice) -> List {
    list(move |conn| {
        let part = job_lists::slice_of_project(conn, many.project, states, slice)?;
        Ok(part.rows.len())
    })
}

fn of_commit(many: ManyBuilds, filter: CommitFilter) -> List {
    list(move |conn| {
        let part = job_lists::slice_of_commit(conn, many.project, &filter, slice(0, None))?;
        Ok(part.rows.len())
    })
}

fn lists(many: ManyBuilds, builds: i64) -> Vec<(&'static str, List)> {
    let (near_end, all) = (Some(100), Filter::default);
    let commit = |sha| CommitFilter {
        sha,
        states: Vec::new(),
        git_ref: None,
        stage: None,
        name: None,
        latest: false,
    };
    let since = |id: i64| {
        list(move |conn| {
            let since = Some(created_at(id));
            Ok(builds::created_since(conn, many.project, since, LIMIT)?.len())
        })
    };
    vec![
        ("builds, first page", filtered(many, None, all())),
        ("builds, near the end", filtered(many, near_end, all())),
        (
            "builds in a state that one has",
            filtered(
                many,
                None,
                Filter {
                    state: Some(BuildState::Pending),
                    ..all()
                },
            ),
        ),
        (
            "builds in a state that most have",
            filtered(
                many,
                None,
                Filter {
                    state: Some(BuildState::Succeeded),
                    ..all()
                },
            ),
        ),
        (
            "builds of a pipeline with few",
            filtered(
                many,
                None,
                Filter {
                    pipeline: Some(many.rare),
                    ..all()
                },
            ),
        ),
        (
            "builds of a pipeline with most",
            filtered(
                many,
                near_end,
                Filter {
                    pipeline: Some(many.usual),
                    ..all()
                },
            ),
        ),
        (
            "builds of a commit with few",
            filtered(
                many,
                None,
                Filter {
                    sha: Some(commit_of(7)),
                    ..all()
                },
            ),
        ),
        (
            "builds of a commit with many",
            filtered(
                many,
                near_end,
                Filter {
                    sha: Some(usual_commit()),
                    ..all()
                },
            ),
        ),
        (
            "builds of a ref",
            filtered(
                many,
                None,
                Filter {
                    git_ref: "feature-30".parse().ok(),
                    ..all()
                },
            ),
        ),
        (
            "builds of a ref in a state that one has",
            filtered(
                many,
                None,
                Filter {
                    git_ref: "main".parse().ok(),
                    state: Some(BuildState::Pending),
                    ..all()
                },
            ),
        ),
        ("builds since a time, none", since(2 * builds)),
        ("builds since a time, all", since(0)),
        (
            "jobs with total, first page",
            jobs(many, &[], slice(0, None)),
        ),
        (
            "jobs with total, near the end, by the next link",
            jobs(many, &[], slice(builds - 100, near_end)),
        ),
        (
            "jobs with total, near the end, by number",
            jobs(many, &[], slice(builds - 100, None)),
        ),
        (
            "jobs with total, in a state that one has",
            jobs(many, &[StateName::Pending], slice(0, None)),
        ),
        (
            "jobs with total, in a state that most have",
            jobs(many, &[StateName::Succeeded], slice(0, None)),
        ),
        (
            "jobs with total, in two states",
            jobs(
                many,
                &[StateName::Failed, StateName::Canceled],
                slice(0, None),
            ),
        ),
        (
            "builds with total, first page",
            list(move |conn| {
                let part = builds::slice_of_project(conn, many.project, slice(0, None))?;
                Ok(part.rows.len())
            }),
        ),
        (
            "jobs with total, of a commit with few",
            of_commit(many, commit(commit_of(7))),
        ),
        (
            "jobs of a commit with many",
            of_commit(many, commit(usual_commit())),
        ),
    ]
}
