//! Artifacts: images (reference and digest), archives and other files.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use slipway_domain::{ArtifactId, ImageDetails, JobId, ProjectId};

use crate::engine::connection::Conn;
use crate::engine::literals::SUM_OF_SIZES;
use crate::engine::time::{from_ms, from_opt_ms, to_ms};
use crate::error::{OrMissing, StoreError};
use crate::jobs::artifact_uploads;
use crate::schema::{artifacts, jobs};

/// A result of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    pub id: ArtifactId,
    pub job: JobId,
    pub content: Content,
    /// The size of the file, or of the image's layers.
    pub size_bytes: u64,
    pub created_at: DateTime<Utc>,
    /// When it expires; absent if never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What an artifact is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Image {
        /// The pushed reference, or the image id if nothing was pushed.
        reference: String,
        /// The digest of the manifest.
        digest: String,
        /// The tags that were pushed.
        tags: Vec<String>,
        details: ImageDetails,
    },
    /// The archive of the files that the job passes on to other jobs.
    Archive {
        filename: String,
        /// In hex.
        sha256: String,
        blob_key: String,
    },
    /// Another file. A job has at most one of each type.
    File {
        /// What it is for, such as `junit` or `sbom`.
        file_type: String,
        /// How it is packed: `raw`, `gzip` or `zip`.
        format: String,
        filename: String,
        /// In hex.
        sha256: String,
        blob_key: String,
    },
}

impl Content {
    /// The file's name, its SHA-256 in hex, and its blob. `None` for an image.
    pub fn file(&self) -> Option<(&str, &str, &str)> {
        match self {
            Self::Image { .. } => None,
            Self::Archive {
                filename,
                sha256,
                blob_key,
            }
            | Self::File {
                filename,
                sha256,
                blob_key,
                ..
            } => Some((filename, sha256, blob_key)),
        }
    }
}

/// The values of a new artifact.
#[derive(Clone, Debug)]
pub struct NewArtifact {
    pub job: JobId,
    pub content: Content,
    /// The size of the file, or of the image's layers.
    pub size_bytes: u64,
    /// When it expires; absent if never.
    pub expires_at: Option<DateTime<Utc>>,
}

#[derive(Queryable)]
struct Row {
    id: i64,
    job_id: i64,
    kind: String,
    name: String,
    digest: String,
    size_bytes: i64,
    blob_key: Option<String>,
    tags: String,
    created_at: i64,
    expires_at: Option<i64>,
    file_type: String,
    format: String,
    details: Option<String>,
}

pub(crate) const IMAGE: &str = "image";
const ARCHIVE: &str = "archive";
const FILE: &str = "file";

impl TryFrom<Row> for Artifact {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let content = match (row.kind.as_str(), row.blob_key) {
            (IMAGE, _) => Content::Image {
                reference: row.name,
                digest: row.digest,
                tags: row
                    .tags
                    .split(',')
                    .filter(|tag| !tag.is_empty())
                    .map(str::to_owned)
                    .collect(),
                details: read_details(row.details.as_deref())?,
            },
            (ARCHIVE, Some(blob_key)) => Content::Archive {
                filename: row.name,
                sha256: row.digest,
                blob_key,
            },
            (FILE, Some(blob_key)) => Content::File {
                file_type: row.file_type,
                format: row.format,
                filename: row.name,
                sha256: row.digest,
                blob_key,
            },
            _ => return Err(StoreError::Corrupt("artifact")),
        };
        Ok(Self {
            id: ArtifactId(row.id),
            job: JobId(row.job_id),
            content,
            size_bytes: u64::try_from(row.size_bytes).unwrap_or(0),
            created_at: from_ms(row.created_at)?,
            expires_at: from_opt_ms(row.expires_at)?,
        })
    }
}

fn read_details(text: Option<&str>) -> Result<ImageDetails, StoreError> {
    let read = text.map(serde_json::from_str).transpose();
    let read = read.map_err(|_| StoreError::Corrupt("image details"))?;
    Ok(read.unwrap_or_default())
}

/// The columns of a [`Content`].
#[derive(Insertable)]
#[diesel(table_name = artifacts)]
struct ContentColumns<'a> {
    kind: &'static str,
    name: &'a str,
    digest: &'a str,
    blob_key: Option<&'a str>,
    tags: String,
    file_type: &'a str,
    format: &'a str,
    details: Option<String>,
}

impl<'a> TryFrom<&'a Content> for ContentColumns<'a> {
    type Error = StoreError;

    fn try_from(content: &'a Content) -> Result<Self, StoreError> {
        let (kind, file_type, format) = match content {
            Content::Image { .. } => (IMAGE, "", ""),
            Content::Archive { .. } => (ARCHIVE, "", ""),
            Content::File {
                file_type, format, ..
            } => (FILE, file_type.as_str(), format.as_str()),
        };
        let columns = |name, digest, blob_key| Self {
            kind,
            name,
            digest,
            blob_key,
            tags: String::new(),
            file_type,
            format,
            details: None,
        };
        Ok(match content {
            Content::Image {
                reference,
                digest,
                tags,
                details,
            } => {
                let details = serde_json::to_string(details);
                Self {
                    tags: tags.join(","),
                    details: Some(details.map_err(|_| StoreError::Corrupt("image details"))?),
                    ..columns(reference, digest, None)
                }
            }
            Content::Archive {
                filename,
                sha256,
                blob_key,
            }
            | Content::File {
                filename,
                sha256,
                blob_key,
                ..
            } => columns(filename, sha256, Some(blob_key)),
        })
    }
}

