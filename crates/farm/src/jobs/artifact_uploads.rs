//! Uploads of files in pieces, which go on where they stopped after a cut. Our own runner uploads so.
//!
//! The file becomes an artifact in one step, when all of it is stored and its checksum is right.

use std::ops::Range;

use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use slipway_blobs::{BlobError, PutError};
use slipway_domain::{ArtifactUploadId, JobId};
use slipway_store::artifact_uploads::{self, Appended, ArtifactUpload, Piece};
use slipway_store::artifacts::Artifact;
use slipway_store::jobs;
use slipway_store::{Conn, StoreError};

use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::access::{JobAccess, NOT_RUNNING};
use crate::jobs::artifacts::{Existing, FileKind, NewFile, ReceivedArchive, artifact_folder};

/// For how long an upload of a running job may make no progress before it is deleted.
const IDLE: TimeDelta = TimeDelta::days(1);
/// How many uploads one run of the duty deletes at most.
const MAX_ROWS: i64 = 200;

/// What the runner of an upload does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadStep {
    /// The bytes before this offset are stored, and these alone.
    At { length: u64 },
    /// The request does not fit the stored bytes: go on from this offset.
    GoOnAt { length: u64 },
    /// The file is an artifact.
    Complete,
    /// The stored bytes have another checksum, and were deleted.
    WrongChecksum,
}

/// A file whose pieces are all sent.
#[derive(Clone, Debug)]
pub struct SentFile {
    /// In bytes.
    pub size: u64,
    /// In hex.
    pub sha256: String,
    pub kind: FileKind,
    pub filename: String,
    /// Without it the file never expires.
    pub expires_in: Option<TimeDelta>,
}

impl Farm {
    /// How many bytes of an upload are stored, from the first one on. An unknown upload has none.
    pub async fn upload_offset(
        &self,
        access: &JobAccess,
        id: ArtifactUploadId,
    ) -> Result<u64, FarmError> {
        let job = access.id();
        let read = move |conn: &mut Conn| artifact_uploads::get(conn, job, id);
        Ok(self.read(read).await?.length)
    }

    /// Appends the bytes of `range` to an upload. All of them are stored, or none.
    ///
    /// # Errors
    /// `TooLarge` when the file would not be smaller than the limit; `StorageFull` when the project has
    /// no space left; `Invalid` when `content` does not have the length of the range or breaks off;
    /// `Conflict` when the job is no longer running; `Erased`.
    pub async fn append_upload<S, E>(
        &self,
        access: &JobAccess,
        id: ArtifactUploadId,
        range: Range<u64>,
        content: S,
    ) -> Result<UploadStep, FarmError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::error::Error + 'static,
    {
        let Some(size) = range.end.checked_sub(range.start) else {
            return Err(FarmError::Invalid(
                "the range ends before it starts".to_owned(),
            ));
        };
        let length = self.upload_offset(access, id).await?;
        // Before anything is received: the bytes would be of no use.
        if length != range.start {
            return Ok(UploadStep::GoOnAt { length });
        }
        if size == 0 {
            return Ok(UploadStep::At { length });
        }
        let limit = self.inner.settings.max_artifact_bytes;
        // The limit is exclusive in the protocol.
        if range.end >= limit {
            return Err(FarmError::TooLarge { limit });
        }
        let project = access.job().project;
        if self.storage_left(project).await? < size {
            return Err(self.project_full());
        }
        let piece = self.receive_piece(access, range, content).await?;
        let (job, blob_key, now) = (access.id(), piece.blob_key.clone(), self.now());
        let written = self.write_exactly(move |conn| {
            require_running(conn, job)?;
            artifact_uploads::append(conn, job, id, &piece, now)
        });
        match written.await {
            Ok(Appended::Stored { length }) => {
                self.inner.project_bytes.add(project, size);
                Ok(UploadStep::At { length })
            }
            Ok(refused) => {
                self.delete_blobs([blob_key]).await;
                match refused {
                    Appended::TooMany => Err(FarmError::Invalid(
                        "the job has too many uploads, or the upload too many pieces".to_owned(),
                    )),
                    Appended::Stored { length } | Appended::WrongOffset { length } => {
                        Ok(UploadStep::GoOnAt { length })
                    }
                }
            }
            Err(error) => {
                self.delete_blobs_of_failed_write(&error, [blob_key]).await;
                Err(error.into())
            }
        }
    }

    async fn receive_piece<S, E>(
        &self,
        access: &JobAccess,
        range: Range<u64>,
        content: S,
    ) -> Result<Piece, FarmError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::error::Error + 'static,
    {
        let wrong_length = || {
            let size = range.end - range.start;
            FarmError::Invalid(format!(
                "the body does not have the {size} bytes of its range"
            ))
        };
        let blob_key = self.inner.chance.blob_key(&artifact_folder(access.id()));
        let size = range.end - range.start;
        let put = self.put_blob_stream(&blob_key, size, content).await;
        let stored = put.map_err(|error| match error {
            PutError::TooLarge { .. } => wrong_length(),
            PutError::Source(error) => FarmError::Invalid(format!("the upload broke off: {error}")),
            PutError::Blob(error) => error.into(),
        })?;
        if stored.size != size {
            self.delete_blobs([blob_key]).await;
            return Err(wrong_length());
        }
        Ok(Piece {
            start: range.start,
            length: size,
            blob_key,
        })
    }

