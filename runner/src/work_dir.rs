//! Free space, and the runner's working directory.

use std::fs::File;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The directory that the runner works in. One runner has it at a time.
#[derive(Debug)]
pub struct WorkDir {
    root: PathBuf,
    instance: String,
    _lock: File,
}

impl WorkDir {
    /// Takes the directory, which is made, and removes what a dead predecessor left in it.
    ///
    /// # Errors
    /// When it cannot be made or used, or another runner works in it.
    pub fn take(root: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(root)?;
        let lock = File::create(root.join("lock"))?;
        lock.try_lock().map_err(|_| {
            std::io::Error::other("another runner works in this directory; give each its own")
        })?;
        let jobs = root.join("jobs");
        match std::fs::remove_dir_all(&jobs) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::create_dir_all(&jobs)?,
        }
        let name = root.join("instance");
        let instance = match std::fs::read_to_string(&name) {
            Ok(instance) if !instance.trim().is_empty() => instance.trim().to_owned(),
            _ => {
                let instance = hex::encode(rand::random::<[u8; 8]>());
                std::fs::write(&name, &instance)?;
                instance
            }
        };
        Ok(Self {
            root: root.to_owned(),
            instance,
            _lock: lock,
        })
    }

    /// Sets this runner apart from others on the same engine, and stays the same over restarts.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Makes a fresh directory for one job; it is removed when it is dropped.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn job(&self, id: i64) -> std::io::Result<TempDir> {
        tempfile::Builder::new()
            .prefix(&format!("job-{id}-"))
            .tempdir_in(self.root.join("jobs"))
    }

    /// How many bytes a job may still write here.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn free_bytes(&self) -> std::io::Result<u64> {
        free_bytes(&self.root)
    }
}

/// How many bytes may still be written to the file system of `path`.
///
/// # Errors
/// When it does not say.
pub fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path)?;
    Ok(stat.blocks_available() * stat.fragment_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_predecessor_left_is_removed_and_a_living_one_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let first = WorkDir::take(dir.path()).unwrap();
        let left = first.job(7).unwrap().keep();
        assert!(WorkDir::take(dir.path()).is_err());
        let name = first.instance().to_owned();
        drop(first);
        let second = WorkDir::take(dir.path()).unwrap();
        assert!(!left.exists());
        assert_eq!(second.instance(), name);
        assert!(second.free_bytes().unwrap() > 0);
    }
}
