//! The entries of a context, in the same form whether they are packed into an archive or sent file
//! by file.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How a context is packed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Packing {
    /// Later modification times are replaced by this one, as `SOURCE_DATE_EPOCH` requires.
    pub latest_change: Option<SystemTime>,
    pub keep: KeepIgnored,
    pub modes: FileModes,
}

/// Which permissions entries get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileModes {
    /// Those that git knows: whether a file is executable. They do not depend on the host's, so that
    /// the same commit makes the same image everywhere.
    #[default]
    Portable,
    /// Those on disk, with the bits for set-user-ID, set-group-ID and restricted deletion.
    Kept,
}

/// Which files are sent although the patterns of the context ignore them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeepIgnored {
    /// The Dockerfile and `.dockerignore`, for an engine that reads them from the archive.
    #[default]
    BuildFiles,
    /// Also the patterns that belong to the Dockerfile only, for a receiver that unpacks the
    /// archive and packs it again by the same rules.
    AllPatterns,
    /// None, for an engine that gets the Dockerfile in another way.
    Nothing,
}

/// A file, a directory or a link of a context. It belongs to root, like files in images.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub on_disk: &'a Path,
    /// Relative to the root of the context.
    pub name: &'a Path,
    pub kind: EntryKind<'a>,
    /// The permissions and special bits, up to `0o7777`.
    pub mode: u32,
    /// The modification time, since 1970.
    pub modified: Duration,
}

/// The kind of an entry. Sockets, pipes and devices are never entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind<'a> {
    Directory,
    File {
        /// In bytes.
        size: u64,
    },
    /// Another name of a file that was an entry before.
    HardLink {
        /// The name of that entry.
        to: &'a Path,
    },
    /// A symbolic link to any target.
    Link,
}

impl<'a> EntryKind<'a> {
    fn new(metadata: &Metadata, earlier: Option<&'a Path>) -> Option<Self> {
        if metadata.is_dir() {
            Some(Self::Directory)
        } else if metadata.is_symlink() {
            Some(Self::Link)
        } else if !metadata.is_file() {
            None
        } else {
            Some(match earlier {
                Some(to) => Self::HardLink { to },
                None => Self::File {
                    size: metadata.len(),
                },
            })
        }
    }
}

fn mode_of(metadata: &Metadata, modes: FileModes) -> u32 {
    let mode = metadata.permissions().mode();
    if metadata.is_symlink() {
        return 0o777;
    }
    match modes {
        FileModes::Kept => mode & 0o7777,
        FileModes::Portable if metadata.is_dir() || mode & 0o111 != 0 => 0o755,
        FileModes::Portable => 0o644,
    }
}

impl<'a> Entry<'a> {
    /// The entry for something on disk; `None` if it is never an entry. `earlier` is the name of an
    /// entry that is the same file.
    pub(crate) fn new(
        on_disk: &'a Path,
        name: &'a Path,
        metadata: &Metadata,
        earlier: Option<&'a Path>,
        packing: Packing,
    ) -> Option<Self> {
        let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
        let latest_change = packing.latest_change;
        let modified = latest_change.map_or(modified, |latest| modified.min(latest));
        Some(Self {
            on_disk,
            name,
            kind: EntryKind::new(metadata, earlier)?,
            mode: mode_of(metadata, packing.modes),
            modified: modified.duration_since(UNIX_EPOCH).unwrap_or_default(),
        })
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// If the entry is not a symbolic link; the message names it.
    pub fn target(&self) -> io::Result<PathBuf> {
        let target = self.on_disk.read_link();
        target.map_err(|error| with_path(self.on_disk, &error))
    }
}

/// Reads exactly as many bytes of a file as it had when it was listed, because its size was sent
/// before its content.
#[derive(Debug)]
pub struct Content<'a> {
    file: File,
    on_disk: &'a Path,
    remaining: u64,
}

impl<'a> Content<'a> {
    /// Opens a file to read its first `size` bytes. Reading fails if it has fewer by then.
    ///
    /// # Errors
    /// If the file cannot be opened; the message names it.
    pub fn open(on_disk: &'a Path, size: u64) -> io::Result<Self> {
        let file = File::open(on_disk).map_err(|error| with_path(on_disk, &error))?;
        Ok(Self {
            file,
            on_disk,
            remaining: size,
        })
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let remaining = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(remaining);
        let read = self.file.read(&mut buffer[..wanted]);
        let read = read.map_err(|error| with_path(self.on_disk, &error))?;
        if read == 0 && wanted > 0 {
            let why = "the file became shorter while it was being sent; build again";
            return Err(with_path(self.on_disk, &io::Error::other(why)));
        }
        self.remaining -= read as u64;
        Ok(read)
    }
}

/// The same error with the path in its message.
pub(crate) fn with_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
