//! Seals secrets at rest: XChaCha20-Poly1305 with a key that is stored apart from the database.
//!
//! A sealed value is bound to its context, for instance `variable:7:TOKEN`, so that a value copied
//! to another row does not open there.

use std::fmt;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// Identifies cipher and layout of a sealed value, so that others can be added.
const VERSION: &str = "v1.";

/// A key to seal secrets with.
#[derive(Clone)]
pub struct SealKey {
    cipher: XChaCha20Poly1305,
    bytes: [u8; KEY_BYTES],
}

/// Why a seal key could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SealKeyError {
    #[error("a seal key must be 64 hex digits")]
    NotAKey,
    /// Other users can read the file.
    #[error("other users can read the key file {}: set its mode to 0600", .0.display())]
    Exposed(PathBuf),
    /// The file cannot be read or created.
    #[error("could not read or create the key file {}", .path.display())]
    File { path: PathBuf, source: io::Error },
}

/// A sealed value does not open with this key in this context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not open a sealed value: it was changed, moved, or sealed with another key")]
pub struct UnsealError;

impl SealKey {
    /// Reads a key from 64 hex digits.
    ///
    /// # Errors
    /// `NotAKey` when the text is anything else.
    pub fn from_hex(text: &str) -> Result<Self, SealKeyError> {
        let mut key = [0; KEY_BYTES];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| SealKeyError::NotAKey)?;
        Ok(Self {
            cipher: XChaCha20Poly1305::new(&key.into()),
            bytes: key,
        })
    }

    /// Reads the key from the file at `path`. Creates the file with a new key and mode 0600 if it does
    /// not exist.
    ///
    /// # Errors
    /// When the file cannot be read or created, holds no key, or is readable by other users.
    pub fn load_or_create(path: &Path) -> Result<Self, SealKeyError> {
        let failed = |source| SealKeyError::File {
            path: path.to_owned(),
            source,
        };
        if !path.try_exists().map_err(failed)? {
            create(path).map_err(failed)?;
        }
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(SealKeyError::Exposed(path.to_owned()));
        }
        Self::from_hex(&fs::read_to_string(path).map_err(failed)?)
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

/// Creates a key file. If another process created it at the same time, that file is kept.
fn create(path: &Path) -> io::Result<()> {
    let key: [u8; KEY_BYTES] = rand::random();
    let unique: [u8; 8] = rand::random();
    let draft = path.with_extension(format!("{}.new", hex::encode(unique)));
    // A complete file is linked into place, so that a crash cannot leave half a key behind.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    // The umask may have removed bits from the mode above.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(format!("{}\n", hex::encode(key)).as_bytes())?;
    file.sync_all()?;
    let linked = match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    };
    fs::remove_file(&draft)?;
    linked?;
    match path.parent() {
        Some(folder) if folder != Path::new("") => fs::File::open(folder)?.sync_all(),
        _ => Ok(()),
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

    #[test]
    fn the_key_file_is_created_once_and_readable_only_by_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal-key");
        let made = SealKey::load_or_create(&path).unwrap();
        let sealed = made.seal("c", "plain", [1; 24]);
        let again = SealKey::load_or_create(&path).unwrap();
        assert_eq!(again.open("c", &sealed), Ok("plain".to_owned()));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            SealKey::load_or_create(&path),
            Err(SealKeyError::Exposed(_))
        ));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        assert!(matches!(
            SealKey::load_or_create(&path),
            Err(SealKeyError::NotAKey)
        ));
    }
}
