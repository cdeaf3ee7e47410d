//! All SQL of the farm: tables, rows, queries, migrations, on SQLite and on PostgreSQL.
//!
//! Callers pass closures to [`Store::read`] and [`Store::write`] and call the functions of one
//! aggregate (`jobs`, `runners`, …) inside; they never see a pool, a thread or a transaction.
//! A closure only runs SQL: it may share a commit with others, or be rolled back and run again.
//! It returns what should happen after the commit, such as which runners to wake and which blobs
//! to delete.
//!
//! | folder | what it holds |
//! | --- | --- |
//! | `engine` | connections, the writer thread, migrations, row locks, signals between coordinators |
//! | `queue` | queue keys, claims, reservations for runners that built a project recently |
//! | `jobs` | job rows and states, leases, needs, retries, traces, artifacts |
//! | `builds` | build rows, commits, commit statuses, uploaded sources |
//! | `settle` | what the end or the start of a job changes in its build |
//! | `projects` | projects, namespaces, pipelines, secrets, deploy keys, triggers, webhooks |
//! | `runners` | runners, their managers, registration tokens |
//! | `people` | users, members, tokens, robots, logins |

mod engine;
mod error;
pub mod schema;

pub mod builds;
pub mod jobs;
pub mod people;
pub mod projects;
pub mod queue;
pub mod runners;
pub mod settle;

pub use builds::{by_commit, commits, statuses, uploads};
pub use jobs::{artifact_uploads, artifacts, lists as job_lists, phases, retries, traces};
pub use people::{cli_logins, log_keys, robots, tokens};
pub use projects::{
    deploy_keys, pipelines, removal, search as project_search, secrets, triggers, webhooks,
};
pub use queue::reservations;
pub use runners::{managers, registration};

pub use engine::connection::{Conn, DatabaseUrl};
pub use engine::page::{MAX_ROWS, Page, Part, Slice};
pub use engine::signals::Signal;
pub use engine::store::Store;
pub use error::StoreError;
pub use queue::types::{ClaimRequest, ClaimingManager};
