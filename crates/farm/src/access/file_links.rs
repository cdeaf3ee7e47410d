//! Links to uploaded files that work without a token for a while: the time is signed with the
//! farm's key.

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::UploadId;
use slipway_store::uploads::UploadedFile;
use subtle::ConstantTimeEq;

use crate::error::FarmError;
use crate::farm::Farm;

/// How long a link to read a file works, in seconds.
const READABLE_S: i64 = 300;

/// What a link to a file is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileAction {
    /// Filling its place.
    Upload,
    /// Reading it.
    Download,
}

impl FileAction {
    fn word(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
        }
    }
}

/// What makes a link to a file work. Whoever has it passes, so it is shown to nobody else.
pub struct FileLink {
    /// Until when, in seconds of Unix time.
    pub expires: i64,
    /// The farm's signature of that.
    pub signature: String,
}

impl Farm {
    /// The link with which the place of a file is filled, for as long as the place is kept.
    pub fn upload_link(&self, file: &UploadedFile) -> FileLink {
        self.file_link(FileAction::Upload, file.id, file.expires_at)
    }

    /// A link with which a file is read for the next five minutes.
    pub fn download_link(&self, file: UploadId) -> FileLink {
        let expires = self.now() + TimeDelta::seconds(READABLE_S);
        self.file_link(FileAction::Download, file, expires)
    }

    fn file_link(&self, door: FileAction, file: UploadId, expires: DateTime<Utc>) -> FileLink {
        let expires = expires.timestamp();
        FileLink {
            expires,
            signature: self.file_signature(door, file, expires),
        }
    }

    /// Whether a link opens this door of a file now.
    ///
    /// # Errors
    /// `Forbidden` when it never did, or does no more.
    pub fn check_file_link(
        &self,
        door: FileAction,
        file: UploadId,
        link: &FileLink,
    ) -> Result<(), FarmError> {
        let expected = self.file_signature(door, file, link.expires);
        let same: bool = expected.as_bytes().ct_eq(link.signature.as_bytes()).into();
        if same && self.now().timestamp() <= link.expires {
            return Ok(());
        }
        Err(FarmError::Forbidden("the link is not valid, or no longer"))
    }

    fn file_signature(&self, door: FileAction, file: UploadId, expires: i64) -> String {
        hex::encode(self.derived(&format!("{} {file} {expires}", door.word())))
    }
}