/// Stores an artifact and replaces the job's earlier artifact of the same kind and type. Returns
/// the artifact, and the blob that is no longer referenced.
pub fn put(
    conn: &mut Conn,
    new: &NewArtifact,
    now: DateTime<Utc>,
) -> Result<(Artifact, Option<String>), StoreError> {
    let content = ContentColumns::try_from(&new.content)?;
    let same = artifacts::table.filter(
        artifacts::job_id
            .eq(new.job.0)
            .and(artifacts::kind.eq(content.kind))
            .and(artifacts::file_type.eq(content.file_type.to_owned())),
    );
    // Read before the row is deleted; the caller deletes the blob after the commit.
    let old: Option<Option<String>> = same
        .clone()
        .select(artifacts::blob_key)
        .first(conn)
        .optional()?;
    diesel::delete(same).execute(conn)?;
    let id: i64 = diesel::insert_into(artifacts::table)
        .values((
            artifacts::job_id.eq(new.job.0),
            content,
            artifacts::size_bytes.eq(i64::try_from(new.size_bytes).unwrap_or(i64::MAX)),
            artifacts::created_at.eq(to_ms(now)),
            artifacts::expires_at.eq(new.expires_at.map(to_ms)),
        ))
        .returning(artifacts::id)
        .get_result(conn)?;
    Ok((get(conn, ArtifactId(id))?, old.flatten()))
}

/// The job's artifact of the same kind and type as `content`.
pub fn same_kind_as(
    conn: &mut Conn,
    job: JobId,
    content: &Content,
) -> Result<Option<Artifact>, StoreError> {
    let columns = ContentColumns::try_from(content)?;
    let row: Option<Row> = artifacts::table
        .filter(artifacts::job_id.eq(job.0))
        .filter(artifacts::kind.eq(columns.kind))
        .filter(artifacts::file_type.eq(columns.file_type))
        .first(conn)
        .optional()?;
    row.map(Artifact::try_from).transpose()
}

/// Reads an artifact by its id.
///
/// # Errors
/// `NotFound` if it does not exist.
pub fn get(conn: &mut Conn, id: ArtifactId) -> Result<Artifact, StoreError> {
    artifacts::table
        .find(id.0)
        .first::<Row>(conn)
        .or_missing("artifact")?
        .try_into()
}

/// The artifacts of a job.
pub fn of_job(conn: &mut Conn, job: JobId) -> Result<Vec<Artifact>, StoreError> {
    let rows: Vec<Row> = artifacts::table
        .filter(artifacts::job_id.eq(job.0))
        .order(artifacts::id)
        .load(conn)?;
    rows.into_iter().map(Artifact::try_from).collect()
}

/// The archives of several jobs, without those that have expired at `now`.
pub(crate) fn archives_of(
    conn: &mut Conn,
    jobs: &[i64],
    now: DateTime<Utc>,
) -> Result<Vec<Artifact>, StoreError> {
    let never_expires = artifacts::expires_at.is_null();
    let rows: Vec<Row> = artifacts::table
        .filter(artifacts::job_id.eq_any(jobs))
        .filter(artifacts::kind.eq(ARCHIVE))
        .filter(never_expires.or(artifacts::expires_at.gt(to_ms(now))))
        .load(conn)?;
    rows.into_iter().map(Artifact::try_from).collect()
}

/// The size of all files of a project's jobs, in bytes, with those that are being uploaded in pieces.
pub fn stored_bytes(conn: &mut Conn, project: ProjectId) -> Result<u64, StoreError> {
    let of_project = jobs::table
        .filter(jobs::project_id.eq(project.0))
        .select(jobs::id);
    let sum: i64 = artifacts::table
        .filter(artifacts::job_id.eq_any(of_project))
        .filter(artifacts::blob_key.is_not_null())
        .select(sql::<BigInt>(SUM_OF_SIZES))
        .first(conn)?;
    let incomplete = artifact_uploads::stored_bytes(conn, project)?;
    Ok(u64::try_from(sum).unwrap_or(0).saturating_add(incomplete))
}

/// Removes the expiry of an artifact, so that it stays.
///
/// # Errors
/// `NotFound` if it does not exist, or has expired at `now`.
pub fn remove_expiry(
    conn: &mut Conn,
    id: ArtifactId,
    now: DateTime<Utc>,
) -> Result<Artifact, StoreError> {
    let never_expires = artifacts::expires_at.is_null();
    let target = artifacts::table
        .find(id.0)
        .filter(never_expires.or(artifacts::expires_at.gt(to_ms(now))));
    let changed = diesel::update(target)
        .set(artifacts::expires_at.eq(None::<i64>))
        .execute(conn)?;
    match changed {
        0 => Err(StoreError::NotFound("artifact")),
        _ => get(conn, id),
    }
}

/// Deletes an artifact. Returns the blob that is no longer referenced.
pub fn delete(conn: &mut Conn, id: ArtifactId) -> Result<Option<String>, StoreError> {
    let blob: Option<String> = artifacts::table
        .find(id.0)
        .select(artifacts::blob_key)
        .first(conn)
        .or_missing("artifact")?;
    diesel::delete(artifacts::table.find(id.0)).execute(conn)?;
    Ok(blob)
}

/// The artifacts that have expired at `now`, oldest expiry first.
pub fn expired(
    conn: &mut Conn,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<ArtifactId>, StoreError> {
    let ids: Vec<i64> = artifacts::table
        .filter(artifacts::expires_at.le(to_ms(now)))
        .order(artifacts::expires_at)
        .limit(limit)
        .select(artifacts::id)
        .load(conn)?;
    Ok(ids.into_iter().map(ArtifactId).collect())
}
