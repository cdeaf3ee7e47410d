//! Files that people upload for a build. Whoever knows a file's name may fill its place and read
//! it, until the place expires; once a build uses the file it stays as it is.

use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::Stream;
use slipway_blobs::{BlobStream, PutError};
use slipway_domain::package::PackageSource;
use slipway_domain::{JobId, JobToken, Scope, UploadId};
use slipway_store::Conn;
use slipway_store::uploads::{self, FileContent, UploadedFile};

use crate::access::authorize::Actor;
use crate::error::FarmError;
use crate::farm::Farm;

/// The longest type of a file that is kept, in bytes.
const MAX_MIME: usize = 255;

impl Farm {
    /// Makes a place for a file. Every token is good for that.
    ///
    /// # Errors
    /// `Invalid` for a type that cannot be kept.
    pub async fn create_upload(
        &self,
        actor: &Actor,
        mime: &str,
    ) -> Result<UploadedFile, FarmError> {
        actor.require_scope(Scope::Identity)?;
        if mime.len() > MAX_MIME || mime.contains(|c: char| c.is_control()) {
            let why = format!("a type has at most {MAX_MIME} bytes without control characters");
            return Err(FarmError::Invalid(why));
        }
        let (id, by, mime, now) = (
            self.inner.chance.upload_id(),
            actor.user,
            mime.to_owned(),
            self.now(),
        );
        let lifetime = self.inner.settings.upload_lifetime;
        let expires_at = now + TimeDelta::from_std(lifetime).unwrap_or(TimeDelta::MAX);
        let make = move |conn: &mut Conn| {
            uploads::insert(conn, id, by, &mime, expires_at, now)?;
            uploads::get(conn, id)
        };
        self.write(make).await
    }

    /// Fills the place of a file, in the stead of what was there.
    ///
    /// # Errors
    /// `NotFound` when there is no such place, or it expired; `Conflict` when a build used the file;
    /// `TooLarge` above the limit; `Invalid` when the bytes stop coming.
    pub async fn fill_upload<S, E>(&self, id: UploadId, content: S) -> Result<(), FarmError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::error::Error + 'static,
    {
        let place = self.upload(id).await?;
        if place.used_at.is_some() {
            return Err(FarmError::Conflict("a build uses the file".to_owned()));
        }
        let limit = self.inner.settings.max_upload_bytes;
        let blob_key = self.inner.chance.blob_key("uploads");
        let put = self.inner.blobs.put_stream(&blob_key, limit, content).await;
        let stored = put.map_err(|error| match error {
            PutError::TooLarge { .. } => FarmError::TooLarge { limit },
            PutError::Source(error) => FarmError::Invalid(format!("the upload broke off: {error}")),
            PutError::Blob(error) => error.into(),
        })?;
        let content = FileContent {
            blob_key: blob_key.clone(),
            size_bytes: stored.size,
            sha256: stored.sha256,
        };
        let now = self.now();
        let fill = move |conn: &mut Conn| uploads::set_content(conn, id, &content, now);
        match self.inner.store.write(fill).await {
            Ok(unused) => {
                self.delete_blobs(unused).await;
                Ok(())
            }
            Err(error) => {
                self.delete_blobs_of_failed_write(&error, [blob_key]).await;
                Err(error.into())
            }
        }
    }

    /// A file, or its place: there, and not expired before a build used it.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn upload(&self, id: UploadId) -> Result<UploadedFile, FarmError> {
        let read = move |conn: &mut Conn| uploads::get(conn, id);
        let file = self.read(read).await?;
        match file.used_at.is_none() && file.expires_at <= self.now() {
            true => Err(FarmError::NotFound("file")),
            false => Ok(file),
        }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// `NotFound` when there is no such file, or none was uploaded yet.
    pub async fn upload_content(&self, id: UploadId) -> Result<BlobStream, FarmError> {
        let file = self.upload(id).await?;
        self.content_of(&file).await
    }

    async fn content_of(&self, file: &UploadedFile) -> Result<BlobStream, FarmError> {
        let content = file.content.as_ref().ok_or(FarmError::NotFound("file"))?;
        Ok(self.inner.blobs.get(&content.blob_key, None).await?)
    }

    /// The file that a running job builds with its bytes, for the runner that has the job.
    ///
    /// # Errors
    /// `NotFound` when the job builds none, or does not run; `Forbidden` for another token;
    /// `Erased`.
    pub async fn package_by_token(
        &self,
        id: JobId,
        token: &JobToken,
    ) -> Result<(UploadedFile, BlobStream), FarmError> {
        let access = self.job_access(id, token).await?;
        let job = access.job();
        let package = job.spec.package().filter(|_| job.state.is_running());
        match package.map(|package| &package.source) {
            Some(PackageSource::Upload(file)) => {
                let file = self.upload(*file).await?;
                let content = self.content_of(&file).await?;
                Ok((file, content))
            }
            Some(PackageSource::Url(_)) | None => Err(FarmError::NotFound("package")),
        }
    }
}
