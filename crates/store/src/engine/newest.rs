//! The newest rows with some values, and how many there are, each read with the one index that has them in the
//! order of the list.
//!
//! The query builder cannot say which index that is, and both databases choose badly. SQLite keeps no
//! statistics: of two indexes on equally many columns it may take the one whose values match nearly every
//! row. PostgreSQL reads the primary key backwards if many rows match, also when all of these are at its
//! other end. For `state IN (…)`, both read all rows in these states and sort them.

use diesel::backend::Backend;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, HasSqlType, Text};
use diesel::{QueryResult, RunQueryDsl};

use crate::engine::connection::Conn;
use crate::engine::page::{Part, Slice};
use crate::error::StoreError;

/// The value of a column.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Number(i64),
    Text(&'a str),
    Flag(bool),
}

/// How rows of a list are found.
#[derive(Clone, Debug)]
pub(crate) enum Find<'a> {
    /// By an index on these columns and the id. No value is a flag.
    Key(Vec<(&'static str, Value<'a>)>),
    /// By their builds, which are few, so that their rows can be sorted.
    Builds(&'a [i64]),
}

/// A condition that is checked on each row.
#[derive(Clone, Debug)]
pub(crate) struct Check<'a> {
    /// A column, or a subquery in parentheses.
    pub(crate) expression: &'static str,
    /// The values that it may have, all of one kind.
    pub(crate) any_of: Vec<Value<'a>>,
}

impl<'a> Check<'a> {
    pub(crate) fn new(expression: &'static str, value: Value<'a>) -> Self {
        Self {
            expression,
            any_of: vec![value],
        }
    }
}

/// The rows of a list.
#[derive(Clone, Debug)]
pub(crate) struct Newest<'a> {
    pub(crate) table: &'static str,
    /// The list has the rows that each of these finds. No row is found twice.
    pub(crate) found: Vec<Find<'a>>,
    pub(crate) checks: Vec<Check<'a>>,
}

impl Newest<'_> {
    /// The ids of up to `limit` rows below an id, newest first, after `skipped` rows.
    pub(crate) fn ids(
        &self,
        conn: &mut Conn,
        below: i64,
        limit: i64,
        skipped: i64,
    ) -> Result<Vec<i64>, StoreError> {
        let ids = Statement {
            rows: self,
            on_postgres: matches!(conn, Conn::Postgres(_)),
            below,
            limit,
            skipped,
            limit_each: if self.found.len() > 1 {
                limit.saturating_add(skipped)
            } else {
                limit
            },
            counts: false,
        };
        Ok(ids.load(conn)?)
    }

    /// How many rows there are, counted up to `limit`.
    pub(crate) fn count(&self, conn: &mut Conn, limit: i64) -> Result<i64, StoreError> {
        let count = Statement {
            rows: self,
            on_postgres: matches!(conn, Conn::Postgres(_)),
            below: i64::MAX,
            limit,
            skipped: 0,
            limit_each: limit,
            counts: true,
        };
        Ok(count.get_result(conn)?)
    }

    /// The ids of a part of the rows.
    pub(crate) fn part(&self, conn: &mut Conn, slice: Slice) -> Result<Part<i64>, StoreError> {
        let ids = self.ids(conn, slice.below(), slice.fetched(), slice.skipped())?;
        slice.part(ids, |limit| self.count(conn, limit))
    }
}

/// Reads ids, or counts them.
#[derive(Clone, Copy, Debug)]
struct Statement<'a> {
    rows: &'a Newest<'a>,
    on_postgres: bool,
    below: i64,
    limit: i64,
    skipped: i64,
    /// How many rows each of the finds contributes at most.
    limit_each: i64,
    counts: bool,
}

impl Statement<'_> {
    /// Writes the query for the rows that `find` finds, newest first.
    fn walk_found<'b, DB: Bindable>(
        &'b self,
        find: &'b Find<'_>,
        out: &mut AstPass<'_, 'b, DB>,
    ) -> QueryResult<()>
    where
        i64: ToSql<BigInt, DB>,
        str: ToSql<Text, DB>,
    {
        out.push_sql("SELECT id FROM ");
        out.push_sql(self.rows.table);
        match find {
            Find::Key(key) if self.on_postgres => {
                // With an equality, the column counts as sorted in any index. Compared as a row, and sorted
                // by all columns, only the index on these columns serves.
                out.push_sql(" WHERE ");
                walk_row(key, " >= (", None, out)?;
                out.push_sql(" AND ");
                walk_row(key, " < (", Some(&self.below), out)?;
            }
            Find::Key(key) => {
                out.push_sql(" WHERE id < ");
                out.push_bind_param::<BigInt, _>(&self.below)?;
                for (column, value) in key {
                    out.push_sql(" AND ");
                    out.push_sql(column);
                    out.push_sql(" = ");
                    walk_value(value, out)?;
                }
            }
            Find::Builds(builds) => {
                // Each number of builds is another text, and the cache of statements has no limit.
                out.unsafe_to_cache_prepared();
                out.push_sql(" WHERE id < ");
                out.push_bind_param::<BigInt, _>(&self.below)?;
                out.push_sql(" AND build_id IN (NULL");
                for build in *builds {
                    out.push_sql(", ");
                    out.push_bind_param::<BigInt, _>(build)?;
                }
                out.push_sql(")");
            }
        }
        for check in &self.rows.checks {
            out.push_sql(" AND ");
            walk_check(check, out)?;
        }
        out.push_sql(" ORDER BY ");
        match find {
            Find::Key(key) => {
                for (column, _) in key.iter().filter(|_| self.on_postgres) {
                    out.push_sql(column);
                    out.push_sql(" DESC, ");
                }
                out.push_sql("id DESC");
            }
            // No index serves the sum; the rows of all builds would be read until these few are found.
            Find::Builds(_) => out.push_sql("id + 0 DESC"),
        }
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit_each)
    }
}

