//! Unpacks an untrusted archive into one directory.
//!
//! Each step goes from an open directory to a name in it, without following links. So nothing outside
//! is written, even if another process changes the tree meanwhile. The archive's symbolic links are
//! created last, when it is known where each of them leads. An entry that is not allowed fails the
//! whole archive; existing files may have been replaced by then.

mod budget;
mod errors;
mod limits;
mod links;
mod name;
mod tar;
mod tree;
mod zip;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::PackageError;
use crate::kind::Archive;

use self::budget::Budget;
use self::tree::Tree;

pub use self::limits::{UnpackLimits, Unpacked};

/// Unpacks an archive into `dir`, which is created. Existing files are kept or replaced.
///
/// Files belong to the current user and are executable if the archive makes them executable for their
/// owner; other mode bits are dropped. Dropping the future stops the work at its next step.
///
/// # Errors
/// See [`PackageError`]. The contents of `dir` are undefined then.
pub async fn unpack(
    archive: File,
    kind: Archive,
    dir: &Path,
    limits: UnpackLimits,
) -> Result<Unpacked, PackageError> {
    // A blocking task cannot be cancelled, so it has to check a flag.
    let stop = StopOnDrop(Arc::default());
    let flag = Arc::clone(&stop.0);
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || unpack_here(archive, kind, &dir, limits, flag))
        .await
        .map_err(std::io::Error::other)?
}

/// Like [`unpack`], but runs in the current thread, until `stop` is set.
///
/// # Errors
/// See [`unpack`].
pub fn unpack_here(
    archive: File,
    kind: Archive,
    dir: &Path,
    limits: UnpackLimits,
    stop: Arc<AtomicBool>,
) -> Result<Unpacked, PackageError> {
    // Checked first, because all other limits cost time to reach.
    let size = archive.metadata()?.len();
    if size > limits.compressed {
        let limit = limits.compressed;
        return Err(PackageError::TooLarge { limit });
    }
    std::fs::create_dir_all(dir)?;
    let budget = Budget::new(limits, size, stop);
    let mut tree = Tree::open(dir, &budget)?;
    match kind {
        Archive::TarGz => tar::unpack(archive, &mut tree, &budget),
        Archive::Zip => zip::unpack(archive, &mut tree, &budget),
    }
    .and_then(|()| tree.make_links())
    // Decoders wrap the error of a limit that was reached while reading, so it is taken from the
    // budget.
    .map_err(|error| budget.failure().unwrap_or(error))?;
    Ok(budget.usage())
}

/// Stops the work in the other thread when the future is dropped.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
