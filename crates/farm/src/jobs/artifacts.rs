//! Artifacts: files that runners upload, and how others download them.

use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::Stream;
use slipway_blobs::{BlobStream, PutError, Stored};
use slipway_domain::{ArtifactId, ArtifactUploadId, JobId, JobToken, Role};
use slipway_store::artifact_uploads::{self, ArtifactUpload};
use slipway_store::artifacts::{self, Artifact, Content, NewArtifact};
use slipway_store::jobs::{self, Job};
use slipway_store::{Conn, StoreError, projects};

use crate::access::authorize::{Actor, ProjectAccess};
use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::access::{JobAccess, NOT_RUNNING, is_still_readable};

/// Uploaded bytes that do not belong to a job yet: pass them to [`Farm::put_file`] or
/// [`Farm::drop_archive`].
#[derive(Debug)]
#[must_use = "the bytes stay stored for ever unless the upload is put or dropped"]
pub struct ReceivedArchive {
    blob_key: String,
    size: u64,
    sha256: String,
}

impl ReceivedArchive {
    /// The stored blob `blob_key`.
    pub(crate) fn new(blob_key: String, stored: Stored) -> Self {
        Self {
            blob_key,
            size: stored.size,
            sha256: stored.sha256,
        }
    }

    /// In hex.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }
}

/// The kind of a file that a job leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// The files for other jobs and for people, in one archive.
    Archive,
    Other {
        /// Such as `junit` or `sbom`.
        file_type: String,
        /// `raw`, `gzip` or `zip`.
        format: String,
    },
}

impl FileKind {
    /// The kind of a file with the type and format that a runner names. Both are empty for the
    /// archive.
    ///
    /// # Errors
    /// `Invalid` for an invalid type or an unknown format.
    pub fn named(file_type: &str, format: &str) -> Result<Self, FarmError> {
        let is_word = |text: &str| {
            (1..=63).contains(&text.len())
                && text
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        match (file_type, format) {
            ("" | "archive", "" | "zip") => Ok(Self::Archive),
            ("" | "archive", _) => Err(FarmError::Invalid(format!(
                "an archive must be a zip, not {format:?}"
            ))),
            (file_type, "raw" | "gzip" | "zip") if is_word(file_type) => Ok(Self::Other {
                file_type: file_type.to_owned(),
                format: format.to_owned(),
            }),
            _ => Err(FarmError::Invalid(format!(
                "a file cannot have the type {file_type:?} and the format {format:?}"
            ))),
        }
    }
}

impl Farm {
    /// Stores uploaded bytes. They are visible to nobody until [`Farm::put_file`].
    ///
    /// # Errors
    /// `TooLarge` when the upload is not smaller than the limit; `StorageFull` when the project has no
    /// space left for it; `DiskFull`; `Invalid` when it breaks off.
    pub async fn receive_archive<S, E>(
        &self,
        access: &JobAccess,
        content: S,
    ) -> Result<ReceivedArchive, FarmError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::error::Error + 'static,
    {
        let limit = self.inner.settings.max_artifact_bytes;
        let project = access.job().project;
        let left = self.storage_left(project).await?;
        let blob_key = self.inner.chance.blob_key(&artifact_folder(access.id()));
        // The limit is exclusive in the protocol, so one byte less is accepted.
        let put = self
            .put_blob_stream(&blob_key, limit.saturating_sub(1).min(left), content)
            .await;
        let stored = put.map_err(|error| match error {
            PutError::TooLarge { .. } if left < limit => self.project_full(),
            PutError::TooLarge { .. } => FarmError::TooLarge { limit },
            PutError::Source(error) => FarmError::Invalid(format!("the upload broke off: {error}")),
            PutError::Blob(error) => error.into(),
        })?;
        self.inner.project_bytes.add(project, stored.size);
        Ok(ReceivedArchive::new(blob_key, stored))
    }

    /// Deletes uploaded bytes.
    pub async fn drop_archive(&self, received: ReceivedArchive) {
        self.delete_blobs([received.blob_key]).await;
    }

    /// Makes an upload the job's file of this kind and replaces an earlier one. Without
    /// `expires_in` the file never expires.
    ///
    /// # Errors
    /// `Conflict` when the job is no longer running; `Erased`.
    pub async fn put_file(
        &self,
        access: &JobAccess,
        received: ReceivedArchive,
        kind: FileKind,
        filename: String,
        expires_in: Option<TimeDelta>,
    ) -> Result<Artifact, FarmError> {
        let new = NewFile {
            kind,
            filename,
            expires_in,
            existing: Existing::Replace,
            upload: None,
        };
        self.store_file(access, received, new).await
    }

    /// [`Farm::put_file`] that never replaces a file. Uploading the same bytes again succeeds.
    ///
    /// # Errors
    /// `Invalid` when the job has a file of this kind with other bytes, and those of
    /// [`Farm::put_file`].
    pub async fn put_file_once(
        &self,
        access: &JobAccess,
        received: ReceivedArchive,
        kind: FileKind,
        filename: String,
        expires_in: Option<TimeDelta>,
    ) -> Result<Artifact, FarmError> {
        let new = NewFile {
            kind,
            filename,
            expires_in,
            existing: Existing::Keep,
            upload: None,
        };
        self.store_file(access, received, new).await
    }

