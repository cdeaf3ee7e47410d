//! Unpacking an archive that nobody trusts into one directory.
//!
//! Every step is taken from an open directory to a name in it that is not followed when it is a
//! link, so that nothing outside is written even while somebody changes the tree. Links of the
//! archive are made last, when it is known where each of them leads. What is odd is refused, and
//! with it the whole archive: files that are there already may have been replaced by then.

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

/// Unpacks an archive into `dir`, which is made; what is there already stays or is replaced.
///
/// Files belong to the caller and may be executed when their owner may in the archive; other bits
/// of their modes are dropped. Dropping the future stops the work at its next step.
///
/// # Errors
/// See [`PackageError`]. Whatever is in `dir` then is of no use.
pub async fn unpack(
    archive: File,
    kind: Archive,
    dir: &Path,
    limits: UnpackLimits,
) -> Result<Unpacked, PackageError> {
    let stop = StopOnDrop(Arc::default());
    let flag = Arc::clone(&stop.0);
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || unpack_here(archive, kind, &dir, limits, flag))
        .await
        .map_err(std::io::Error::other)?
}

/// The same in this thread, for as long as `stop` is not set.
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
    // A limit that was met while bytes were read comes out of the decoders as an odd error.
    .map_err(|error| budget.failure().unwrap_or(error))?;
    Ok(budget.spent())
}

/// Tells the work in another thread that nobody waits for it any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
