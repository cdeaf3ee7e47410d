//! Storing bytes and rows while there is space for them.

use bytes::Bytes;
use futures_util::Stream;
use slipway_blobs::{BlobError, PutError, Stored};
use slipway_domain::access::Action;
use slipway_store::{Conn, StoreError};

use crate::access::authorize::Actor;
use crate::error::FarmError;
use crate::fail_points::FailPoint;
use crate::farm::Farm;
use crate::state::disk_space::DiskUsage;

/// How the farm is, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FarmStatus {
    /// Why uploads, traces and new builds are refused; absent if they are not.
    pub disk_full: Option<String>,
    /// The disks of this coordinator's host with data of the farm.
    pub disks: Vec<DiskUsage>,
}

impl Farm {
    /// How the farm is.
    ///
    /// # Errors
    /// `Forbidden` for tokens without the scope read.
    pub fn status(&self, actor: &Actor) -> Result<FarmStatus, FarmError> {
        actor.require(Action::ReadProjects)?;
        Ok(FarmStatus {
            disk_full: self.why_disk_is_full(),
            disks: self.disk_usage(),
        })
    }

    /// Why uploads, traces and new builds are refused; `None` if there is space for them.
    pub fn why_disk_is_full(&self) -> Option<String> {
        self.inner.disk_space.why_full()
    }

    /// The space on the disks of this host that hold data of the farm, as it was read last.
    pub fn disk_usage(&self) -> Vec<DiskUsage> {
        self.inner.disk_space.usage()
    }

    /// Reads the space on the disks. A duty, which also notices that there is space again.
    pub fn check_disks(&self) {
        self.inner.disk_space.refresh();
    }

    /// [`slipway_blobs::Blobs::put`] while there is space.
    ///
    /// # Errors
    /// `DiskFull`, `Unavailable`.
    pub(crate) async fn put_blob(&self, key: &str, bytes: Bytes) -> Result<(), FarmError> {
        self.require_blob_space(key)?;
        self.pass_blob(key, FailPoint::BlobBegins)?;
        let put = self.inner.blobs.put(key, bytes).await;
        put.inspect_err(|error| self.note_blob_error(error))?;
        Ok(self.pass_blob(key, FailPoint::BlobStored)?)
    }

    /// [`slipway_blobs::Blobs::put_stream`] while there is space.
    ///
    /// # Errors
    /// Those of the function, with [`BlobError::DiskFull`] if there is no space.
    pub(crate) async fn put_blob_stream<S, E>(
        &self,
        key: &str,
        limit: u64,
        stream: S,
    ) -> Result<Stored, PutError<E>>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::error::Error + 'static,
    {
        self.require_blob_space(key)?;
        self.pass_blob(key, FailPoint::BlobBegins)?;
        let put = self.inner.blobs.put_stream(key, limit, stream).await;
        if let Err(PutError::Blob(error)) = &put {
            self.note_blob_error(error);
        }
        let stored = put?;
        self.pass_blob(key, FailPoint::BlobStored)?;
        Ok(stored)
    }

    fn pass_blob(&self, key: &str, point: FailPoint) -> Result<(), BlobError> {
        let passed = self.inner.fail_points.pass(point);
        passed.map_err(|interrupted| BlobError::failed(key, interrupted))
    }

    /// [`Farm::write`] for callers to which the exact error matters.
    pub(crate) async fn write_exactly<T, F>(&self, queries: F) -> Result<T, StoreError>
    where
        F: FnMut(&mut Conn) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.inner.fail_points.stop_after_crash();
        let written = self.inner.store.write(queries).await;
        if let Err(StoreError::DiskFull(why)) = &written {
            tracing::debug!(error = %why, "A write to the database failed: its disk is full");
            self.inner.disk_space.note_full("database");
        }
        let written = written?;
        self.inner.fail_points.pass(FailPoint::Committed)?;
        Ok(written)
    }

    /// Checks that there is space for a new build.
    pub(crate) fn require_build_space(&self) -> Result<(), StoreError> {
        match self.why_disk_is_full() {
            Some(why) => Err(StoreError::DiskFull(why)),
            None => Ok(()),
        }
    }

    fn require_blob_space(&self, key: &str) -> Result<(), BlobError> {
        match self.why_disk_is_full() {
            Some(why) => Err(BlobError::disk_full(key, why)),
            None => Ok(()),
        }
    }

    fn note_blob_error(&self, error: &BlobError) {
        if let BlobError::DiskFull { key, source } = error {
            tracing::debug!(error = %source, key, "A blob was not stored: the disk is full");
            self.inner.disk_space.note_full("blobs");
        }
    }
}