    pub(crate) async fn store_file(
        &self,
        access: &JobAccess,
        received: ReceivedArchive,
        file: NewFile,
    ) -> Result<Artifact, FarmError> {
        let completed = ArtifactUpload {
            length: received.size,
            sha256: Some(received.sha256.clone()),
        };
        let (sha256, blob_key) = (received.sha256, received.blob_key);
        let uploaded = blob_key.clone();
        let (filename, existing, upload) = (file.filename, file.existing, file.upload);
        let content = match file.kind {
            FileKind::Archive => Content::Archive {
                filename,
                sha256,
                blob_key,
            },
            FileKind::Other { file_type, format } => Content::File {
                file_type,
                format,
                filename,
                sha256,
                blob_key,
            },
        };
        let (now, expiry_now) = (self.now(), self.expiry_now());
        let new = NewArtifact {
            job: access.id(),
            content,
            size_bytes: received.size,
            expires_at: file
                .expires_in
                .and_then(|keep| expiry_now.checked_add_signed(keep)),
        };
        let written = self.write_exactly(move |conn| {
            // The job may have ended or been erased during the upload.
            let job = jobs::get_locked(conn, new.job)?;
            if job.erased_at.is_some() {
                return Err(StoreError::Erased);
            }
            if !job.state.is_running() && !jobs::is_ending(conn, &job, now)? {
                return Err(StoreError::Conflict(NOT_RUNNING));
            }
            let mut unused = Vec::new();
            if let Some(id) = upload {
                unused = artifact_uploads::complete(conn, job.id, id, &completed, now)?;
            }
            let (artifact, replaced) = match (
                existing,
                artifacts::same_kind_as(conn, job.id, &new.content)?,
            ) {
                // The same bytes again are a retry after a lost answer; the new blob is not
                // needed.
                (Existing::Keep, Some(found)) if has_bytes_of(&found, &new.content) => {
                    (found, Some(blob_of(&new.content)))
                }
                (Existing::Keep, Some(_)) => return Err(StoreError::Conflict(HAS_ANOTHER)),
                (Existing::Replace, _) | (Existing::Keep, None) => artifacts::put(conn, &new, now)?,
            };
            unused.extend(replaced);
            Ok((artifact, unused))
        });
        match written.await {
            Ok((artifact, unused)) => {
                self.delete_blobs(unused).await;
                Ok(artifact)
            }
            Err(error) => {
                self.delete_blobs_of_failed_write(&error, [uploaded]).await;
                Err(match error {
                    StoreError::Conflict(HAS_ANOTHER) => FarmError::Invalid(HAS_ANOTHER.to_owned()),
                    other => other.into(),
                })
            }
        }
    }

    /// The archive of a job, for a holder of the token of the job, of the runners token of its
    /// project, or of the token that only fetches this archive. The tokens work until an hour after
    /// the end of the job, and while a job that needs it runs.
    ///
    /// # Errors
    /// `NotFound` when there is no such job or it has no archive, `Forbidden` for any other token and
    /// after that time, `Erased`.
    pub async fn archive_by_token(
        &self,
        id: JobId,
        token: &JobToken,
    ) -> Result<Artifact, FarmError> {
        let read = move |conn: &mut Conn| {
            let job = jobs::get(conn, id)?;
            let project = projects::get(conn, job.project)?;
            let dependents = jobs::dependents(conn, id)?;
            Ok((job, project, dependents, artifacts::of_job(conn, id)?))
        };
        let (job, project, dependents, made) = self.read(read).await?;
        let given = token.hash();
        let is_known = given == self.archive_token(&job).hash()
            || given == self.job_token(&job).hash()
            || given == self.project_runners_token(&project).hash();
        if !is_known || !is_open(&job, &dependents, self.expiry_now()) {
            return Err(FarmError::Forbidden("the token is not this job's"));
        }
        if job.erased_at.is_some() {
            return Err(FarmError::Erased);
        }
        archive_among(made, self.expiry_now()).ok_or(FarmError::NotFound("archive"))
    }

    /// The archive of a job, for running jobs that need it, and for the job itself until an hour
    /// after its end.
    ///
    /// # Errors
    /// `NotFound` when the job has none, `BadToken` for any other token, `Erased`.
    pub async fn archive_for_need(
        &self,
        id: JobId,
        token: &JobToken,
    ) -> Result<Artifact, FarmError> {
        let given = token.hash();
        let read = move |conn: &mut Conn| {
            let job = jobs::get(conn, id)?;
            Ok((
                job,
                jobs::dependents(conn, id)?,
                artifacts::of_job(conn, id)?,
            ))
        };
        let (job, dependents, made) = self.read(read).await.map_err(|error| match error {
            FarmError::NotFound(_) => FarmError::BadToken,
            other => other,
        })?;
        let is_own =
            self.job_token(&job).hash() == given || self.archive_token(&job).hash() == given;
        let needs_it =
            |other: &Job| other.state.is_running() && self.job_token(other).hash() == given;
        let opens = is_own && is_open(&job, &dependents, self.expiry_now());
        if !opens && !dependents.iter().any(needs_it) {
            return Err(FarmError::BadToken);
        }
        if job.erased_at.is_some() {
            return Err(FarmError::Erased);
        }
        archive_among(made, self.expiry_now()).ok_or(FarmError::NotFound("archive"))
    }

