//! How much may be stored: the files of the jobs of a project, and the uploads of a user.

use slipway_domain::{ProjectId, UserId};
use slipway_store::{Conn, artifacts, uploads};

use crate::error::FarmError;
use crate::farm::Farm;

impl Farm {
    /// The bytes that may be added to the files of a project's jobs.
    ///
    /// # Errors
    /// `StorageFull` when there are none.
    pub(crate) async fn storage_left(&self, project: ProjectId) -> Result<u64, FarmError> {
        let limit = self.inner.settings.max_project_bytes;
        let counts = &self.inner.project_bytes;
        let stored = match counts.recent(project).filter(|stored| *stored < limit) {
            Some(stored) => stored,
            None => {
                let count = move |conn: &mut Conn| artifacts::stored_bytes(conn, project);
                let stored = self.read(count).await?;
                counts.counted(project, stored);
                stored
            }
        };
        left("project", limit, stored)
    }

    /// The error for a project whose files have reached their limit.
    pub(crate) fn project_full(&self) -> FarmError {
        FarmError::StorageFull {
            owner: "project",
            limit: self.inner.settings.max_project_bytes,
        }
    }

    /// The bytes that may be added to the uploads of a user.
    ///
    /// # Errors
    /// `StorageFull` when there are none.
    pub(crate) async fn upload_storage_left(&self, user: UserId) -> Result<u64, FarmError> {
        let limit = self.inner.settings.max_user_upload_bytes;
        let counts = &self.inner.upload_bytes;
        let stored = match counts.recent(user).filter(|stored| *stored < limit) {
            Some(stored) => stored,
            None => {
                let count = move |conn: &mut Conn| uploads::stored_bytes(conn, user);
                let stored = self.read(count).await?;
                counts.counted(user, stored);
                stored
            }
        };
        left("user", limit, stored)
    }
}

fn left(owner: &'static str, limit: u64, stored: u64) -> Result<u64, FarmError> {
    match limit.checked_sub(stored) {
        Some(left) if left > 0 => Ok(left),
        _ => Err(FarmError::StorageFull { owner, limit }),
    }
}
