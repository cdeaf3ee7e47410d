//! All SQL of the farm: tables, rows, queries, migrations, on SQLite and on PostgreSQL.
//!
//! Callers hand closures to [`Store::read`] and [`Store::write`] and call the functions of one
//! aggregate (`jobs`, `runners`, …) inside; they never see a pool, a thread or a transaction.
//! A closure does nothing but SQL: it may share a commit with others, or be rolled back and run
//! again. What should happen next (whom to wake, what to delete) is what it returns.

mod backend;
mod claims;
mod connection;
mod dealing;
pub mod deploy_keys;
mod error;
mod literals;
mod migrations;
mod page;
mod per_backend;
pub mod schema;
mod signals;
mod time;
mod writer;

pub mod artifacts;
pub mod builds;
pub mod by_commit;
pub mod cli_logins;
pub mod commits;
pub mod hooks;
pub mod job_lists;
pub mod jobs;
pub mod log_keys;
pub mod managers;
pub mod people;
pub mod phases;
pub mod pipelines;
pub mod project_search;
pub mod projects;
pub mod queue;
pub mod registration;
pub mod removal;
pub mod retries;
pub mod robots;
pub mod runners;
pub mod secrets;
pub mod statuses;
pub mod tokens;
pub mod traces;
pub mod triggers;
pub mod uploads;
pub mod warm;

pub use backend::Store;
pub use claims::ClaimRequest;
pub use connection::{Conn, DatabaseUrl};
pub use error::StoreError;
pub use page::{Page, Slice};
pub use signals::Signal;
