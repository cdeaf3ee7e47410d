//! SQL that the query builder cannot express, prepared once like any other query.
//!
//! A partial index serves a query only if the query contains the condition of the index literally;
//! a bound parameter does not match. Plain SQL text would be parsed at each call, which for a claim
//! costs as much as the claim itself.

use diesel::backend::Backend;
use diesel::expression::{
    AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate,
};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};
use diesel::{QueryResult, RunQueryDsl};

macro_rules! condition {
    ($(#[$doc:meta])* $name:ident, $sql:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, QueryId)]
        pub(crate) struct $name;

        impl Expression for $name {
            type SqlType = Bool;
        }

        impl<DB: Backend> QueryFragment<DB> for $name {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
                out.push_sql($sql);
                Ok(())
            }
        }

        impl<Source> SelectableExpression<Source> for $name {}
        impl<Source> AppearsOnTable<Source> for $name {}

        impl<Grouping> ValidGrouping<Grouping> for $name {
            type IsAggregate = is_aggregate::Never;
        }
    };
}

/// The sum of a column `size_bytes`, as a number of the same kind on both back ends.
pub(crate) const SUM_OF_SIZES: &str = "CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT)";

condition!(
    /// The job is pending: the condition of the index of pending jobs.
    IsPending,
    "(jobs.state = 'pending')"
);
condition!(
    /// The job is running: the condition of the index of leases.
    IsRunning,
    "(jobs.state = 'running')"
);

/// The queue keys with pending jobs, with the settings and the number of running jobs of their
/// projects. Found by skipping from key to key in the index of pending jobs.
#[derive(Clone, Copy, Debug, QueryId)]
pub(crate) struct PendingQueues;

/// Queue key, project, tags, whether shared runners may serve it, limit of running jobs, whether
/// builds are enabled, number of running jobs.
pub(crate) type PendingQueueRow = (i64, i64, String, bool, Option<i32>, bool, i32);

impl Query for PendingQueues {
    type SqlType = (BigInt, BigInt, Text, Bool, Nullable<Integer>, Bool, Integer);
}

impl<DB: Backend> QueryFragment<DB> for PendingQueues {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql(
            // `SELECT DISTINCT` would read the index entry of every pending job. Each step of the
            // recursion jumps to the next key instead.
            "WITH RECURSIVE open(k) AS ( \
                 SELECT min(queue_key_id) FROM jobs WHERE state = 'pending' \
                 UNION ALL \
                 SELECT (SELECT min(queue_key_id) FROM jobs \
                         WHERE state = 'pending' AND queue_key_id > open.k) \
                 FROM open WHERE open.k IS NOT NULL \
             ) \
             SELECT q.id, q.project_id, q.tags, p.shared_runners, p.max_running, \
                    p.builds_enabled, l.running \
             FROM open JOIN queue_keys q ON q.id = open.k \
             JOIN projects p ON p.id = q.project_id \
             JOIN project_loads l ON l.project_id = q.project_id",
        );
        Ok(())
    }
}

impl<Conn> RunQueryDsl<Conn> for PendingQueues {}

/// A statement of fixed text with integers in it, prepared once. The query builder's updates are
/// parsed at each call, because the set of assigned columns may differ between calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FixedStatement<const N: usize> {
    /// The text before each number.
    pub(crate) before: [&'static str; N],
    pub(crate) numbers: [i64; N],
    /// The text after the last number.
    pub(crate) after: &'static str,
}

impl<const N: usize> QueryId for FixedStatement<N> {
    type QueryId = ();

    // Diesel then uses the text itself as the key of its statement cache.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<const N: usize> QueryFragment<diesel::sqlite::Sqlite> for FixedStatement<N> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, diesel::sqlite::Sqlite>) -> QueryResult<()> {
        for (text, number) in self.before.iter().zip(&self.numbers) {
            out.push_sql(text);
            out.push_bind_param::<BigInt, _>(number)?;
        }
        out.push_sql(self.after);
        Ok(())
    }
}

impl<Conn, const N: usize> RunQueryDsl<Conn> for FixedStatement<N> {}

/// Records which request claimed a job. Prepared once, as it belongs to the claims.
#[derive(Clone, Debug)]
pub(crate) struct RecordClaimRequest {
    pub(crate) request: String,
    pub(crate) job: i64,
}

impl QueryId for RecordClaimRequest {
    type QueryId = ();

    // As for `FixedStatement`.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<diesel::sqlite::Sqlite> for RecordClaimRequest {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, diesel::sqlite::Sqlite>) -> QueryResult<()> {
        out.push_sql("UPDATE jobs SET claim_request = ");
        out.push_bind_param::<Text, _>(&self.request)?;
        out.push_sql(" WHERE id = ");
        out.push_bind_param::<BigInt, _>(&self.job)
    }
}

impl<Conn> RunQueryDsl<Conn> for RecordClaimRequest {}
