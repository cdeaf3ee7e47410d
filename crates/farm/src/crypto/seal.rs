//! Seals secrets at rest: XChaCha20-Poly1305 with a key that is stored apart from the database.
//!
//! A sealed value is bound to its context, for instance `variable:7:TOKEN`, so that a value copied
//! to another row does not open there.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

pub(super) const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// Identifies cipher and layout of a sealed value, so that others can be added.
const VERSION: &str = "v1.";

/// A key to seal secrets with.
#[derive(Clone)]
pub struct SealKey {
    cipher: XChaCha20Poly1305,
    bytes: [u8; KEY_BYTES],
}

/// A seal key must be 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a seal key must be 64 hex digits")]
pub struct NotAKey;

/// A sealed value does not open with this key in this context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not open a sealed value: it was changed, moved, or sealed with another key")]
pub struct UnsealError;

impl SealKey {
    /// Reads a key from 64 hex digits.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn from_hex(text: &str) -> Result<Self, NotAKey> {
        let mut key = [0; KEY_BYTES];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| NotAKey)?;
        Ok(Self {
            cipher: XChaCha20Poly1305::new(&key.into()),
            bytes: key,
        })
    }

    /// The key itself, from which other secrets of the farm are derived.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Seals `plain` for `context`. A nonce must never be used twice.
    pub fn seal(&self, context: &str, plain: &str, nonce: [u8; NONCE_BYTES]) -> String {
        let payload = Payload {
            msg: plain.as_bytes(),
            aad: context.as_bytes(),
        };
        let sealed = match self.cipher.encrypt(&XNonce::from(nonce), payload) {
            Ok(sealed) => sealed,
            Err(_) => unreachable!("sealing fails only above 256 GiB"),
        };
        let whole = [nonce.as_slice(), &sealed].concat();
        format!("{VERSION}{}", STANDARD_NO_PAD.encode(whole))
    }

    /// Opens what was sealed for `context`.
    ///
    /// # Errors
    /// When it was changed, sealed for another context, or sealed with another key.
    pub fn open(&self, context: &str, sealed: &str) -> Result<String, UnsealError> {
        let text = sealed.strip_prefix(VERSION).ok_or(UnsealError)?;
        let whole = STANDARD_NO_PAD.decode(text).map_err(|_| UnsealError)?;
        let (nonce, msg) = whole
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(UnsealError)?;
        let payload = Payload {
            msg,
            aad: context.as_bytes(),
        };
        let plain = self.cipher.decrypt(&XNonce::from(*nonce), payload);
        String::from_utf8(plain.map_err(|_| UnsealError)?).map_err(|_| UnsealError)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: &str) -> SealKey {
        SealKey::from_hex(&digit.repeat(64)).unwrap()
    }

    #[test]
    fn a_sealed_value_opens_only_in_its_own_context() {
        let sealed = key("a").seal("variable:1:TOKEN", "hunter2", [7; 24]);
        assert!(!sealed.contains("hunter2"));
        assert_eq!(
            key("a").open("variable:1:TOKEN", &sealed),
            Ok("hunter2".to_owned())
        );
        assert_eq!(key("a").open("variable:2:TOKEN", &sealed), Err(UnsealError));
        assert_eq!(key("b").open("variable:1:TOKEN", &sealed), Err(UnsealError));
        let mut changed = sealed.clone();
        let last = if changed.pop() == Some('A') { 'B' } else { 'A' };
        changed.push(last);
        assert_eq!(
            key("a").open("variable:1:TOKEN", &changed),
            Err(UnsealError)
        );
        assert_eq!(key("a").open("variable:1:TOKEN", "v1."), Err(UnsealError));
        assert_eq!(
            key("a").open("variable:1:TOKEN", "hunter2"),
            Err(UnsealError)
        );
    }
}