fn walk_row<'b, DB: Bindable>(
    key: &'b [(&'static str, Value<'_>)],
    operator: &str,
    id: Option<&'b i64>,
    out: &mut AstPass<'_, 'b, DB>,
) -> QueryResult<()>
where
    i64: ToSql<BigInt, DB>,
    str: ToSql<Text, DB>,
{
    out.push_sql("(");
    for (column, _) in key {
        out.push_sql(column);
        out.push_sql(", ");
    }
    out.push_sql("id)");
    out.push_sql(operator);
    for (_, value) in key {
        walk_value(value, out)?;
        out.push_sql(", ");
    }
    match id {
        Some(id) => out.push_bind_param::<BigInt, _>(id)?,
        None => out.push_sql("0"),
    }
    out.push_sql(")");
    Ok(())
}

fn walk_value<'b, DB: Bindable>(
    value: &'b Value<'_>,
    out: &mut AstPass<'_, 'b, DB>,
) -> QueryResult<()>
where
    i64: ToSql<BigInt, DB>,
    str: ToSql<Text, DB>,
{
    match value {
        Value::Number(number) => out.push_bind_param::<BigInt, _>(number),
        Value::Text(text) => out.push_bind_param::<Text, str>(text),
        Value::Flag(flag) => {
            out.push_sql(if *flag { "TRUE" } else { "FALSE" });
            Ok(())
        }
    }
}

/// Writes a check in a form that no index serves.
fn walk_check<'b, DB: Bindable>(
    check: &'b Check<'_>,
    out: &mut AstPass<'_, 'b, DB>,
) -> QueryResult<()>
where
    i64: ToSql<BigInt, DB>,
    str: ToSql<Text, DB>,
{
    let (before, after) = match check.any_of.first() {
        Some(Value::Number(_)) => ("(", " + 0) IN ("),
        Some(Value::Text(_)) => ("COALESCE(", ", '') IN ("),
        Some(Value::Flag(_)) | None => ("", " IN ("),
    };
    if check.any_of.len() > 1 {
        // As for builds: each number of values is another text.
        out.unsafe_to_cache_prepared();
    }
    out.push_sql(before);
    out.push_sql(check.expression);
    out.push_sql(after);
    for (number, value) in check.any_of.iter().enumerate() {
        if number > 0 {
            out.push_sql(", ");
        }
        walk_value(value, out)?;
    }
    out.push_sql(")");
    Ok(())
}

/// A back end with the types of [`Value`].
trait Bindable: Backend + HasSqlType<BigInt> + HasSqlType<Text> {}

impl<DB: Backend + HasSqlType<BigInt> + HasSqlType<Text>> Bindable for DB {}

// The text depends on the list, so it is itself the key of diesel's statement cache.
impl QueryId for Statement<'_> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement<'_> {
    type SqlType = BigInt;
}

impl<DB: Bindable> QueryFragment<DB> for Statement<'_>
where
    i64: ToSql<BigInt, DB>,
    str: ToSql<Text, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        if self.counts {
            out.push_sql("SELECT count(*) FROM (");
        }
        if let [find] = &*self.rows.found {
            self.walk_found(find, &mut out)?;
        } else {
            for (number, find) in self.rows.found.iter().enumerate() {
                out.push_sql(if number > 0 { " UNION ALL " } else { "" });
                out.push_sql("SELECT id FROM (");
                self.walk_found(find, &mut out)?;
                out.push_sql(") AS found");
            }
            out.push_sql(" ORDER BY id DESC LIMIT ");
            out.push_bind_param::<BigInt, _>(&self.limit)?;
        }
        if self.counts {
            out.push_sql(") AS counted");
        } else {
            out.push_sql(" OFFSET ");
            out.push_bind_param::<BigInt, _>(&self.skipped)?;
        }
        Ok(())
    }
}

impl<Conn> RunQueryDsl<Conn> for Statement<'_> {}
