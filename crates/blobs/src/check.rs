//! Checking that blobs exist, without reading them.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::error::BlobError;
use crate::storage::Blobs;

/// From how many blobs on their folder is listed, which takes one request for a thousand of them.
const LIST_FROM: usize = 8;

impl Blobs {
    /// Checks that each of these blobs exists and has at least as many bytes as is said beside its
    /// key. All of them are below `folder/`.
    ///
    /// # Errors
    /// [`BlobError::NotFound`] or [`BlobError::Incomplete`] with the first blob in the list that is
    /// not whole; [`BlobError::Failed`] if the storage cannot be asked.
    pub async fn check(&self, folder: &str, blobs: &[(String, u64)]) -> Result<(), BlobError> {
        let listed = if blobs.len() < LIST_FROM {
            HashMap::new()
        } else {
            self.sizes_below(folder).await?
        };
        for (key, stored) in blobs {
            let path = self.path(key)?;
            // A blob that was stored after the listing is looked at by itself.
            let size = match listed.get(&path) {
                Some(size) => *size,
                None => {
                    let meta = self.store.head(&path).await;
                    meta.map_err(|error| BlobError::of(key, error))?.size
                }
            };
            whole(key, size, *stored)?;
        }
        Ok(())
    }

    async fn sizes_below(&self, folder: &str) -> Result<HashMap<Path, u64>, BlobError> {
        let below = self.path(folder)?;
        self.store
            .list(Some(&below))
            .map_ok(|meta| (meta.location, meta.size))
            .try_collect()
            .await
            .map_err(|error| BlobError::of(folder, error))
    }
}

/// Checks the size of a blob of which `stored` bytes should exist.
pub(crate) fn whole(key: &str, size: u64, stored: u64) -> Result<(), BlobError> {
    if size < stored {
        return Err(BlobError::Incomplete {
            key: key.to_owned(),
            size,
            stored,
        });
    }
    Ok(())
}
