//! Listing what is stored in a folder, including what a crash left unfinished.

use std::io::ErrorKind;
use std::time::SystemTime;

use crate::error::BlobError;
use crate::storage::Blobs;

/// Stored bytes, as the storage shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The key of the blob. In a directory also the name of a file that was never completed, which
    /// contains `#` and is the key of no blob.
    pub key: String,
    /// When it was written, by the clock of the storage.
    pub modified: SystemTime,
}

impl Blobs {
    /// Everything that is stored directly below `folder/`. Nothing, if there is no such folder.
    ///
    /// In a bucket, unfinished uploads are not included: a lifecycle rule of the bucket deletes them.
    ///
    /// # Errors
    /// [`BlobError::InvalidKey`], or [`BlobError::Failed`].
    pub async fn list(&self, folder: &str) -> Result<Vec<Listed>, BlobError> {
        let path = self.path(folder)?;
        let failed = |error: std::io::Error| BlobError::failed(folder, error);
        // The object store does not list unfinished files.
        if let Some(root) = &self.root {
            let mut entries = match tokio::fs::read_dir(root.join(path.as_ref())).await {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(failed(error)),
            };
            let mut listed = Vec::new();
            while let Some(entry) = entries.next_entry().await.map_err(failed)? {
                let metadata = match entry.metadata().await {
                    Ok(metadata) if metadata.is_file() => metadata,
                    // It was deleted meanwhile, or is a folder.
                    _ => continue,
                };
                listed.push(Listed {
                    key: format!("{folder}/{}", entry.file_name().to_string_lossy()),
                    modified: metadata.modified().map_err(failed)?,
                });
            }
            return Ok(listed);
        }
        let found = self.store.list_with_delimiter(Some(&path)).await;
        let found = found.map_err(|error| BlobError::of(folder, error))?.objects;
        let listed = found.into_iter().map(|meta| Listed {
            key: format!("{folder}/{}", meta.location.filename().unwrap_or_default()),
            modified: meta.last_modified.into(),
        });
        Ok(listed.collect())
    }

    /// Deletes what [`Blobs::list`] returned. It is not an error if it is gone.
    ///
    /// # Errors
    /// [`BlobError::Failed`] if it may still exist.
    pub async fn delete_listed(&self, listed: &Listed) -> Result<(), BlobError> {
        match (&self.root, listed.key.rsplit_once('/')) {
            (Some(root), Some((folder, name))) if name.contains('#') => {
                let folder = self.path(folder)?;
                let file = root.join(folder.as_ref()).join(name);
                match tokio::fs::remove_file(file).await {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        Err(BlobError::failed(&listed.key, error))
                    }
                    _ => Ok(()),
                }
            }
            _ => self.delete(&listed.key).await,
        }
    }
}
