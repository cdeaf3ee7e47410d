//! Artifacts: archives that runners send, and what others get of them.

use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::Stream;
use slipway_blobs::{BlobStream, PutError};
use slipway_domain::{ArtifactId, JobId, JobToken, Role};
use slipway_store::artifacts::{self, Artifact, Content, NewArtifact};
use slipway_store::jobs::{self, Job};
use slipway_store::{Conn, StoreError};

use crate::access::authorize::{Actor, ProjectAccess};
use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::access::{JobAccess, NOT_RUNNING};

/// The bytes of an archive that no job has yet: it is for [`Farm::put_file`] or
/// [`Farm::drop_archive`].
#[derive(Debug)]
#[must_use = "its bytes stay for ever when it is neither kept nor dropped"]
pub struct ReceivedArchive {
    blob_key: String,
    size: u64,
    sha256: String,
}

/// What a file of a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// The files that the job leaves to others, in one archive.
    Archive,
    /// Another file.
    Other {
        /// What it is for, such as `junit` or `sbom`.
        file_type: String,
        /// How it is packed: `raw`, `gzip` or `zip`.
        format: String,
    },
}

impl FileKind {
    /// The kind of a file with this type and format, as runners name them.
    ///
    /// # Errors
    /// `Invalid` for what cannot be a type, or a format that is not taken.
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
                "an archive is a zip, not {format:?}"
            ))),
            (file_type, "raw" | "gzip" | "zip") if is_word(file_type) => Ok(Self::Other {
                file_type: file_type.to_owned(),
                format: format.to_owned(),
            }),
            _ => Err(FarmError::Invalid(format!(
                "no file has the type {file_type:?} and the format {format:?}"
            ))),
        }
    }
}

