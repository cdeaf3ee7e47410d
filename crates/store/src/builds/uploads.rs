//! Files that people upload for a build: a place first, then the bytes, then the builds that use it.
//! A build that uses a file is linked to it, so that the file stays until the build is over.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::package::PackageSource;
use slipway_domain::{BuildId, JobSpec, ProjectId, UploadId, UserId};

use crate::engine::connection::Conn;
use crate::engine::time::{from_ms, from_opt_ms, parse, to_ms};
use crate::error::{OrMissing, StoreError};
use crate::schema::{jobs, upload_uses, uploads};

/// A file that was uploaded, or may be.
#[derive(Clone, Debug)]
pub struct UploadedFile {
    /// Its name.
    pub id: UploadId,
    /// Who asked for the place.
    pub created_by: UserId,
    /// The type that it was said to have.
    pub mime: String,
    /// When its place goes, unless a build uses it.
    pub expires_at: DateTime<Utc>,
    /// The bytes, once they came.
    pub content: Option<FileContent>,
    /// When a build first used it. From then on it does not change.
    pub used_at: Option<DateTime<Utc>>,
    /// The project whose build used it first, as long as there is one.
    pub used_by: Option<ProjectId>,
}

/// The bytes of an uploaded file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContent {
    /// The blob that holds them.
    pub blob_key: String,
    /// How many there are.
    pub size_bytes: u64,
    /// Their SHA-256, in lower-case hexadecimal.
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

/// Makes a place for a file.
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

/// Reads an uploaded file.
pub fn get(conn: &mut Conn, id: UploadId) -> Result<UploadedFile, StoreError> {
    uploads::table
        .find(id.to_string())
        .first::<UploadRow>(conn)
        .or_missing("file")?
        .try_into()
}

/// Puts bytes into the place of a file; returns the blob that nothing refers to any more.
///
/// # Errors
/// `Conflict` when the place expired, or a build used the file.
pub fn fill(
    conn: &mut Conn,
    id: UploadId,
    content: &FileContent,
    now: DateTime<Utc>,
) -> Result<Option<String>, StoreError> {
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
        0 => Err(StoreError::Conflict("the file takes nothing any more")),
        _ => Ok(old.map(|content| content.blob_key)),
    }
}

/// Notes that a new build of a project uses a file, which from now on stays as it is.
///
/// # Errors
/// `Conflict` when the bytes are not those of `content` any more.
pub fn note_use(
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
    let there = diesel::update(same())
        .set(uploads::last_used_at.eq(to_ms(now)))
        .execute(conn)?;
    if there == 0 {
        return Err(StoreError::Conflict("the file changed meanwhile"));
    }
    diesel::insert_into(upload_uses::table)
        .values((
            upload_uses::build_id.eq(build.0),
            upload_uses::upload_uuid.eq(id.to_string()),
        ))
        .execute(conn)?;
    Ok(())
}

/// Notes that a job is tried again, if it builds a file.
///
/// # Errors
/// `SourcesGone` when the file is not kept any more.
pub(crate) fn note_retry(
    conn: &mut Conn,
    spec: &JobSpec,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let Some(PackageSource::Upload(id)) = spec.package().map(|package| &package.source) else {
        return Ok(());
    };
    let there = diesel::update(uploads::table.find(id.to_string()))
        .set(uploads::last_used_at.eq(to_ms(now)))
        .execute(conn)?;
    match there {
        0 => Err(StoreError::SourcesGone),
        _ => Ok(()),
    }
}

/// Removes places that expired before any build used them; returns how many there were, and the
/// blobs that nothing refers to any more.
pub fn remove_expired(
    conn: &mut Conn,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<(usize, Vec<String>), StoreError> {
    let expired: Vec<String> = uploads::table
        .filter(uploads::used_at.is_null())
        .filter(uploads::expires_at.le(to_ms(now)))
        .order(uploads::expires_at)
        .limit(limit)
        .select(uploads::uuid)
        .load(conn)?;
    let removed: Vec<Option<String>> = diesel::delete(
        uploads::table
            .filter(uploads::uuid.eq_any(expired))
            .filter(uploads::used_at.is_null()),
    )
    .returning(uploads::blob_key)
    .get_results(conn)?;
    let count = removed.len();
    Ok((count, removed.into_iter().flatten().collect()))
}

/// Removes files that no build has used since `before`, unless one that does is not over; returns
/// how many there were, and the blobs that nothing refers to any more.
pub fn remove_unused(
    conn: &mut Conn,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<(usize, Vec<String>), StoreError> {
    let open_jobs = upload_uses::table
        .inner_join(jobs::table.on(jobs::build_id.eq(upload_uses::build_id)))
        .filter(upload_uses::upload_uuid.eq(uploads::uuid))
        .filter(jobs::finished_at.is_null());
    let unused: Vec<String> = uploads::table
        .filter(uploads::last_used_at.le(to_ms(before)))
        .filter(diesel::dsl::not(diesel::dsl::exists(open_jobs)))
        .order(uploads::last_used_at)
        .limit(limit)
        .select(uploads::uuid)
        .load(conn)?;
    // Whoever takes one up again meanwhile has noted that as a use.
    let removed: Vec<Option<String>> = diesel::delete(
        uploads::table
            .filter(uploads::uuid.eq_any(unused))
            .filter(uploads::last_used_at.le(to_ms(before))),
    )
    .returning(uploads::blob_key)
    .get_results(conn)?;
    let count = removed.len();
    Ok((count, removed.into_iter().flatten().collect()))
}
