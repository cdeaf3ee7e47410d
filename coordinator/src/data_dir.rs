//! The data directory: created if necessary, and locked against other coordinators.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use slipway_store::DatabaseUrl;

use crate::config::Config;

/// The name of the lock file in the data directory.
const LOCK_FILE: &str = "lock";

/// Locks on the files of a coordinator. The system releases them when the process ends, however it
/// ends.
#[derive(Debug)]
pub(crate) struct DataDirLock {
    _files: Vec<File>,
}

/// Who may use a file at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Coordinators that share a database on PostgreSQL may share the directory.
    Shared,
    /// SQLite is for one coordinator: signals between coordinators go through PostgreSQL only.
    Alone,
}

/// Creates the data directory if necessary, and locks it and the database.
///
/// # Errors
/// If the directory cannot be created, or another coordinator uses it in a way that excludes this one.
pub(crate) fn open(config: &Config) -> anyhow::Result<DataDirLock> {
    create(&config.data_dir)?;
    let lock_file = config.data_dir.join(LOCK_FILE);
    let mut files = Vec::new();
    match config.database() {
        DatabaseUrl::Sqlite(database) => {
            files.extend(lock(&lock_file, Access::Alone, &config.data_dir)?);
            // The database may be elsewhere, and then another data directory does not help.
            files.extend(lock(&beside(&database), Access::Alone, &database)?);
        }
        DatabaseUrl::Postgres(_) => {
            files.extend(lock(&lock_file, Access::Shared, &config.data_dir)?);
        }
    }
    Ok(DataDirLock { _files: files })
}

/// Creates the data directory if necessary. Only its owner may enter, because it holds tokens and the
/// database.
fn create(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("could not create {}", path.display()))
}

/// The lock file of a SQLite database: the same one through every link to the database. The database
/// itself has locks of SQLite, which must not be disturbed.
fn beside(database: &Path) -> PathBuf {
    let real = database.canonicalize().or_else(|_| {
        // It does not exist yet, but its directory does.
        let folder = database.parent().unwrap_or(Path::new("."));
        let name = database.file_name().unwrap_or_default();
        folder.canonicalize().map(|folder| folder.join(name))
    });
    let mut name = real
        .unwrap_or_else(|_| database.to_owned())
        .into_os_string();
    name.push(".lock");
    name.into()
}

/// Locks a file; `what` is what it stands for. `None` if the file system does not support locks.
fn lock(path: &Path, access: Access, what: &Path) -> anyhow::Result<Option<File>> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    let mut file = match opened {
        Ok(file) => file,
        // The database reports what is wrong with its directory.
        Err(error) if path.file_name() != Some(LOCK_FILE.as_ref()) => {
            tracing::debug!(%error, "Could not create the lock file {}", path.display());
            return Ok(None);
        }
        Err(error) => {
            return Err(error).with_context(|| format!("could not create {}", path.display()));
        }
    };
    let locked = match access {
        Access::Shared => file.try_lock_shared(),
        Access::Alone => file.try_lock(),
    };
    match locked {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => anyhow::bail!(in_use(&mut file, access, what)),
        Err(TryLockError::Error(error)) => {
            tracing::warn!(
                %error,
                "Could not lock {}: make sure that no other coordinator uses {}",
                path.display(),
                what.display()
            );
            return Ok(None);
        }
    }
    let owner = match access {
        Access::Alone => format!("{}\n", std::process::id()),
        // There may be several, and none of them is the owner.
        Access::Shared => String::new(),
    };
    // The number only serves the message for the next coordinator.
    if let Err(error) = write(&mut file, &owner) {
        tracing::debug!(%error, "Could not write to {}", path.display());
    }
    Ok(Some(file))
}

fn write(file: &mut File, text: &str) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

/// The message for a directory or database that is in use.
fn in_use(file: &mut File, access: Access, what: &Path) -> String {
    let mut text = String::new();
    // Without the number, the message is still right.
    let _ = file.take(32).read_to_string(&mut text);
    let process = match text.trim().parse::<u32>() {
        Ok(id) => format!(" (process {id})"),
        Err(_) => String::new(),
    };
    let advice = match access {
        Access::Alone => {
            "stop it first, or give this one another data directory; several coordinators can serve \
             one farm only with PostgreSQL"
        }
        Access::Shared => {
            "it uses SQLite there; stop it first, or give this one another data directory"
        }
    };
    format!(
        "another coordinator{process} uses {}: {advice}",
        what.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinators_share_a_directory_only_on_postgresql() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOCK_FILE);
        let alone = || lock(&path, Access::Alone, dir.path());
        let shared = || lock(&path, Access::Shared, dir.path());
        let owner = alone().unwrap().unwrap();
        for refused in [alone(), shared()] {
            let error = refused.unwrap_err().to_string();
            let process = format!("(process {})", std::process::id());
            assert!(error.contains(&process), "{error}");
        }
        drop(owner);
        let (first, second) = (shared().unwrap().unwrap(), shared().unwrap().unwrap());
        let error = alone().unwrap_err().to_string();
        assert!(!error.contains("process"), "{error}");
        drop((first, second));
        alone().unwrap().unwrap();
    }

    #[test]
    fn a_database_has_one_lock_file_through_every_link() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        std::fs::write(dir.join("a.db"), "").unwrap();
        std::os::unix::fs::symlink("a.db", dir.join("b.db")).unwrap();
        assert_eq!(beside(&dir.join("b.db")), dir.join("a.db.lock"));
        assert_eq!(beside(&dir.join("new.db")), dir.join("new.db.lock"));
    }
}
