//! The archives of earlier jobs, into a checkout.
//!
//! Whoever made an archive may mean harm, and so may whoever made the checkout: nothing is written
//! outside of the directory, nothing is written through a link, and links are made last.

use std::cell::Cell;
use std::fs::{File, Permissions};
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use zip::ZipArchive;
use zip::result::ZipError;

/// How large one archive may be.
const LIMITS: Limits = Limits {
    bytes: 16 << 30,
    list: 32 << 20,
};
/// The longest target of a link, in bytes.
const MAX_LINK: u64 = 4096;

/// The part of a mode that tells a file's kind, and the kinds that are unpacked.
const KIND: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It is no archive, or one of a kind that is not known here.
    #[error("it is not a zip archive that can be read: {0}")]
    Unreadable(String),
    /// An entry would do harm.
    #[error("its entry {entry:?} {why}")]
    Refused {
        /// The entry's name.
        entry: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It would become larger than any job's files should be.
    #[error("it holds more than {} GiB, or hundreds of thousands of files", LIMITS.bytes >> 30)]
    TooLarge,
    /// It could not be read from disk or written to it.
    #[error("its files could not be written")]
    Io(#[from] io::Error),
}

/// Unpacks the archive at `archive` into the directory `into`. Files that are there are replaced.
/// Blocks.
///
/// # Errors
/// See [`UnpackError`]. What came before the mistake is in the directory.
pub fn unpack(archive: &Path, into: &Path) -> Result<(), UnpackError> {
    unpack_within(archive, into, LIMITS)
}

struct Limits {
    /// The most bytes that its files may become.
    bytes: u64,
    /// The most bytes that its list of files takes, all of which is held in memory.
    list: u64,
}

/// A file of which only so many bytes are read.
struct Metered {
    file: File,
    left: Rc<Cell<u64>>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::Error::other("more is read than may be"));
        }
        let count = self.file.read(buffer)?;
        self.left.set(self.left.get().saturating_sub(count as u64));
        Ok(count)
    }
}

