//! The directory that is unpacked into. All access goes through open directories.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstatat, futimens, mkdirat};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};

use crate::error::PackageError;

use super::budget::Budget;
use super::errors::{EntryError, broken};
use super::links::{Links, OPEN_DIRECTORY};
use super::name::Parts;

/// The size of the copy buffer.
const BUFFER_BYTES: usize = 64 * 1024;
/// The latest modification time to set, in seconds since the epoch. Not all file systems support
/// later ones.
const MAX_TIME: u64 = 1 << 33;

/// The metadata of a file.
#[derive(Clone, Copy)]
pub(super) struct FileMetadata {
    pub(super) is_executable: bool,
    /// The modification time, in seconds since the epoch.
    pub(super) modified: Option<u64>,
}

/// The target directory.
pub(super) struct Tree<'a> {
    budget: &'a Budget,
    pub(super) root: OwnedFd,
    /// The open directories of the previous entry's path. The next entry usually shares most of them.
    open_dirs: Vec<(OsString, OwnedFd)>,
    pub(super) links: Links,
    buffer: Vec<u8>,
}

impl<'a> Tree<'a> {
    /// Opens the directory `dir`.
    pub(super) fn open(dir: &Path, budget: &'a Budget) -> Result<Self, PackageError> {
        // `dir` itself comes from the caller, so a link there is followed.
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self {
            budget,
            root: open(dir, flags, Mode::empty())?,
            open_dirs: Vec::new(),
            links: Links::default(),
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// Creates a directory if it does not exist.
    pub(super) fn directory(&mut self, parts: &Parts) -> Result<(), EntryError> {
        self.enter(parts, parts.len().saturating_sub(1)).map(drop)
    }

    /// Creates a file from `data`, replacing an existing one. Returns its size.
    pub(super) fn file(
        &mut self,
        parts: &Parts,
        metadata: FileMetadata,
        data: &mut dyn Read,
    ) -> Result<u64, EntryError> {
        let mode = if metadata.is_executable { 0o755 } else { 0o644 };
        let mode = Mode::from_bits_truncate(mode);
        // `O_EXCL` and `O_NOFOLLOW`: an existing file or link is replaced, never written through.
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = self.place(parts, |dir, name| openat(dir, name, flags, mode))?;
        let mut file = File::from(file);
        let mut size = 0;
        loop {
            let count = data.read(&mut self.buffer).map_err(broken)?;
            if count == 0 {
                break;
            }
            file.write_all(&self.buffer[..count])?;
            size += count as u64;
        }
        if let Some(modified) = metadata.modified.filter(|seconds| *seconds < MAX_TIME) {
            let time = TimeSpec::new(modified.cast_signed(), 0);
            futimens(&file, &time, &time)?;
        }
        Ok(size)
    }

    /// Creates a hard link to an existing file.
    pub(super) fn hard_link(&mut self, parts: &Parts, to: &Parts) -> Result<(), EntryError> {
        let no_file = || {
            let reason = "is a hard link to something that is not an earlier file of the archive";
            EntryError::Refused(reason.to_owned())
        };
        if parts == to {
            return Err(EntryError::Refused("is a hard link to itself".to_owned()));
        }
        let (target, above) = to.split_last().ok_or_else(no_file)?;
        let mut dir = self.root.try_clone()?;
        // Links are not followed, so the target is inside the tree.
        for part in above {
            let next = openat(&dir, part.as_os_str(), OPEN_DIRECTORY, Mode::empty());
            dir = next.map_err(|_| no_file())?;
        }
        match kind_of(dir.as_fd(), target)? {
            Some(SFlag::S_IFREG) => {}
            _ => return Err(no_file()),
        }
        let target = target.as_os_str();
        self.place(parts, |here, name| {
            linkat(&dir, target, here, name, AtFlags::empty())
        })
    }

    /// Collects a symbolic link, which [`make_links`](Self::make_links) creates.
    pub(super) fn symbolic_link(&mut self, parts: &Parts, to: Vec<u8>) -> Result<(), EntryError> {
        let (name, above) = split(parts)?;
        // A directory may have content that later entries expect to find.
        let dir = self.enter(above, above.len())?;
        if kind_of(dir, name)? == Some(SFlag::S_IFDIR) {
            return Err(replaces("a directory with a link"));
        }
        self.links.add(parts, to, self.budget)
    }

    /// Checks and creates the collected links.
    pub(super) fn make_links(mut self) -> Result<(), PackageError> {
        // `make` below refuses names of collected links, so they are taken out first.
        let links = std::mem::take(&mut self.links);
        links.check(&self.root, self.budget)?;
        for (parts, to) in links.into_list() {
            self.budget.check_time()?;
            let target = to.as_os_str();
            self.place(&parts, |dir, name| symlinkat(target, dir, name))
                .map_err(|error| error.with_name(parts.join(OsStr::new("/")).as_encoded_bytes()))?;
        }
        Ok(())
    }

    /// Creates an entry with `make`, replacing an existing file or link of this name.
    fn place<T>(
        &mut self,
        parts: &Parts,
        make: impl Fn(BorrowedFd<'_>, &OsStr) -> nix::Result<T>,
    ) -> Result<T, EntryError> {
        let (name, above) = split(parts)?;
        self.links.refuse_link(parts)?;
        let dir = self.enter(above, above.len())?;
        // Most entries are new, so existing ones are only looked at after a conflict.
        match make(dir, name) {
            Err(Errno::EEXIST) => {}
            made => return Ok(made?),
        }
        if kind_of(dir, name)? == Some(SFlag::S_IFDIR) {
            return Err(replaces("a directory with something else"));
        }
        unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?;
        Ok(make(dir, name)?)
    }

    /// Opens a directory of the tree, and creates it and its parents if they are missing. The first
    /// `implied` of them have no entry in the archive and are counted here.
    fn enter(&mut self, parts: &[OsString], implied: usize) -> Result<BorrowedFd<'_>, EntryError> {
        let known = self.open_dirs.iter().zip(parts);
        // Keeps the common part of the path open and closes the rest.
        let known = known.take_while(|((name, _), part)| name == *part).count();
        self.open_dirs.truncate(known);
        for (at, part) in parts.iter().enumerate().skip(known) {
            self.links.refuse_link(&parts[..=at])?;
            let dir = self.open_dirs.last().map_or(&self.root, |(_, dir)| dir);
            let next = match openat(dir, part.as_os_str(), OPEN_DIRECTORY, Mode::empty()) {
                Err(Errno::ENOENT) => {
                    // Directories of an entry's own name are counted with the entry.
                    if at < implied {
                        self.budget.entry()?;
                    }
                    let mode = Mode::from_bits_truncate(0o755);
                    match mkdirat(dir, part.as_os_str(), mode) {
                        // Another process may have created it meanwhile; opening it below decides.
                        Ok(()) | Err(Errno::EEXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                    openat(dir, part.as_os_str(), OPEN_DIRECTORY, Mode::empty())
                }
                next => next,
            };
            let next = match next {
                Ok(next) => next,
                Err(Errno::ENOTDIR | Errno::ELOOP) => {
                    return Err(EntryError::Refused(match kind_of(dir.as_fd(), part)? {
                        Some(SFlag::S_IFLNK) => "goes through a symbolic link".to_owned(),
                        _ => "goes through something that is not a directory".to_owned(),
                    }));
                }
                Err(error) => return Err(error.into()),
            };
            self.open_dirs.push((part.clone(), next));
        }
        let dir = self.open_dirs.last().map_or(&self.root, |(_, dir)| dir);
        Ok(dir.as_fd())
    }
}

fn split(parts: &Parts) -> Result<(&OsStr, &[OsString]), EntryError> {
    match parts.split_last() {
        Some((name, above)) => Ok((name, above)),
        None => Err(replaces("the directory itself with something else")),
    }
}

fn replaces(what: &str) -> EntryError {
    EntryError::Refused(format!("would replace {what}"))
}

/// The type of the file with this name. A link is not followed.
fn kind_of(dir: BorrowedFd<'_>, name: &OsStr) -> Result<Option<SFlag>, EntryError> {
    match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(SFlag::from_bits_truncate(
            found.st_mode & SFlag::S_IFMT.bits(),
        ))),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