    /// Deletes the archive of a job for its runner. That there is none is no error.
    pub async fn delete_archive(&self, access: &JobAccess) -> Result<(), FarmError> {
        let made = self.artifacts_of(access.id()).await?;
        match archive_among(made, self.expiry_now()) {
            Some(archive) => self.delete_artifact(&archive).await,
            None => Ok(()),
        }
    }

    /// The artifacts of a job that have not expired.
    pub async fn artifacts_of(&self, job: JobId) -> Result<Vec<Artifact>, FarmError> {
        let now = self.expiry_now();
        let mut all = self.read(move |conn| artifacts::of_job(conn, job)).await?;
        all.retain(|artifact| artifact.expires_at.is_none_or(|at| at > now));
        Ok(all)
    }

    /// One artifact, for an actor that may see it and act on it in the role `need`.
    ///
    /// # Errors
    /// `NotFound` when the actor may not see the artifact or it has expired.
    pub async fn artifact(
        &self,
        actor: &Actor,
        id: ArtifactId,
        need: Role,
    ) -> Result<(ProjectAccess, Artifact), FarmError> {
        let artifact = self.read(move |conn| artifacts::get(conn, id)).await?;
        let (access, _) =
            self.job(actor, artifact.job, need)
                .await
                .map_err(|error| match error {
                    FarmError::NotFound(_) => FarmError::NotFound("artifact"),
                    other => other,
                })?;
        match artifact.expires_at {
            Some(at) if at <= self.expiry_now() => Err(FarmError::NotFound("artifact")),
            _ => Ok((access, artifact)),
        }
    }

    /// The bytes of a file, or a part of them.
    ///
    /// # Errors
    /// `Invalid` for an image, which is stored in its registry; `ContentMissing`.
    pub async fn artifact_content(
        &self,
        artifact: &Artifact,
        range: Option<Range<u64>>,
    ) -> Result<BlobStream, FarmError> {
        match &artifact.content {
            Content::Archive {
                blob_key, filename, ..
            }
            | Content::File {
                blob_key, filename, ..
            } => {
                let size = artifact.size_bytes;
                let found = self.inner.blobs.get_whole(blob_key, size, range).await;
                let what = format!("the file `{filename}` of job {}", artifact.job);
                found.map_err(FarmError::missing(what))
            }
            Content::Image { reference, .. } => Err(FarmError::Invalid(format!(
                "an image has no file to download: pull {reference}"
            ))),
        }
    }

    /// Deletes an artifact: its row and, after the commit, its bytes.
    pub async fn delete_artifact(&self, artifact: &Artifact) -> Result<(), FarmError> {
        let id = artifact.id;
        let unused = self.write(move |conn| artifacts::delete(conn, id)).await?;
        self.delete_blobs(unused).await;
        Ok(())
    }
}

/// The folder of the blobs of a job's files, and of their pieces.
pub(crate) fn artifact_folder(job: JobId) -> String {
    format!("artifacts/{job}")
}

/// Marks the conflict of [`Farm::put_file_once`] inside the transaction.
const HAS_ANOTHER: &str = "the job has another file of this type";

/// A file that becomes an artifact.
pub(crate) struct NewFile {
    pub(crate) kind: FileKind,
    pub(crate) filename: String,
    /// Without it the file never expires.
    pub(crate) expires_in: Option<TimeDelta>,
    pub(crate) existing: Existing,
    /// The upload whose pieces it consists of.
    pub(crate) upload: Option<ArtifactUploadId>,
}

/// What to do when the job has a file of the same kind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Existing {
    Replace,
    Keep,
}

/// Whether the tokens of a job still open its archive.
fn is_open(job: &Job, dependents: &[Job], now: DateTime<Utc>) -> bool {
    is_still_readable(job.finished_at, now)
        || dependents.iter().any(|other| other.state.is_running())
}

/// The archive among what a job made, unless it has expired.
fn archive_among(made: Vec<Artifact>, now: DateTime<Utc>) -> Option<Artifact> {
    made.into_iter().find(|artifact| {
        matches!(artifact.content, Content::Archive { .. })
            && artifact.expires_at.is_none_or(|at| at > now)
    })
}

fn has_bytes_of(found: &Artifact, new: &Content) -> bool {
    let sha256 = |content: &Content| content.file().map(|(_, sha256, _)| sha256.to_owned());
    sha256(&found.content) == sha256(new)
}

fn blob_of(content: &Content) -> String {
    let blob = content.file().map(|(_, _, blob)| blob);
    blob.unwrap_or_default().to_owned()
}
