//! Random bytes and ids.

use chrono::{DateTime, Utc};
use slipway_domain::{BuildUuid, UploadId};
use uuid::{ContextV7, Timestamp, Uuid};

/// The source of random bytes: the operating system.
#[derive(Clone, Debug, Default)]
pub struct Chance;

impl Chance {
    /// Random bytes, suitable for tokens and nonces.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        rand::random()
    }

    /// A UUID for a build, which sorts by `now`.
    pub fn build_uuid(&self, now: DateTime<Utc>) -> BuildUuid {
        let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
        let context = ContextV7::new();
        BuildUuid(Uuid::new_v7(Timestamp::from_unix(
            &context,
            seconds,
            now.timestamp_subsec_nanos(),
        )))
    }

    /// An id for an uploaded file, which nobody can guess.
    pub fn upload_id(&self) -> UploadId {
        UploadId(uuid::Builder::from_random_bytes(self.bytes()).into_uuid())
    }

    /// A new key for a blob under `folder`.
    pub fn blob_key(&self, folder: &str) -> String {
        let name: [u8; 16] = self.bytes();
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{folder}/{name}")
    }
}
