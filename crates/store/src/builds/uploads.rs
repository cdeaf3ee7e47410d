//! Files that users upload for a build: first an upload is created, then its bytes arrive, then
//! builds use it. A build that uses a file is linked to it, so that the file stays until the build
//! is finished.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use slipway_domain::package::PackageSource;
use slipway_domain::{BuildId, JobSpec, ProjectId, UploadId, UserId};

use crate::engine::connection::Conn;
use crate::engine::literals::SUM_OF_SIZES;
use crate::engine::time::{from_ms, from_opt_ms, parse, to_ms};
use crate::error::{OrMissing, StoreError};
use crate::schema::{jobs, upload_uses, uploads};

/// An upload, with or without its bytes.
#[derive(Clone, Debug)]
pub struct UploadedFile {
    pub id: UploadId,
    pub created_by: UserId,
    /// The content type that the uploader declared.
    pub mime: String,
    /// When it expires, unless a build uses it.
    pub expires_at: DateTime<Utc>,
    /// Absent until the bytes arrive.
    pub content: Option<FileContent>,
    /// When a build first used it. From then on it does not change.
    pub used_at: Option<DateTime<Utc>>,
    /// The project whose build used it first. Absent once that project is deleted.
    pub used_by: Option<ProjectId>,
}

/// The bytes of an uploaded file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContent {
    pub blob_key: String,
    pub size_bytes: u64,
    /// In lower-case hex.
    pub sha256: String,
}

#[derive(Queryable)]
struct UploadRow {
    uuid: String,
    created_by: i64,
    mime: String,
    _created_at: i64,
    expires_at: i64,
    blob_key: Option<String>,
    size_bytes: i64,
    sha256: Option<String>,
    _uploaded_at: Option<i64>,
    used_at: Option<i64>,
    used_by: Option<i64>,
    _last_used_at: Option<i64>,
}

impl TryFrom<UploadRow> for UploadedFile {
    type Error = StoreError;

    fn try_from(row: UploadRow) -> Result<Self, StoreError> {
        let content = row.blob_key.zip(row.sha256);
        Ok(Self {
            id: parse(&row.uuid, "file id")?,
            created_by: UserId(row.created_by),
            mime: row.mime,
            expires_at: from_ms(row.expires_at)?,
            content: content.map(|(blob_key, sha256)| FileContent {
                blob_key,
                size_bytes: u64::try_from(row.size_bytes).unwrap_or(0),
                sha256,
            }),
            used_at: from_opt_ms(row.used_at)?,
            used_by: row.used_by.map(ProjectId),
        })
    }
}

/// Creates an upload without bytes.
pub fn insert(
    conn: &mut Conn,
    id: UploadId,
    by: UserId,
    mime: &str,
    expires_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::insert_into(uploads::table)
        .values((
            uploads::uuid.eq(id.to_string()),
            uploads::created_by.eq(by.0),
            uploads::mime.eq(mime),
            uploads::created_at.eq(to_ms(now)),
            uploads::expires_at.eq(to_ms(expires_at)),
            uploads::size_bytes.eq(0),
        ))
        .execute(conn)?;
    Ok(())
}

/// The size of all files that a user uploaded, in bytes.
pub fn stored_bytes(conn: &mut Conn, user: UserId) -> Result<u64, StoreError> {
    let sum: i64 = uploads::table
        .filter(uploads::created_by.eq(user.0))
        .select(sql::<BigInt>(SUM_OF_SIZES))
        .first(conn)?;
    Ok(u64::try_from(sum).unwrap_or(0))
}

/// Reads an upload.
pub fn get(conn: &mut Conn, id: UploadId) -> Result<UploadedFile, StoreError> {
    uploads::table
        .find(id.to_string())
        .first::<UploadRow>(conn)
        .or_missing("file")?
        .try_into()
}

/// Stores the bytes of an upload. Returns the blob that is no longer referenced.
///
/// # Errors
/// `Conflict` if the upload expired, or a build used it.
pub fn set_content(
    conn: &mut Conn,
    id: UploadId,
    content: &FileContent,
    now: DateTime<Utc>,
) -> Result<Option<String>, StoreError> {
    // Read before the update replaces it; the caller deletes the blob after the commit.
    let old = get(conn, id)?.content;
    let changed = diesel::update(
        uploads::table
            .find(id.to_string())
            .filter(uploads::used_at.is_null())
            .filter(uploads::expires_at.gt(to_ms(now))),
    )
    .set((
        uploads::blob_key.eq(&content.blob_key),
        uploads::size_bytes.eq(i64::try_from(content.size_bytes).unwrap_or(i64::MAX)),
        uploads::sha256.eq(&content.sha256),
        uploads::uploaded_at.eq(to_ms(now)),
    ))
    .execute(conn)?;
    match changed {
        0 => Err(StoreError::Conflict("the upload has expired or is in use")),
        _ => Ok(old.map(|content| content.blob_key)),
    }
}