    /// Makes an upload the job's file of this kind and replaces an earlier one, if all of it is stored
    /// and has the right checksum. A request that is sent again has the same answer.
    ///
    /// # Errors
    /// `Conflict` when the job is no longer running; `Erased`; `Unavailable`.
    pub async fn complete_upload(
        &self,
        access: &JobAccess,
        id: ArtifactUploadId,
        file: SentFile,
    ) -> Result<UploadStep, FarmError> {
        let (farm, access) = (self.clone(), access.clone());
        // It goes on if the runner hangs up: the file may be large, and the runner asks again.
        let work = async move { farm.publish_upload(&access, id, file).await };
        let done = slipway_tasks::spawn("artifact", work).await;
        done.unwrap_or_else(|error| Err(FarmError::Internal(Box::new(error))))
    }

    async fn publish_upload(
        &self,
        access: &JobAccess,
        id: ArtifactUploadId,
        file: SentFile,
    ) -> Result<UploadStep, FarmError> {
        let job = access.id();
        let read = move |conn: &mut Conn| {
            let upload = artifact_uploads::get(conn, job, id)?;
            Ok((upload, artifact_uploads::pieces(conn, job, id)?))
        };
        let (upload, pieces) = self.read(read).await?;
        if let Some(step) = step_of_complete(&upload, &file) {
            return Ok(step);
        }
        let length = upload.length;
        if length != file.size {
            return Ok(UploadStep::GoOnAt { length });
        }
        let received = match self.join_pieces(access, pieces).await? {
            Some(received) if received.sha256().eq_ignore_ascii_case(&file.sha256) => received,
            wrong => {
                if let Some(received) = wrong {
                    self.drop_archive(received).await;
                }
                return self.drop_wrong_upload(access, id, &file).await;
            }
        };
        let new = NewFile {
            kind: file.kind,
            filename: file.filename,
            expires_in: file.expires_in,
            existing: Existing::Replace,
            upload: Some(id),
        };
        let _: Artifact = self.store_file(access, received, new).await?;
        Ok(UploadStep::Complete)
    }

    /// Stores the bytes of all pieces as one blob; `None` if one of them is missing.
    async fn join_pieces(
        &self,
        access: &JobAccess,
        pieces: Vec<Piece>,
    ) -> Result<Option<ReceivedArchive>, FarmError> {
        let blob_key = self.inner.chance.blob_key(&artifact_folder(access.id()));
        let limit: u64 = pieces.iter().map(|piece| piece.length).sum();
        let blobs = self.inner.blobs.clone();
        // Opened one by one, so that the file is never in memory as a whole.
        let content = stream::iter(pieces)
            .then(move |piece| {
                let blobs = blobs.clone();
                async move { blobs.get(&piece.blob_key, None).await }
            })
            .try_flatten();
        let put = self.put_blob_stream(&blob_key, limit, content.boxed());
        match put.await {
            Ok(stored) => Ok(Some(ReceivedArchive::new(blob_key, stored))),
            Err(PutError::Source(BlobError::NotFound { .. }) | PutError::TooLarge { .. }) => {
                Ok(None)
            }
            Err(PutError::Source(error) | PutError::Blob(error)) => Err(error.into()),
        }
    }

    /// Deletes the pieces of an upload whose bytes are not those of the file, unless the same request
    /// made it an artifact meanwhile, and its pieces were missing for this reason.
    async fn drop_wrong_upload(
        &self,
        access: &JobAccess,
        id: ArtifactUploadId,
        file: &SentFile,
    ) -> Result<UploadStep, FarmError> {
        let job = access.id();
        let delete = move |conn: &mut Conn| {
            jobs::get_locked(conn, job)?;
            let upload = artifact_uploads::get(conn, job, id)?;
            let unused = if upload.sha256.is_none() {
                artifact_uploads::delete(conn, job, id)?
            } else {
                Vec::new()
            };
            Ok((upload, unused))
        };
        let (upload, unused) = self.write(delete).await?;
        self.delete_blobs(unused).await;
        if let Some(step) = step_of_complete(&upload, file) {
            return Ok(step);
        }
        tracing::warn!(job.id = %job, "An upload of job {job} has a wrong checksum");
        Ok(UploadStep::WrongChecksum)
    }

    /// Deletes the uploads of jobs that have ended, and those that have made no progress for a day.
    /// Returns how many.
    pub async fn expire_artifact_uploads(&self) -> Result<usize, FarmError> {
        let before = self.now() - IDLE;
        let read = move |conn: &mut Conn| artifact_uploads::abandoned(conn, before, MAX_ROWS);
        let abandoned = self.read(read).await?;
        let count = abandoned.len();
        for (job, id) in abandoned {
            let delete = move |conn: &mut Conn| {
                jobs::get_locked(conn, job)?;
                artifact_uploads::delete(conn, job, id)
            };
            match self.write(delete).await {
                Ok(unused) => self.delete_blobs(unused).await,
                // The project was deleted meanwhile.
                Err(FarmError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}

/// The answer to the end of an upload that is an artifact already; `None` if it is not.
fn step_of_complete(upload: &ArtifactUpload, file: &SentFile) -> Option<UploadStep> {
    let sha256 = upload.sha256.as_ref()?;
    let is_same = sha256.eq_ignore_ascii_case(&file.sha256) && upload.length == file.size;
    Some(if is_same {
        UploadStep::Complete
    } else {
        UploadStep::WrongChecksum
    })
}

/// Locks a job and checks that it still takes files.
fn require_running(conn: &mut Conn, id: JobId) -> Result<(), StoreError> {
    let job = jobs::get_locked(conn, id)?;
    if job.erased_at.is_some() {
        return Err(StoreError::Erased);
    }
    if !job.state.is_running() {
        return Err(StoreError::Conflict(NOT_RUNNING));
    }
    Ok(())
}
