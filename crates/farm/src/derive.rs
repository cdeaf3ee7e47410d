//! Secrets that follow from the farm's key, so that none of them has to be stored.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use slipway_domain::image_mark::ImageMark;
use slipway_domain::{JobId, JobToken, tokens::TOKEN_ENTROPY_BYTES};

use crate::Farm;

impl Farm {
    /// The token with which a job's runner sends its trace and artifacts.
    pub(crate) fn job_token(&self, job: JobId) -> JobToken {
        JobToken::from_entropy(self.derived(&format!("job {job}")))
    }

    /// A token that fetches a job's archive and can do nothing else: jobs that need it get it.
    pub(crate) fn archive_token(&self, job: JobId) -> JobToken {
        JobToken::from_entropy(self.derived(&format!("archive {job}")))
    }

    /// The mark of the line by which a job's commands tell of their image.
    pub(crate) fn image_mark(&self, job: JobId) -> ImageMark {
        ImageMark::from_entropy(&self.derived(&format!("image {job}")))
    }

    /// Twenty bytes that only a holder of the key can tell for `purpose`.
    pub(crate) fn derived(&self, purpose: &str) -> [u8; TOKEN_ENTROPY_BYTES] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.inner.seal.bytes()) else {
            unreachable!("HMAC takes a key of any length");
        };
        mac.update(purpose.as_bytes());
        let mut bytes = [0; TOKEN_ENTROPY_BYTES];
        bytes.copy_from_slice(&mac.finalize().into_bytes()[..TOKEN_ENTROPY_BYTES]);
        bytes
    }
}