impl Farm {
    /// Stores the bytes of a job's archive. Nobody sees them yet.
    ///
    /// # Errors
    /// `TooLarge` when it is not below the limit; `Invalid` when its bytes stop coming.
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
        let blob_key = self
            .inner
            .chance
            .blob_key(&format!("artifacts/{}", access.id()));
        let put = self
            .inner
            .blobs
            .put_stream(&blob_key, limit.saturating_sub(1), content)
            .await;
        let stored = put.map_err(|error| match error {
            PutError::TooLarge { .. } => FarmError::TooLarge { limit },
            PutError::Source(error) => FarmError::Invalid(format!("the upload broke off: {error}")),
            PutError::Blob(error) => error.into(),
        })?;
        Ok(ReceivedArchive {
            blob_key,
            size: stored.size,
            sha256: stored.sha256,
        })
    }

    /// Throws away what was received.
    pub async fn drop_archive(&self, received: ReceivedArchive) {
        self.drop_blobs([received.blob_key]).await;
    }

    /// Makes what was received the job's file of this kind, in the place of an earlier one. Without
    /// `expires_in` it is kept for ever.
    ///
    /// # Errors
    /// `Conflict` when the job is not running any more; `Erased`; `Invalid` for a type that cannot
    /// be.
    pub async fn put_file(
        &self,
        access: &JobAccess,
        received: ReceivedArchive,
        kind: FileKind,
        filename: String,
        expires_in: Option<TimeDelta>,
    ) -> Result<Artifact, FarmError> {
        self.keep_file(
            access,
            received,
            kind,
            filename,
            expires_in,
            Earlier::Replaced,
        )
        .await
    }

    /// The same for a file that is kept once: the same bytes may come again, and others may not.
    ///
    /// # Errors
    /// `Invalid` when there is another file of this kind, and those of [`Farm::put_file`].
    pub async fn put_file_once(
        &self,
        access: &JobAccess,
        received: ReceivedArchive,
        kind: FileKind,
        filename: String,
        expires_in: Option<TimeDelta>,
    ) -> Result<Artifact, FarmError> {
        self.keep_file(access, received, kind, filename, expires_in, Earlier::Stays)
            .await
    }

    async fn keep_file(
        &self,
        access: &JobAccess,
        received: ReceivedArchive,
        kind: FileKind,
        filename: String,
        expires_in: Option<TimeDelta>,
        earlier: Earlier,
    ) -> Result<Artifact, FarmError> {
        let (sha256, blob_key) = (received.sha256, received.blob_key);
        let kept = blob_key.clone();
        let content = match kind {
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
        let now = self.now();
        let new = NewArtifact {
            job: access.id(),
            content,
            size_bytes: received.size,
            expires_at: expires_in.and_then(|keep| now.checked_add_signed(keep)),
        };
        let written = self.inner.store.write(move |conn| {
            // The upload took its time: only a job that still runs gets the artifact.
            let job = jobs::get_locked(conn, new.job)?;
            if job.erased_at.is_some() {
                return Err(StoreError::Erased);
            }
            if !job.state.is_running() && !jobs::is_ending(conn, &job, now)? {
                return Err(StoreError::Conflict(NOT_RUNNING));
            }
            match (
                earlier,
                artifacts::same_kind_as(conn, job.id, &new.content)?,
            ) {
                (Earlier::Stays, Some(there)) if has_bytes_of(&there, &new.content) => {
                    Ok((there, Some(blob_of(&new.content))))
                }
                (Earlier::Stays, Some(_)) => Err(StoreError::Conflict(HAS_ANOTHER)),
                (Earlier::Replaced, _) | (Earlier::Stays, None) => artifacts::put(conn, &new, now),
            }
        });
        match written.await {
            Ok((artifact, unused)) => {
                self.drop_blobs(unused).await;
                Ok(artifact)
            }
            Err(error) => {
                self.drop_refused(&error, [kept]).await;
                Err(match error {
                    StoreError::Conflict(HAS_ANOTHER) => FarmError::Invalid(HAS_ANOTHER.to_owned()),
                    other => other.into(),
                })
            }
        }
    }

    /// The archive of a job, for a holder of the token of the job, of the runners token of its
    /// project, or of the token that only fetches this archive.
    ///
    /// # Errors
    /// `NotFound` when there is no such job or it has no archive, `Forbidden` for any other token,
    /// `Erased`.
    pub async fn archive_by_token(
        &self,
        id: JobId,
        token: &JobToken,
    ) -> Result<Artifact, FarmError> {
        let read = move |conn: &mut Conn| Ok((jobs::get(conn, id)?, artifacts::of_job(conn, id)?));
        let (job, made) = self.read(read).await?;
        let given = token.hash();
        let is_known = given == self.archive_token(id).hash()
            || given == self.job_token(id).hash()
            || given == self.project_runners_token(job.project).hash();
        if !is_known {
            return Err(FarmError::Forbidden("the token is not this job's"));
        }
        if job.erased_at.is_some() {
            return Err(FarmError::Erased);
        }
        archive_among(made, self.now()).ok_or(FarmError::NotFound("archive"))
    }

    /// The archive of a job, for the job itself and for running jobs that need it.
    ///
    /// # Errors
    /// `NotFound` when the job has none, `BadToken` for any other token, `Erased`.
    pub async fn archive_for_need(
        &self,
        id: JobId,
        token: &JobToken,
    ) -> Result<Artifact, FarmError> {
        let given = token.hash();
        let is_own = self.job_token(id).hash() == given || self.archive_token(id).hash() == given;
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
        let needs_it =
            |other: &Job| other.state.is_running() && self.job_token(other.id).hash() == given;
        if !is_own && !dependents.iter().any(needs_it) {
            return Err(FarmError::BadToken);
        }
        if job.erased_at.is_some() {
            return Err(FarmError::Erased);
        }
        archive_among(made, self.now()).ok_or(FarmError::NotFound("archive"))
    }

    /// Deletes the archive of a job for its runner. That there is none is no error.
    pub async fn delete_archive(&self, access: &JobAccess) -> Result<(), FarmError> {
        let made = self.artifacts_of(access.id()).await?;
        match archive_among(made, self.now()) {
            Some(archive) => self.remove_artifact(&archive).await,
            None => Ok(()),
        }
    }

    /// What a job made, without what has expired.
    pub async fn artifacts_of(&self, job: JobId) -> Result<Vec<Artifact>, FarmError> {
        let now = self.now();
        let mut all = self.read(move |conn| artifacts::of_job(conn, job)).await?;
        all.retain(|artifact| artifact.expires_at.is_none_or(|at| at > now));
        Ok(all)
    }

    /// One artifact, for an actor that may see it and act on it in the role `need`.
    ///
    /// # Errors
    /// `NotFound` when the actor may not know of it or it has expired.
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
            Some(at) if at <= self.now() => Err(FarmError::NotFound("artifact")),
            _ => Ok((access, artifact)),
        }
    }

    /// The bytes of an archive, or a part of them.
    ///
    /// # Errors
    /// `Invalid` for an image, which lives in its registry.
    pub async fn artifact_content(
        &self,
        artifact: &Artifact,
        range: Option<Range<u64>>,
    ) -> Result<BlobStream, FarmError> {
        match &artifact.content {
            Content::Archive { blob_key, .. } | Content::File { blob_key, .. } => {
                Ok(self.inner.blobs.get(blob_key, range).await?)
            }
            Content::Image { reference, .. } => Err(FarmError::Invalid(format!(
                "an image has no file here: pull {reference}"
            ))),
        }
    }

    /// Removes an artifact's row and, after that, its bytes.
    pub async fn remove_artifact(&self, artifact: &Artifact) -> Result<(), FarmError> {
        let id = artifact.id;
        let unused = self.write(move |conn| artifacts::delete(conn, id)).await?;
        self.drop_blobs(unused).await;
        Ok(())
    }
}

/// Names the conflict of a file that is kept once.
const HAS_ANOTHER: &str = "the job has another file of this type";

/// What becomes of an earlier file of the same kind.
#[derive(Clone, Copy, Debug)]
enum Earlier {
    Replaced,
    Stays,
}

/// The archive among what a job made, unless it has expired.
fn archive_among(made: Vec<Artifact>, now: DateTime<Utc>) -> Option<Artifact> {
    made.into_iter().find(|artifact| {
        matches!(artifact.content, Content::Archive { .. })
            && artifact.expires_at.is_none_or(|at| at > now)
    })
}

fn has_bytes_of(there: &Artifact, new: &Content) -> bool {
    let sha256 = |content: &Content| content.file().map(|(_, sha256, _)| sha256.to_owned());
    sha256(&there.content) == sha256(new)
}

fn blob_of(content: &Content) -> String {
    let blob = content.file().map(|(_, _, blob)| blob);
    blob.unwrap_or_default().to_owned()
}
