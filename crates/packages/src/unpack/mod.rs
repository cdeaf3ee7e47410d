//! Unpacks an untrusted archive into one directory.
//!
//! Each step goes from an open directory to a name in it, without following links. So nothing outside
//! is written, even if another process changes the tree meanwhile. The archive's symbolic links are
//! created last, when it is known where each of them leads. An entry that is not allowed fails the
//! whole archive; existing files may have been replaced by then.
//!
//! [`restore`] is for the files that one job passes to another, and for directories of users: it accepts
//! every tree that they can contain, also with links that lead out. It writes nothing outside either.

mod budget;
mod errors;
mod limits;
mod links;
mod name;
mod rules;
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
use self::rules::Rules;
use self::tree::Tree;

pub use self::limits::{RESTORE_LIMITS, UnpackLimits, Unpacked};

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
    let dir = dir.to_owned();
    in_background(move |stop| unpack_here(archive, kind, &dir, limits, stop)).await
}

/// Unpacks an archive that the farm's own programs packed into `dir`, over what is there: the files of
/// a job (zip), or the directory of a user (tar).
///
/// Unlike [`unpack`], it creates links that lead anywhere, accepts every name that a file can have,
/// and sets permissions and modification times, for tar also the special bits. What the archive contains replaces what exists: a
/// file replaces a directory, and the reverse. Nothing outside `dir` is written: an entry below an
/// existing link is stored where the link leads if that is inside, and replaces the link otherwise.
/// Programs that read `dir` on this host must not follow its links.
///
/// # Errors
/// See [`PackageError`]. The contents of `dir` are undefined then.
pub async fn restore(
    archive: File,
    kind: Archive,
    dir: &Path,
    limits: UnpackLimits,
) -> Result<Unpacked, PackageError> {
    let dir = dir.to_owned();
    in_background(move |stop| restore_here(archive, kind, &dir, limits, stop)).await
}

/// Runs `work` in another thread, and sets its flag when this future is dropped.
async fn in_background(
    work: impl FnOnce(Arc<AtomicBool>) -> Result<Unpacked, PackageError> + Send + 'static,
) -> Result<Unpacked, PackageError> {
    // A blocking task cannot be cancelled, so it has to check a flag.
    let stop = StopOnDrop(Arc::default());
    let flag = Arc::clone(&stop.0);
    tokio::task::spawn_blocking(move || work(flag))
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
    unpack_by(Rules::Untrusted, archive, kind, dir, limits, stop)
}

/// Like [`restore`], but runs in the current thread, until `stop` is set.
///
/// # Errors
/// See [`restore`].
pub fn restore_here(
    archive: File,
    kind: Archive,
    dir: &Path,
    limits: UnpackLimits,
    stop: Arc<AtomicBool>,
) -> Result<Unpacked, PackageError> {
    unpack_by(Rules::Restore, archive, kind, dir, limits, stop)
}

fn unpack_by(
    rules: Rules,
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
    let mut tree = Tree::open(dir, &budget, rules)?;
    match kind {
        Archive::TarGz => tar::unpack(archive, &mut tree, &budget),
        Archive::Zip => zip::unpack(archive, &mut tree, &budget),
    }
    .and_then(|()| tree.finish())
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
