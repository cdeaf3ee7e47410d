//! Links to uploaded files that work without a token until they expire. The expiry is signed with a
//! secret derived from the seal key.

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::UploadId;
use slipway_store::uploads::UploadedFile;
use subtle::ConstantTimeEq;

use crate::error::FarmError;
use crate::farm::Farm;

/// The lifetime of a download link, in seconds.
const DOWNLOAD_LIFETIME_S: i64 = 300;

/// What a link to a file allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileAction {
    Upload,
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

/// Proof that a caller has a link that allows an action on this file; only this module makes one.
#[derive(Clone, Copy, Debug)]
pub struct FileAccess(UploadId);

impl FileAccess {
    /// The file.
    pub fn id(self) -> UploadId {
        self.0
    }
}

/// The signed part of a link to a file. Everybody who has it can use it, so show it to nobody else.
pub struct FileLink {
    /// When the link expires, in seconds of Unix time.
    pub expires: i64,
    pub signature: String,
}

impl Farm {
    /// A link to upload a file, which is valid until the upload expires.
    pub fn upload_link(&self, file: &UploadedFile) -> FileLink {
        self.file_link(FileAction::Upload, file.id, file.expires_at)
    }

    /// A link to download a file, which is valid for five minutes.
    pub fn download_link(&self, file: UploadId) -> FileLink {
        let expires = self.expiry_now() + TimeDelta::seconds(DOWNLOAD_LIFETIME_S);
        self.file_link(FileAction::Download, file, expires)
    }

    fn file_link(&self, action: FileAction, file: UploadId, expires: DateTime<Utc>) -> FileLink {
        let expires = expires.timestamp();
        FileLink {
            expires,
            signature: self.file_signature(action, file, expires),
        }
    }

    /// Checks that a link allows this action on a file now.
    ///
    /// # Errors
    /// `Forbidden` when the signature is wrong or the link has expired.
    pub fn check_file_link(
        &self,
        action: FileAction,
        file: UploadId,
        link: &FileLink,
    ) -> Result<FileAccess, FarmError> {
        let expected = self.file_signature(action, file, link.expires);
        // Compared in constant time: otherwise the signature could be guessed byte by byte.
        let same: bool = expected.as_bytes().ct_eq(link.signature.as_bytes()).into();
        if same && self.expiry_now().timestamp() <= link.expires {
            return Ok(FileAccess(file));
        }
        Err(FarmError::Forbidden("the link is invalid or has expired"))
    }

    fn file_signature(&self, action: FileAction, file: UploadId, expires: i64) -> String {
        hex::encode(self.derived(&format!("{} {file} {expires}", action.word())))
    }
}
