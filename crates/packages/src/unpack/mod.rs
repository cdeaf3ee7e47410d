//! Unpacking an archive that nobody trusts into one directory.
//!
//! Every step is taken from an open directory to a name in it that is not followed when it is a
//! link, so that nothing outside is written even while somebody changes the tree. Links of the
//! archive are made last, when it is known where each of them leads. What is odd is refused, and
//! with it the whole archive: files that are there already may have been replaced by then.

mod budget;
mod links;
mod name;
mod tar;
mod tree;
mod zip;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::PackageError;
use crate::kind::Archive;

use self::budget::Budget;
use self::tree::Tree;

/// What an archive may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnpackLimits {
    /// How large the archive may be, in bytes.
    pub compressed: u64,
    /// How much may come out of it, in bytes.
    pub expanded: u64,
    /// How many times larger than the archive that may be.
    pub ratio: u64,
    /// From how many bytes on the ratio counts: small files can be very regular.
    pub ratio_from: u64,
    /// How many entries it may have, with the directories that it implies.
    pub entries: u64,
    /// How many directories deep an entry may be.
    pub depth: usize,
    /// How long an entry's whole name, or what a link points to, may be, in bytes.
    pub path: usize,
    /// How long unpacking may take.
    pub time: Duration,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self {
            compressed: 1 << 30,
            expanded: 8 << 30,
            ratio: 200,
            ratio_from: 64 << 20,
            entries: 200_000,
            depth: 64,
            path: 1024,
            time: Duration::from_secs(600),
        }
    }
}

/// What came out of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// How many entries it had, with the directories that it implied.
    pub entries: u64,
    /// How much came out of it, in bytes.
    pub expanded: u64,
}

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

/// The error for what a decoder could not read.
fn broken(error: impl std::fmt::Display) -> PackageError {
    // What a decoder says may quote the archive.
    broken_as(&name::shown(error.to_string().as_bytes()))
}

fn broken_as(reason: &str) -> PackageError {
    PackageError::BrokenArchive(reason.to_owned())
}

/// Tells the work in another thread that nobody waits for it any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
