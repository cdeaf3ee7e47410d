//! The state of the farm.

use serde::Serialize;
use utoipa::ToSchema;

/// The state of the farm.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FarmStatus {
    /// Whether uploads, traces and new builds are accepted.
    pub(crate) accepts_data: bool,
    /// Why they are not.
    pub(crate) reason: Option<String>,
    /// The disks on the coordinator's host that hold data of the farm.
    pub(crate) disks: Vec<DiskStatus>,
}

/// A disk with data of the farm.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DiskStatus {
    /// What it holds: `database` or `blobs`.
    pub(crate) name: String,
    /// How many bytes can still be written.
    pub(crate) free_bytes: u64,
    /// Whether that is less than the farm needs.
    pub(crate) full: bool,
}
