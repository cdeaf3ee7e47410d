//! The file with the seal key, which belongs to one database.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use slipway_store::{Conn, Store, StoreError, log_keys, people};

use crate::access::log_tokens::seal_context;
use crate::crypto::seal::{KEY_BYTES, NotAKey, SealKey};

/// Why the seal key of a farm could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SealKeyError {
    #[error("the key file {} must contain 64 hex digits", .path.display())]
    NotAKey { path: PathBuf, source: NotAKey },
    /// Other users can read the file.
    #[error("other users can read the key file {}: set its mode to 0600", .0.display())]
    Exposed(PathBuf),
    /// The file does not exist, although the database is in use.
    #[error(
        "the key file {} is missing. The secrets in the database are sealed with it: restore it from \
         the backup of this database",
        .0.display()
    )]
    Missing(PathBuf),
    /// The secrets in the database are sealed with another key.
    #[error(
        "the key in {} is not the one that the secrets in the database are sealed with: restore the \
         file that belongs to this database",
        .0.display()
    )]
    Wrong(PathBuf),
    /// The file cannot be read or created.
    #[error("could not read or create the key file {}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads the seal key of the farm in `store` from the file at `path`. For an empty database, creates
/// the file with a new key and mode 0600 if it does not exist.
///
/// A new key beside a database in use would make its secrets unreadable only later, one by one. So a
/// missing file is an error, and the key must open a value that is in the database.
///
/// # Errors
/// See [`SealKeyError`].
pub async fn open_seal_key(store: &Store, path: &Path) -> Result<SealKey, SealKeyError> {
    let read = |conn: &mut Conn| Ok((log_keys::current(conn)?, people::any(conn)?));
    let (known, has_users) = store.read(read).await?;
    let is_new = known.is_none() && !has_users;
    let failed = |source| SealKeyError::File {
        path: path.to_owned(),
        source,
    };
    if !path.try_exists().map_err(failed)? {
        if !is_new {
            return Err(SealKeyError::Missing(path.to_owned()));
        }
        create(path).map_err(failed)?;
    }
    let key = read_file(path)?;
    let opens = |sealed: &log_keys::StoredLogKey| {
        let context = seal_context(&sealed.kid);
        key.open(&context, &sealed.sealed).is_ok()
    };
    if known.is_some_and(|sealed| !opens(&sealed)) {
        return Err(SealKeyError::Wrong(path.to_owned()));
    }
    Ok(key)
}

fn read_file(path: &Path) -> Result<SealKey, SealKeyError> {
    let failed = |source| SealKeyError::File {
        path: path.to_owned(),
        source,
    };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(SealKeyError::Exposed(path.to_owned()));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    SealKey::from_hex(&text).map_err(|source| SealKeyError::NotAKey {
        path: path.to_owned(),
        source,
    })
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

    #[test]
    fn the_key_file_is_created_once_and_readable_only_by_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal-key");
        create(&path).unwrap();
        let sealed = read_file(&path).unwrap().seal("c", "plain", [1; 24]);
        create(&path).unwrap();
        let again = read_file(&path).unwrap();
        assert_eq!(again.open("c", &sealed), Ok("plain".to_owned()));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let exposed = read_file(&path).unwrap_err();
        assert!(matches!(exposed, SealKeyError::Exposed(_)));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        let short = read_file(&path).unwrap_err();
        assert!(matches!(short, SealKeyError::NotAKey { .. }));
    }
}
