//! The indexes that serve lists.

use std::sync::{Arc, Mutex};

use diesel::connection::{Connection as _, InstrumentationEvent};
use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl as _};
use slipway_domain::{BuildState, StateName};
use slipway_store::builds::{self, Filter};
use slipway_store::{Conn, Page, StoreError, job_lists, queue};
use slipway_testkit::Backend;

use crate::many_builds::{ManyBuilds, commit_of, created_at, usual_commit};
use crate::{Fixture, commit, slice};

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

/// The steps of the plan of each statement that `list` runs.
fn plans(
    conn: &mut Conn,
    list: impl FnOnce(&mut Conn) -> Result<(), StoreError>,
) -> Result<Vec<String>, StoreError> {
    let statements = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&statements);
    conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            let text = query.to_string();
            let text = text.split(" -- binds: ").next().unwrap_or_default();
            seen.lock().unwrap().push(text.to_owned());
        }
    });
    list(conn)?;
    conn.set_instrumentation(|_: InstrumentationEvent<'_>| {});
    let statements = std::mem::take(&mut *statements.lock().unwrap());
    assert!(!statements.is_empty(), "the statements were not seen");
    let mut steps = Vec::new();
    for statement in statements {
        let explain = format!("EXPLAIN QUERY PLAN {statement}");
        let plan: Vec<Step> = diesel::sql_query(explain).load(conn)?;
        steps.extend(plan.into_iter().map(|step| step.detail));
    }
    Ok(steps)
}

/// A list, and the index that serves it.
type Case = (
    &'static str,
    &'static str,
    Box<dyn Fn(&mut Conn, ManyBuilds) -> Result<(), StoreError> + Send>,
);

fn case<T>(
    name: &'static str,
    index: &'static str,
    list: impl Fn(&mut Conn, ManyBuilds) -> Result<T, StoreError> + Send + 'static,
) -> Case {
    let list = move |conn: &mut Conn, many: ManyBuilds| list(conn, many).map(drop);
    (name, index, Box::new(list))
}

fn filtered(name: &'static str, index: &'static str, filter: fn(ManyBuilds) -> Filter) -> Case {
    case(name, index, move |conn, many| {
        let page = Page {
            before: Some(2000),
            limit: 50,
        };
        builds::of_project(conn, many.project, &filter(many), page)
    })
}

fn cases() -> Vec<Case> {
    let part = slice(0, None, 1000);
    vec![
        filtered("builds", "builds_project", |_| Filter::default()),
        filtered("builds in a state", "builds_state", |_| Filter {
            state: Some(BuildState::Canceled),
            ..Filter::default()
        }),
        filtered("builds of a pipeline", "builds_pipeline", |many| Filter {
            pipeline: Some(many.rare),
            ..Filter::default()
        }),
        filtered("builds of a commit", "builds_sha", |_| Filter {
            sha: Some(commit_of(7)),
            state: Some(BuildState::Canceled),
            ..Filter::default()
        }),
        filtered("builds of a ref", "builds_ref", |_| Filter {
            git_ref: Some("main".parse().unwrap()),
            ..Filter::default()
        }),
        // Of `main` and the canceled builds, the latter are fewer.
        filtered("canceled builds of a ref", "builds_state", |_| Filter {
            git_ref: Some("main".parse().unwrap()),
            state: Some(BuildState::Canceled),
            ..Filter::default()
        }),
        case("builds since a time", "builds_created", |conn, many| {
            builds::created_since(conn, many.project, Some(created_at(9)), 50)
        }),
        case(
            "a part of the builds",
            "builds_project",
            move |conn, many| builds::slice_of_project(conn, many.project, part),
        ),
        case("a part of the jobs", "jobs_project", move |conn, many| {
            job_lists::slice_of_project(conn, many.project, &[], part)
        }),
        case("jobs in some states", "jobs_state", move |conn, many| {
            let states = [StateName::Failed, StateName::Canceled];
            job_lists::slice_of_project(conn, many.project, &states, part)
        }),
        case("jobs of a commit", "jobs_build", move |conn, many| {
            job_lists::slice_of_commit(conn, many.project, &commit(commit_of(7)), part)
        }),
        case(
            "jobs of the usual commit",
            "jobs_project",
            move |conn, many| {
                job_lists::slice_of_commit(conn, many.project, &commit(usual_commit()), part)
            },
        ),
        case("short queue", "jobs_pending", |conn, _| {
            queue::backlogs_of_few(conn, 100)
        }),
        case("few pending keys", "jobs_pending", |conn, many| {
            queue::pending_keys(conn, many.project)
        }),
    ]
}

#[tokio::test]
async fn every_list_is_served_by_an_index_in_its_order() {
    let fixture = Fixture::start(Backend::Sqlite).await;
    for (name, index, list) in cases() {
        let steps = fixture
            .read(move |conn, many| plans(conn, |conn| list(conn, many)))
            .await;
        let served = format!("INDEX {index} ");
        assert!(
            steps
                .iter()
                .any(|step| format!("{step} ").contains(&served)),
            "{name}: {steps:#?}"
        );
        for step in &steps {
            let scans = ["SCAN builds", "SCAN jobs"].contains(&step.as_str());
            // The few jobs of a commit and keys of a project are sorted; the rows of a part were found before
            // by their ids.
            let may_sort = ["part", "jobs", "few"]
                .iter()
                .any(|word| name.contains(word));
            let sorts = step.contains("TEMP B-TREE") && !may_sort;
            assert!(!scans && !sorts, "{name}: {steps:#?}");
        }
    }
}
