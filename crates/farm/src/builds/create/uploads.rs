//! Files that people upload for a build. Everybody who knows the id of an upload may fill and read it
//! until it expires. Once a build uses the file, it cannot be changed.

use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::Stream;
use slipway_blobs::{BlobStream, PutError};
use slipway_domain::access::Action;
use slipway_domain::package::PackageSource;
use slipway_domain::{JobId, JobToken, UploadId};
use slipway_store::Conn;
use slipway_store::uploads::{self, FileContent, UploadedFile};

use crate::access::authorize::Actor;
use crate::error::FarmError;
use crate::farm::Farm;

/// The longest media type, in bytes.
const MAX_MIME: usize = 255;

/// The folder of the blobs of an upload. Everything in it goes with the upload.
pub(crate) fn upload_folder(id: UploadId) -> String {
    format!("uploads/{id}")
}

impl Farm {
    /// Creates an upload without content. Every token may do that.
    ///
    /// # Errors
    /// `Invalid` for an invalid media type.
    pub async fn create_upload(
        &self,
        actor: &Actor,
        mime: &str,
    ) -> Result<UploadedFile, FarmError> {
        actor.require(Action::UseAccount)?;
        if mime.len() > MAX_MIME || mime.contains(|c: char| c.is_control()) {
            let why = format!(
                "a media type must have at most {MAX_MIME} bytes and no control characters"
            );
            return Err(FarmError::Invalid(why));
        }
        let (id, by, mime, now) = (
            self.inner.chance.upload_id(),
            actor.user,
            mime.to_owned(),
            self.expiry_now(),
        );
        let lifetime = self.inner.settings.upload_lifetime;
        let expires_at = now + TimeDelta::from_std(lifetime).unwrap_or(TimeDelta::MAX);
        let make = move |conn: &mut Conn| {
            uploads::insert(conn, id, by, &mime, expires_at, now)?;
            uploads::get(conn, id)
        };
        self.write(make).await
    }

    /// Stores the content of an upload and replaces an earlier one.
    ///
    /// # Errors
    /// `NotFound` when there is no such upload or it has expired; `Conflict` when a build uses the
    /// file; `TooLarge`; `StorageFull` when its user has no space left for it; `DiskFull`; `Invalid` when
    /// the upload breaks off.
    pub async fn fill_upload<S, E>(&self, id: UploadId, content: S) -> Result<(), FarmError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::error::Error + 'static,
    {
        let upload = self.upload(id).await?;
        if upload.used_at.is_some() {
            return Err(FarmError::Conflict("a build uses the file".to_owned()));
        }
        let limit = self.inner.settings.max_upload_bytes;
        let user = upload.created_by;
        let left = self.upload_storage_left(user).await?;
        // A new blob for each upload: a reader of the old content must not see bytes of both.
        let blob_key = self.inner.chance.blob_key(&upload_folder(id));
        let put = self
            .put_blob_stream(&blob_key, limit.min(left), content)
            .await;
        let stored = put.map_err(|error| match error {
            PutError::TooLarge { .. } if left < limit => FarmError::StorageFull {
                owner: "user",
                limit: self.inner.settings.max_user_upload_bytes,
            },
            PutError::TooLarge { .. } => FarmError::TooLarge { limit },
            PutError::Source(error) => FarmError::Invalid(format!("the upload broke off: {error}")),
            PutError::Blob(error) => error.into(),
        })?;
        self.inner.upload_bytes.add(user, stored.size);
        let content = FileContent {
            blob_key: blob_key.clone(),
            size_bytes: stored.size,
            sha256: stored.sha256,
        };
        let now = self.expiry_now();
        let fill = move |conn: &mut Conn| uploads::set_content(conn, id, &content, now);
        match self.write_exactly(fill).await {
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

    /// An upload. Uploads that a build uses do not expire.
    ///
    /// # Errors
    /// `NotFound` when there is no such upload or it has expired.
    pub async fn upload(&self, id: UploadId) -> Result<UploadedFile, FarmError> {
        let read = move |conn: &mut Conn| uploads::get(conn, id);
        let file = self.read(read).await?;
        if file.used_at.is_none() && file.expires_at <= self.expiry_now() {
            return Err(FarmError::NotFound("file"));
        }
        Ok(file)
    }

    /// The content of an upload.
    ///
    /// # Errors
    /// `NotFound` when there is no such upload or it has no content yet; `ContentMissing`.
    pub async fn upload_content(&self, id: UploadId) -> Result<BlobStream, FarmError> {
        let file = self.upload(id).await?;
        self.content_of(&file, format!("the uploaded file {id}"))
            .await
    }

    /// The content of a file, which errors call `what`.
    async fn content_of(&self, file: &UploadedFile, what: String) -> Result<BlobStream, FarmError> {
        let content = file.content.as_ref().ok_or(FarmError::NotFound("file"))?;
        let (key, size) = (&content.blob_key, content.size_bytes);
        let found = self.inner.blobs.get_whole(key, size, None).await;
        found.map_err(FarmError::missing(what))
    }

    /// The uploaded file that a running job builds, with its content, for the runner of the job.
    ///
    /// # Errors
    /// `NotFound` when the job does not build an uploaded file or is not running; `Forbidden` for any
    /// other token; `Erased`; `ContentMissing`.
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
                let content = self
                    .content_of(&file, format!("the package of job {id}"))
                    .await?;
                Ok((file, content))
            }
            Some(PackageSource::Url(_)) | None => Err(FarmError::NotFound("package")),
        }
    }
}