/// Records that a new build of a project uses a file. From then on the file does not change.
///
/// # Errors
/// `Conflict` if the bytes are no longer those of `content`.
pub fn record_use(
    conn: &mut Conn,
    id: UploadId,
    content: &FileContent,
    (by, build): (ProjectId, BuildId),
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let same = || {
        let file = uploads::table.find(id.to_string());
        file.filter(uploads::blob_key.eq(&content.blob_key))
    };
    diesel::update(same().filter(uploads::used_at.is_null()))
        .set((uploads::used_at.eq(to_ms(now)), uploads::used_by.eq(by.0)))
        .execute(conn)?;
    // Checked in a statement of its own, because an earlier use makes the one above change nothing.
    let found = diesel::update(same())
        .set(uploads::last_used_at.eq(to_ms(now)))
        .execute(conn)?;
    if found == 0 {
        return Err(StoreError::Conflict(
            "the file has changed since it was looked up",
        ));
    }
    diesel::insert_into(upload_uses::table)
        .values((
            upload_uses::build_id.eq(build.0),
            upload_uses::upload_uuid.eq(id.to_string()),
        ))
        .execute(conn)?;
    Ok(())
}

/// Records a use of the uploaded file that a retried job builds, if it builds one.
///
/// # Errors
/// `SourcesGone` if the file was deleted.
pub(crate) fn record_retry(
    conn: &mut Conn,
    spec: &JobSpec,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let Some(PackageSource::Upload(id)) = spec.package().map(|package| &package.source) else {
        return Ok(());
    };
    // Without this use, the file could be deleted before the new attempt fetches it.
    let found = diesel::update(uploads::table.find(id.to_string()))
        .set(uploads::last_used_at.eq(to_ms(now)))
        .execute(conn)?;
    match found {
        0 => Err(StoreError::SourcesGone),
        _ => Ok(()),
    }
}

/// An upload that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedUpload {
    pub id: UploadId,
    /// Its content, which is no longer referenced; absent if it had none.
    pub blob_key: Option<String>,
}

/// Deletes uploads that expired before a build used them.
pub fn delete_expired(
    conn: &mut Conn,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<DeletedUpload>, StoreError> {
    let expired: Vec<String> = uploads::table
        .filter(uploads::used_at.is_null())
        .filter(uploads::expires_at.le(to_ms(now)))
        .order(uploads::expires_at)
        .limit(limit)
        .select(uploads::uuid)
        .load(conn)?;
    // A build may have started to use one of them since the query above.
    let rows = diesel::delete(
        uploads::table
            .filter(uploads::uuid.eq_any(expired))
            .filter(uploads::used_at.is_null()),
    )
    .returning((uploads::uuid, uploads::blob_key))
    .get_results(conn)?;
    deleted(rows)
}

/// Deletes files that no build has used since `before`, except those of unfinished builds.
pub fn delete_unused(
    conn: &mut Conn,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<DeletedUpload>, StoreError> {
    let unfinished_jobs = upload_uses::table
        .inner_join(jobs::table.on(jobs::build_id.eq(upload_uses::build_id)))
        .filter(upload_uses::upload_uuid.eq(uploads::uuid))
        .filter(jobs::finished_at.is_null());
    let unused: Vec<String> = uploads::table
        .filter(uploads::last_used_at.le(to_ms(before)))
        .filter(diesel::dsl::not(diesel::dsl::exists(unfinished_jobs)))
        .order(uploads::last_used_at)
        .limit(limit)
        .select(uploads::uuid)
        .load(conn)?;
    // A build that started to use one of them meanwhile has updated `last_used_at`.
    let rows = diesel::delete(
        uploads::table
            .filter(uploads::uuid.eq_any(unused))
            .filter(uploads::last_used_at.le(to_ms(before))),
    )
    .returning((uploads::uuid, uploads::blob_key))
    .get_results(conn)?;
    deleted(rows)
}

fn deleted(rows: Vec<(String, Option<String>)>) -> Result<Vec<DeletedUpload>, StoreError> {
    rows.into_iter()
        .map(|(id, blob_key)| {
            let id = id.parse().map_err(|_| StoreError::Corrupt("upload id"))?;
            Ok(DeletedUpload { id, blob_key })
        })
        .collect()
}
