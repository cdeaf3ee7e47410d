//! What is told of each entry of a context: the same to those who pack it and to those who send it
//! file by file.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How a context is packed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Packing {
    /// What changed later than this is said to have changed then, as `SOURCE_DATE_EPOCH` asks for.
    pub latest_change: Option<SystemTime>,
    /// What is sent though it is left out.
    pub keep: Keep,
}

/// What is sent of a context though its patterns leave it out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Dockerfile and patterns: for an engine that looks for them in the archive.
    #[default]
    BuildFiles,
    /// The patterns that go with the Dockerfile alone as well: for somebody who unpacks the archive
    /// and packs it again by the same rules.
    AllPatterns,
    /// Nothing: for an engine that is given the Dockerfile in another way.
    Nothing,
}

/// A file, a directory or a link of a context. It belongs to root, as what is in images does.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Where it is.
    pub on_disk: &'a Path,
    /// Its name, from the root of the context.
    pub name: &'a Path,
    /// What it is.
    pub kind: Kind,
    /// When it was changed, after the beginning of 1970.
    pub changed: Duration,
}

/// What an entry is. Sockets, pipes and devices have no place in an image, and are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file.
    File {
        /// How many bytes are in it.
        size: u64,
        /// Whether anybody may run it.
        is_executable: bool,
    },
    /// A symbolic link, wherever it leads.
    Link,
}

impl Kind {
    /// The kind of what is on disk, if it has a place in an image.
    fn of(metadata: &Metadata) -> Option<Self> {
        if metadata.is_dir() {
            Some(Self::Directory)
        } else if metadata.is_symlink() {
            Some(Self::Link)
        } else {
            metadata.is_file().then(|| Self::File {
                size: metadata.len(),
                is_executable: metadata.permissions().mode() & 0o111 != 0,
            })
        }
    }

    /// Its permissions. They do not depend on those of the host, so that the same files make the
    /// same image everywhere.
    pub fn mode(self) -> u32 {
        match self {
            Self::File {
                is_executable: false,
                ..
            } => 0o644,
            Self::File { .. } | Self::Directory => 0o755,
            Self::Link => 0o777,
        }
    }
}

impl<'a> Entry<'a> {
    /// What is told of what is on disk, if it has a place in an image. What changed after
    /// `latest_change` is said to have changed then.
    pub(crate) fn of(
        on_disk: &'a Path,
        name: &'a Path,
        metadata: &Metadata,
        latest_change: Option<SystemTime>,
    ) -> Option<Self> {
        let changed = metadata.modified().unwrap_or(UNIX_EPOCH);
        let changed = changed.min(latest_change.unwrap_or(changed));
        Some(Self {
            on_disk,
            name,
            kind: Kind::of(metadata)?,
            changed: changed.duration_since(UNIX_EPOCH).unwrap_or_default(),
        })
    }

    /// Where a link leads.
    ///
    /// # Errors
    /// When it is no link any more; the text says which.
    pub fn target(&self) -> io::Result<PathBuf> {
        let target = self.on_disk.read_link();
        target.map_err(|error| at(self.on_disk, &error))
    }
}

/// As much of a file as there was when it was told of, and not less: its size is known already.
#[derive(Debug)]
pub struct Content<'a> {
    file: File,
    on_disk: &'a Path,
    left: u64,
}

impl<'a> Content<'a> {
    /// The first `size` bytes of a file.
    ///
    /// # Errors
    /// When it cannot be opened; the text says which.
    pub fn open(on_disk: &'a Path, size: u64) -> io::Result<Self> {
        let file = File::open(on_disk).map_err(|error| at(on_disk, &error))?;
        Ok(Self {
            file,
            on_disk,
            left: size,
        })
    }
}

impl Read for Content<'_> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = piece.len().min(most);
        let read = self.file.read(&mut piece[..most]);
        let read = read.map_err(|error| at(self.on_disk, &error))?;
        if read == 0 && most > 0 {
            let shorter = io::Error::other("it became shorter while it was sent; build again");
            return Err(at(self.on_disk, &shorter));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// The same error with the path that it is about.
pub(crate) fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
