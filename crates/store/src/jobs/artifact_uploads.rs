//! Files of jobs that are uploaded in pieces. Each piece is a blob until the file is complete.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use slipway_domain::{ArtifactUploadId, JobId, ProjectId};

use crate::engine::connection::Conn;
use crate::engine::literals::SUM_OF_SIZES;
use crate::engine::time::to_ms;
use crate::error::StoreError;
use crate::schema::{artifact_upload_pieces, artifact_uploads, jobs};

/// How many uploads a job may have at once, complete or not.
const MAX_UPLOADS: i64 = 64;
/// How many pieces an upload may have.
const MAX_PIECES: i64 = 20_000;

/// An upload as far as it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArtifactUpload {
    /// How many bytes are stored, from the first one on.
    pub length: u64,
    /// The SHA-256 of the whole file in hex, once it is an artifact.
    pub sha256: Option<String>,
}

/// A piece of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The offset of its first byte in the file.
    pub start: u64,
    /// In bytes.
    pub length: u64,
    pub blob_key: String,
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    Stored {
        /// How many bytes are stored now.
        length: u64,
    },
    /// The piece does not begin where the stored bytes end.
    WrongOffset {
        /// How many bytes are stored.
        length: u64,
    },
    /// The job has too many uploads, or the upload too many pieces.
    TooMany,
}

/// An upload of a job; the default if there is none.
pub fn get(
    conn: &mut Conn,
    job: JobId,
    id: ArtifactUploadId,
) -> Result<ArtifactUpload, StoreError> {
    let row: Option<(i64, Option<String>)> = artifact_uploads::table
        .find((job.0, id.to_string()))
        .select((artifact_uploads::size_bytes, artifact_uploads::sha256))
        .first(conn)
        .optional()?;
    Ok(
        row.map_or_else(ArtifactUpload::default, |(length, sha256)| ArtifactUpload {
            length: u64::try_from(length).unwrap_or(0),
            sha256,
        }),
    )
}

/// The pieces of an upload, in order.
pub fn pieces(conn: &mut Conn, job: JobId, id: ArtifactUploadId) -> Result<Vec<Piece>, StoreError> {
    let rows: Vec<(i64, i64, String)> = artifact_upload_pieces::table
        .filter(artifact_upload_pieces::job_id.eq(job.0))
        .filter(artifact_upload_pieces::upload_id.eq(id.to_string()))
        .order(artifact_upload_pieces::start)
        .select((
            artifact_upload_pieces::start,
            artifact_upload_pieces::length,
            artifact_upload_pieces::blob_key,
        ))
        .load(conn)?;
    let piece = |(start, length, blob_key)| Piece {
        start: u64::try_from(start).unwrap_or(0),
        length: u64::try_from(length).unwrap_or(0),
        blob_key,
    };
    Ok(rows.into_iter().map(piece).collect())
}

/// Adds a piece to an upload of a job whose row is locked. The first piece creates the upload.
pub fn append(
    conn: &mut Conn,
    job: JobId,
    id: ArtifactUploadId,
    piece: &Piece,
    now: DateTime<Utc>,
) -> Result<Appended, StoreError> {
    let held = get(conn, job, id)?;
    if held.length != piece.start || held.sha256.is_some() {
        return Ok(Appended::WrongOffset {
            length: held.length,
        });
    }
    let pieces: i64 = artifact_upload_pieces::table
        .filter(artifact_upload_pieces::job_id.eq(job.0))
        .filter(artifact_upload_pieces::upload_id.eq(id.to_string()))
        .count()
        .get_result(conn)?;
    if pieces >= MAX_PIECES {
        return Ok(Appended::TooMany);
    }
    let length = piece.start.saturating_add(piece.length);
    let columns = (
        artifact_uploads::size_bytes.eq(signed(length)),
        artifact_uploads::changed_at.eq(to_ms(now)),
    );
    let target = artifact_uploads::table.find((job.0, id.to_string()));
    if diesel::update(target).set(columns).execute(conn)? == 0 {
        let uploads: i64 = artifact_uploads::table
            .filter(artifact_uploads::job_id.eq(job.0))
            .count()
            .get_result(conn)?;
        if uploads >= MAX_UPLOADS {
            return Ok(Appended::TooMany);
        }
        diesel::insert_into(artifact_uploads::table)
            .values((
                artifact_uploads::job_id.eq(job.0),
                artifact_uploads::upload_id.eq(id.to_string()),
                columns,
            ))
            .execute(conn)?;
    }
    diesel::insert_into(artifact_upload_pieces::table)
        .values((
            artifact_upload_pieces::job_id.eq(job.0),
            artifact_upload_pieces::upload_id.eq(id.to_string()),
            artifact_upload_pieces::start.eq(signed(piece.start)),
            artifact_upload_pieces::length.eq(signed(piece.length)),
            artifact_upload_pieces::blob_key.eq(&piece.blob_key),
        ))
        .execute(conn)?;
    Ok(Appended::Stored { length })
}

