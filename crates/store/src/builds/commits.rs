//! Metadata of the commits of a project's repository.

use std::collections::HashMap;

use chrono::{DateTime, FixedOffset, Offset, TimeZone, Utc};
use diesel::prelude::*;
use slipway_domain::{Commit, CommitSha, ProjectId, Signature};

use crate::builds::queries::sha_beginning;
use crate::engine::connection::Conn;
use crate::engine::time::{from_ms, parse};
use crate::error::{OrMissing, StoreError};
use crate::schema::commits;

#[derive(Queryable)]
struct Row {
    _project_id: i64,
    sha: String,
    parents: String,
    message: String,
    author_name: String,
    author_email: String,
    authored_at: i64,
    authored_offset_s: i32,
    committer_name: String,
    committer_email: String,
    committed_at: i64,
    committed_offset_s: i32,
}

impl TryFrom<Row> for Commit {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let parents = row.parents.split(' ').filter(|sha| !sha.is_empty());
        Ok(Self {
            sha: parse(&row.sha, "sha")?,
            parents: parents
                .map(|sha| parse(sha, "sha"))
                .collect::<Result<_, _>>()?,
            author: Signature {
                name: row.author_name,
                email: row.author_email,
                at: local(row.authored_at, row.authored_offset_s)?,
            },
            committer: Signature {
                name: row.committer_name,
                email: row.committer_email,
                at: local(row.committed_at, row.committed_offset_s)?,
            },
            message: row.message,
        })
    }
}

/// A stored time in the time zone of its author.
fn local(ms: i64, offset_s: i32) -> Result<DateTime<FixedOffset>, StoreError> {
    let offset = FixedOffset::east_opt(offset_s).unwrap_or_else(|| Utc.fix());
    Ok(offset.from_utc_datetime(&from_ms(ms)?.naive_utc()))
}

/// Stores a commit of a project. A stored commit is not written again, because commits never
/// change.
///
/// # Errors
/// `Conflict` if another request stores it at the same moment, or the project is gone.
pub fn put(conn: &mut Conn, project: ProjectId, commit: &Commit) -> Result<(), StoreError> {
    let own = commits::table.find((project.0, commit.sha.as_str()));
    // Checked first, because a failed insert aborts the whole transaction on PostgreSQL.
    let stored: Option<String> = own.select(commits::sha).first(conn).optional()?;
    if stored.is_some() {
        return Ok(());
    }
    let parents: Vec<&str> = commit.parents.iter().map(CommitSha::as_str).collect();
    let (author, committer) = (&commit.author, &commit.committer);
    diesel::insert_into(commits::table)
        .values((
            commits::project_id.eq(project.0),
            commits::sha.eq(commit.sha.as_str()),
            commits::parents.eq(parents.join(" ")),
            commits::message.eq(&commit.message),
            commits::author_name.eq(&author.name),
            commits::author_email.eq(&author.email),
            commits::authored_at.eq(author.at.timestamp_millis()),
            commits::authored_offset_s.eq(author.at.offset().local_minus_utc()),
            commits::committer_name.eq(&committer.name),
            commits::committer_email.eq(&committer.email),
            commits::committed_at.eq(committer.at.timestamp_millis()),
            commits::committed_offset_s.eq(committer.at.offset().local_minus_utc()),
        ))
        .execute(conn)?;
    Ok(())
}

/// Reads a commit of a project.
///
/// # Errors
/// `NotFound` if it does not exist.
pub fn get(conn: &mut Conn, project: ProjectId, sha: &CommitSha) -> Result<Commit, StoreError> {
    commits::table
        .find((project.0, sha.as_str()))
        .first::<Row>(conn)
        .or_missing("commit")?
        .try_into()
}

/// The stored ones of `shas`.
pub(crate) fn by_shas(
    conn: &mut Conn,
    project: ProjectId,
    shas: &[&str],
) -> Result<HashMap<CommitSha, Commit>, StoreError> {
    let rows: Vec<Row> = commits::table
        .filter(commits::project_id.eq(project.0))
        .filter(commits::sha.eq_any(shas))
        .load(conn)?;
    let commits = rows.into_iter().map(Commit::try_from);
    commits
        .map(|commit| commit.map(|commit| (commit.sha.clone(), commit)))
        .collect()
}

/// The sha of a stored or built commit that begins with `digits`. If several match, any of them.
pub fn beginning_with(
    conn: &mut Conn,
    project: ProjectId,
    digits: &str,
) -> Result<Option<CommitSha>, StoreError> {
    // `g` sorts above every hex digit.
    let (from, to) = (digits, format!("{digits}g"));
    let sha: Option<String> = commits::table
        .filter(commits::project_id.eq(project.0))
        .filter(commits::sha.ge(from).and(commits::sha.lt(&to)))
        .select(commits::sha)
        .first(conn)
        .optional()?;
    match sha {
        Some(sha) => Ok(Some(parse(&sha, "sha")?)),
        None => sha_beginning(conn, project, from, &to),
    }
}
