//! The keys that log tokens are signed with.

use std::fmt;

use sha2::{Digest, Sha256};

/// A key to sign log tokens with.
#[derive(Clone)]
pub struct LogKey {
    pub(crate) kid: String,
    pub(crate) secret: [u8; 32],
}

impl LogKey {
    /// Reads a key from 64 hex digits; `None` when the text is anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut secret = [0; 32];
        hex::decode_to_slice(text.trim(), &mut secret).ok()?;
        // The id must not reveal the secret, and must be the same at every coordinator.
        let digest = Sha256::new()
            .chain_update(b"log key id")
            .chain_update(secret);
        let id = hex::encode(digest.finalize());
        Some(Self {
            kid: id.get(..16)?.to_owned(),
            secret,
        })
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogKey").field(&self.kid).finish()
    }
}
