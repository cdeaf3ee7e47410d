//! The runner's work directory, and the free space of disks.

use std::fs::File;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The directory that jobs run in. A lock file keeps other runners out of it.
#[derive(Debug)]
pub struct WorkDir {
    root: PathBuf,
    instance: String,
    _lock: File,
}

impl WorkDir {
    /// Creates the directory if it is missing, locks it, and deletes the job directories that an
    /// earlier process left in it.
    ///
    /// # Errors
    /// Fails if the directory cannot be created or written, or if another runner uses it.
    pub fn lock(root: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(root)?;
        // The system releases the lock when the process ends, however it ends.
        let lock = File::create(root.join("lock"))?;
        lock.try_lock().map_err(|_| {
            std::io::Error::other("another runner uses this directory; give each its own")
        })?;
        let jobs = root.join("jobs");
        match std::fs::remove_dir_all(&jobs) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::create_dir_all(&jobs)?,
        }
        // The name is stored, so that after a restart the runner finds what it left in the engine.
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

    /// A name that distinguishes this runner from others on the same engine. It stays the same
    /// over restarts.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Creates a directory for one job. It is deleted when the returned value is dropped.
    ///
    /// # Errors
    /// Fails if the directory cannot be created.
    pub fn create_job_dir(&self, id: i64) -> std::io::Result<TempDir> {
        tempfile::Builder::new()
            .prefix(&format!("job-{id}-"))
            .tempdir_in(self.root.join("jobs"))
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// How many bytes can still be written to the file system that holds `path`.
///
/// # Errors
/// Fails if the file system does not report its free space.
pub fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path)?;
    Ok(stat.blocks_available() * stat.fragment_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_deletes_the_jobs_of_a_dead_runner_and_refuses_the_directory_of_a_living_one() {
        let dir = tempfile::tempdir().unwrap();
        let first = WorkDir::lock(dir.path()).unwrap();
        let leftover = first.create_job_dir(7).unwrap().keep();
        assert!(WorkDir::lock(dir.path()).is_err());
        let name = first.instance().to_owned();
        drop(first);
        let second = WorkDir::lock(dir.path()).unwrap();
        assert!(!leftover.exists());
        assert_eq!(second.instance(), name);
        assert!(free_bytes(second.root()).unwrap() > 0);
    }
}