impl Seek for Metered {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Opens an archive, and reads its list of files while that is within the limit.
fn open(archive: &Path, list: u64) -> Result<ZipArchive<BufReader<Metered>>, UnpackError> {
    let left = Rc::new(Cell::new(list));
    let file = Metered {
        file: File::open(archive)?,
        left: Rc::clone(&left),
    };
    let opened = ZipArchive::new(BufReader::new(file));
    if left.get() == 0 {
        return Err(UnpackError::TooLarge);
    }
    // Of the files themselves what they become is counted.
    left.set(u64::MAX);
    opened.map_err(unreadable)
}

fn unpack_within(archive: &Path, into: &Path, limits: Limits) -> Result<(), UnpackError> {
    let mut archive = open(archive, limits.list)?;
    let mut left = limits.bytes;
    let mut links = Vec::new();
    for position in 0..archive.len() {
        let mut entry = archive.by_index(position).map_err(unreadable)?;
        let name = entry.name().map_err(unreadable)?.into_owned();
        let refused = |why| UnpackError::Refused {
            entry: name.clone(),
            why,
        };
        let path = inner_path(&name).ok_or_else(|| refused("leads out of the directory"))?;
        let mode = entry.unix_mode().unwrap_or(0o644);
        match mode & KIND {
            _ if entry.is_dir() => {
                make_directories(into, &path).map_err(|error| blocked(error, &refused))?;
            }
            0 | REGULAR => {
                let target = place(into, &path).map_err(|error| blocked(error, &refused))?;
                let mut file = File::create_new(&target)?;
                // One byte more than is left tells whether there is more.
                let mut content = (&mut entry).take(left.saturating_add(1));
                let count = io::copy(&mut content, &mut file).map_err(broken)?;
                left = left.checked_sub(count).ok_or(UnpackError::TooLarge)?;
                let mode = match mode & 0o111 {
                    0 => 0o644,
                    _ => 0o755,
                };
                file.set_permissions(Permissions::from_mode(mode))?;
            }
            LINK => {
                let mut target = String::new();
                let mut content = (&mut entry).take(MAX_LINK);
                content.read_to_string(&mut target).map_err(broken)?;
                if !stays_inside(&path, &target) {
                    return Err(refused("is a link out of the directory"));
                }
                links.push((name, path, target));
            }
            DIRECTORY => {
                make_directories(into, &path).map_err(|error| blocked(error, &refused))?;
            }
            _ => return Err(refused("is a device or something else that is no file")),
        }
    }
    for (name, path, target) in links {
        let refused = |why| UnpackError::Refused {
            entry: name.clone(),
            why,
        };
        let place = place(into, &path).map_err(|error| blocked(error, &refused))?;
        symlink(target, place)?;
    }
    Ok(())
}

/// The names of a path that stays inside; `None` for one that does not, or that is no path.
fn inner_path(name: &str) -> Option<PathBuf> {
    if name.starts_with('/') || name.contains('\0') {
        return None;
    }
    let names = name.split('/').filter(|name| !matches!(*name, "" | "."));
    let path = names.map(|name| (name != "..").then_some(name));
    path.collect()
}

/// Whether a link at `path` leads to something inside, whatever other links there are: it climbs
/// first, no further than to the top, and never again.
fn stays_inside(path: &Path, target: &str) -> bool {
    if target.is_empty() || target.starts_with('/') || target.contains('\0') {
        return false;
    }
    let mut height = path.components().count().saturating_sub(1);
    let mut has_climbed = false;
    for name in target.split('/').filter(|name| !matches!(*name, "" | ".")) {
        match (name, has_climbed) {
            ("..", true) => return false,
            ("..", false) => match height.checked_sub(1) {
                Some(lower) => height = lower,
                None => return false,
            },
            _ => has_climbed = true,
        }
    }
    true
}

/// What stands where an entry is to go.
enum Blocked {
    /// A link, a file where a directory is wanted, or the other way about.
    By(&'static str),
    Io(io::Error),
}

impl From<io::Error> for Blocked {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn blocked(error: Blocked, refused: &impl Fn(&'static str) -> UnpackError) -> UnpackError {
    match error {
        Blocked::By(why) => refused(why),
        Blocked::Io(error) => error.into(),
    }
}

/// Makes the directories that lead to `path`, and that one too; none of them may be a link.
fn make_directories(into: &Path, path: &Path) -> Result<PathBuf, Blocked> {
    let mut dir = into.to_owned();
    for name in path.components() {
        dir.push(name);
        match dir.symlink_metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(found) if found.is_symlink() => return Err(Blocked::By("leads through a link")),
            Ok(_) => return Err(Blocked::By("leads through a file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::create_dir(&dir)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(dir)
}

/// Where a file or link goes; what was there is gone afterwards.
fn place(into: &Path, path: &Path) -> Result<PathBuf, Blocked> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Blocked::By("has no name"));
    };
    let place = make_directories(into, parent)?.join(name);
    match place.symlink_metadata() {
        Ok(found) if found.is_dir() => Err(Blocked::By("is where a directory is")),
        Ok(_) => {
            std::fs::remove_file(&place)?;
            Ok(place)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(place),
        Err(error) => Err(error.into()),
    }
}

fn unreadable(error: ZipError) -> UnpackError {
    match error {
        ZipError::Io(error) => broken(error),
        other => UnpackError::Unreadable(other.to_string()),
    }
}

/// An error while content is copied: the archive's, unless the disk is the cause.
fn broken(error: io::Error) -> UnpackError {
    match error.kind() {
        io::ErrorKind::InvalidData
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::Other => UnpackError::Unreadable(error.to_string()),
        _ => UnpackError::Io(error),
    }
}

#[cfg(test)]
#[path = "unpack/tests.rs"]
mod tests;