/// Notes that the file is an artifact now. Returns the blobs of the pieces, which are no longer
/// referenced.
pub fn complete(
    conn: &mut Conn,
    job: JobId,
    id: ArtifactUploadId,
    file: &ArtifactUpload,
    now: DateTime<Utc>,
) -> Result<Vec<String>, StoreError> {
    let unused = delete(conn, job, id)?;
    diesel::insert_into(artifact_uploads::table)
        .values((
            artifact_uploads::job_id.eq(job.0),
            artifact_uploads::upload_id.eq(id.to_string()),
            artifact_uploads::size_bytes.eq(signed(file.length)),
            artifact_uploads::sha256.eq(&file.sha256),
            artifact_uploads::changed_at.eq(to_ms(now)),
        ))
        .execute(conn)?;
    Ok(unused)
}

/// Deletes an upload. Returns the blobs that are no longer referenced.
pub fn delete(
    conn: &mut Conn,
    job: JobId,
    id: ArtifactUploadId,
) -> Result<Vec<String>, StoreError> {
    let unused = pieces(conn, job, id)?;
    let unused = unused.into_iter().map(|piece| piece.blob_key).collect();
    // The pieces go with it.
    diesel::delete(artifact_uploads::table.find((job.0, id.to_string()))).execute(conn)?;
    Ok(unused)
}

/// Deletes all uploads of a job. Returns the blobs that are no longer referenced.
pub fn delete_of_job(conn: &mut Conn, job: JobId) -> Result<Vec<String>, StoreError> {
    let unused = artifact_upload_pieces::table
        .filter(artifact_upload_pieces::job_id.eq(job.0))
        .select(artifact_upload_pieces::blob_key)
        .load(conn)?;
    diesel::delete(artifact_uploads::table.filter(artifact_uploads::job_id.eq(job.0)))
        .execute(conn)?;
    Ok(unused)
}

/// The jobs with uploads that are not needed any more: they have ended, or the upload has not changed
/// since `changed_before`.
pub fn abandoned(
    conn: &mut Conn,
    changed_before: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<(JobId, ArtifactUploadId)>, StoreError> {
    let rows: Vec<(i64, String)> = artifact_uploads::table
        .inner_join(jobs::table.on(jobs::id.eq(artifact_uploads::job_id)))
        .filter(
            jobs::finished_at
                .is_not_null()
                .or(artifact_uploads::changed_at.lt(to_ms(changed_before))),
        )
        .order(artifact_uploads::changed_at)
        .limit(limit)
        .select((artifact_uploads::job_id, artifact_uploads::upload_id))
        .load(conn)?;
    rows.into_iter()
        .map(|(job, id)| {
            let id = id.parse().map_err(|_| StoreError::Corrupt("upload id"))?;
            Ok((JobId(job), id))
        })
        .collect()
}

/// The size of all incomplete uploads of a project's jobs, in bytes.
pub(crate) fn stored_bytes(conn: &mut Conn, project: ProjectId) -> Result<u64, StoreError> {
    let of_project = jobs::table
        .filter(jobs::project_id.eq(project.0))
        .select(jobs::id);
    let sum: i64 = artifact_uploads::table
        .filter(artifact_uploads::job_id.eq_any(of_project))
        // A complete upload is counted as an artifact.
        .filter(artifact_uploads::sha256.is_null())
        .select(sql::<BigInt>(SUM_OF_SIZES))
        .first(conn)?;
    Ok(u64::try_from(sum).unwrap_or(0))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
