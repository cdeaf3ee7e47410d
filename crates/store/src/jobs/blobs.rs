//! Which stored bytes belong to a job.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::JobId;

use crate::engine::connection::Conn;
use crate::engine::time::{from_ms, to_ms};
use crate::error::StoreError;
use crate::schema::{artifact_upload_pieces, artifacts, jobs, trace_chunks, trace_tail_chunks};

/// A job that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedJob {
    pub id: JobId,
    pub created_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
}

/// At most `limit` jobs that ended after the job `after`, and until `until`, in the order of their end.
pub fn ended_between(
    conn: &mut Conn,
    after: (DateTime<Utc>, JobId),
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<EndedJob>, StoreError> {
    let (at, id) = (to_ms(after.0), after.1.0);
    let later = jobs::finished_at.gt(at);
    let same_time = jobs::finished_at.eq(at).and(jobs::id.gt(id));
    let rows: Vec<(i64, i64, Option<i64>)> = jobs::table
        .filter(later.or(same_time))
        .filter(jobs::finished_at.le(to_ms(until)))
        .order((jobs::finished_at, jobs::id))
        .limit(limit)
        .select((jobs::id, jobs::created_at, jobs::finished_at))
        .load(conn)?;
    rows.into_iter()
        .map(|(id, created_at, finished_at)| {
            Ok(EndedJob {
                id: JobId(id),
                created_at: from_ms(created_at)?,
                finished_at: from_ms(finished_at.unwrap_or_default())?,
            })
        })
        .collect()
}

/// The keys of all blobs to which a row of the job refers: of its trace, its files, and their pieces.
pub fn blobs_of(conn: &mut Conn, job: JobId) -> Result<HashSet<String>, StoreError> {
    let trace: Vec<String> = trace_chunks::table
        .filter(trace_chunks::job_id.eq(job.0))
        .select(trace_chunks::blob_key)
        .load(conn)?;
    let tail: Vec<String> = trace_tail_chunks::table
        .filter(trace_tail_chunks::job_id.eq(job.0))
        .select(trace_tail_chunks::blob_key)
        .load(conn)?;
    let pieces: Vec<String> = artifact_upload_pieces::table
        .filter(artifact_upload_pieces::job_id.eq(job.0))
        .select(artifact_upload_pieces::blob_key)
        .load(conn)?;
    let files: Vec<Option<String>> = artifacts::table
        .filter(artifacts::job_id.eq(job.0))
        .select(artifacts::blob_key)
        .load(conn)?;
    let files = files.into_iter().flatten();
    let trace = trace.into_iter().chain(tail);
    Ok(trace.chain(pieces).chain(files).collect())
}
