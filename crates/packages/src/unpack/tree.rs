//! The directory that is unpacked into. All access goes through open directories.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{Read, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, fchmod, fstatat, futimens, mkdirat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};

use crate::error::PackageError;

use super::budget::Budget;
use super::errors::{EntryError, broken};
use super::links::{Links, OPEN_DIRECTORY};
use super::name::Parts;
use super::rules::Rules;

/// The size of the copy buffer.
const BUFFER_BYTES: usize = 64 * 1024;
/// The latest modification time to set, in seconds since the epoch, in the year 2514. Not all file
/// systems support later ones. Earlier ones than the same distance before the epoch are not set
/// either.
const MAX_TIME: u64 = 1 << 34;

/// The metadata of a file or directory.
#[derive(Clone, Copy)]
pub(super) struct FileMetadata {
    /// The Unix mode; 0 if it is unknown.
    pub(super) mode: u32,
    /// The modification time, in seconds since the epoch.
    pub(super) modified: Option<i64>,
}

/// The target directory.
pub(super) struct Tree<'a> {
    budget: &'a Budget,
    pub(super) rules: Rules,
    pub(super) root: OwnedFd,
    /// The open directories of the previous entry's path. The next entry usually shares most of them.
    open_dirs: Vec<(OsString, OwnedFd)>,
    pub(super) links: Links,
    /// The directories whose metadata is set at the end, because new files change their time.
    directories: Vec<(Parts, FileMetadata)>,
    /// Hashes of the paths that entries of this archive created or entered. Only what existed before
    /// is replaced by something of another type.
    placed: HashSet<u64>,
    hasher: RandomState,
    buffer: Vec<u8>,
}

impl<'a> Tree<'a> {
    /// Opens the directory `dir`.
    pub(super) fn open(dir: &Path, budget: &'a Budget, rules: Rules) -> Result<Self, PackageError> {
        // `dir` itself comes from the caller, so a link there is followed.
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self {
            budget,
            rules,
            root: open(dir, flags, Mode::empty())?,
            open_dirs: Vec::new(),
            links: Links::default(),
            directories: Vec::new(),
            placed: HashSet::new(),
            hasher: RandomState::new(),
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// Creates a directory if it does not exist.
    pub(super) fn directory(
        &mut self,
        parts: &Parts,
        metadata: FileMetadata,
    ) -> Result<(), EntryError> {
        self.enter(parts, parts.len().saturating_sub(1))?;
        if self.rules == Rules::Restore && !parts.is_empty() {
            self.directories.push((parts.clone(), metadata));
        }
        Ok(())
    }

    /// Creates a file from `data`, replacing an existing one. Returns its size.
    pub(super) fn file(
        &mut self,
        parts: &Parts,
        metadata: FileMetadata,
        data: &mut dyn Read,
    ) -> Result<u64, EntryError> {
        let mode = self.file_mode(metadata.mode);
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
        if self.rules == Rules::Restore {
            // The mode at creation is subject to the umask of this process.
            fchmod(&file, mode)?;
        }
        if let Some(time) = time_to_set(metadata.modified) {
            futimens(&file, &time, &time)?;
        }
        Ok(size)
    }

    /// The permissions of a new file with this mode in the archive.
    fn file_mode(&self, mode: u32) -> Mode {
        let is_executable = mode & 0o100 != 0;
        Mode::from_bits_truncate(match self.rules {
            // The owner is this process, which has to read the file.
            Rules::Restore if mode != 0 => mode & 0o7777 | 0o400,
            _ if is_executable => 0o755,
            _ => 0o644,
        })
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

    /// Collects a symbolic link, which [`finish`](Self::finish) creates.
    pub(super) fn symbolic_link(
        &mut self,
        parts: &Parts,
        to: Vec<u8>,
        modified: Option<i64>,
    ) -> Result<(), EntryError> {
        let (name, above) = split(parts)?;
        // A directory may have content that later entries expect to find.
        let dir = self.enter(above, above.len())?;
        if kind_of(dir, name)? == Some(SFlag::S_IFDIR) && !self.may_replace(parts) {
            return Err(replaces("a directory with a link"));
        }
        self.links.add(parts, to, modified, self.budget, self.rules)
    }

    /// Creates the collected links, after checking them if the rules demand it, and sets the metadata
    /// of the directories.
    pub(super) fn finish(mut self) -> Result<(), PackageError> {
        // `place` below refuses names of collected links, so they are taken out first.
        let links = std::mem::take(&mut self.links);
        if self.rules == Rules::Untrusted {
            links.check(&self.root, self.budget)?;
        }
        for (parts, link) in links.into_list() {
            self.budget.check_time()?;
            let target = link.to.as_os_str();
            let time = time_to_set(link.modified);
            let made = self.place(&parts, |dir, name| {
                symlinkat(target, dir, name)?;
                match &time {
                    Some(time) => utimensat(dir, name, time, time, UtimensatFlags::NoFollowSymlink),
                    None => Ok(()),
                }
            });
            made.map_err(|error| with_path(error, &parts))?;
        }
        for (parts, metadata) in std::mem::take(&mut self.directories) {
            self.budget.check_time()?;
            let set = self.set_directory(&parts, metadata);
            set.map_err(|error| with_path(error, &parts))?;
        }
        Ok(())
    }

    fn set_directory(&mut self, parts: &Parts, metadata: FileMetadata) -> Result<(), EntryError> {
        let dir = self.enter(parts, 0)?;
        // Opened for reading: the kernel changes nothing through a descriptor of `O_PATH`.
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let dir = openat(dir, ".", flags, Mode::empty())?;
        if metadata.mode != 0 {
            // Without these bits, this process could not clean the directory up.
            let mode = metadata.mode & 0o7777 | 0o700;
            fchmod(&dir, Mode::from_bits_truncate(mode))?;
        }
        if let Some(time) = time_to_set(metadata.modified) {
            futimens(&dir, &time, &time)?;
        }
        Ok(())
    }

    fn hash(&self, parts: &[OsString]) -> u64 {
        self.hasher.hash_one(parts)
    }

    /// Whether what exists under this path may be replaced by something of another type.
    fn may_replace(&self, parts: &[OsString]) -> bool {
        self.rules == Rules::Restore && !self.placed.contains(&self.hash(parts))
    }

    /// Creates an entry with `make`, replacing an existing file or link of this name.
    fn place<T>(
        &mut self,
        parts: &Parts,
        make: impl Fn(BorrowedFd<'_>, &OsStr) -> nix::Result<T>,
    ) -> Result<T, EntryError> {
        let (name, above) = split(parts)?;
        self.links.refuse_link(parts)?;
        let may_replace = self.may_replace(parts);
        let placed = self.hash(parts);
        self.placed.insert(placed);
        let dir = self.enter(above, above.len())?;
        // Most entries are new, so existing ones are only looked at after a conflict.
        match make(dir, name) {
            Err(Errno::EEXIST) => {}
            made => return Ok(made?),
        }
        if kind_of(dir, name)? != Some(SFlag::S_IFDIR) {
            unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?;
        } else if may_replace {
            remove_directory(dir, name)?;
        } else {
            return Err(replaces("a directory with something else"));
        }
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
                Err(Errno::ENOTDIR | Errno::ELOOP) => self.instead_of(&parts[..at], part, dir)?,
                Err(error) => return Err(error.into()),
            };
            let entered = self.hash(&parts[..=at]);
            self.placed.insert(entered);
            self.open_dirs.push((part.clone(), next));
        }
        let dir = self.open_dirs.last().map_or(&self.root, |(_, dir)| dir);
        Ok(dir.as_fd())
    }

    /// The directory to use for `name` in `dir`, the directory of the path `above`, where something
    /// else exists.
    fn instead_of(
        &self,
        above: &[OsString],
        name: &OsStr,
        dir: &OwnedFd,
    ) -> Result<OwnedFd, EntryError> {
        let is_link = kind_of(dir.as_fd(), name)? == Some(SFlag::S_IFLNK);
        // Usually a link of the repository, which was there as well when the entry was packed.
        if is_link && self.rules == Rules::Restore {
            let to = readlinkat(dir, name)?;
            let found = self
                .links
                .directory_of(&self.root, self.budget, above, &to)?;
            if let Some(found) = found {
                return Ok(found);
            }
        }
        let path: Parts = above.iter().cloned().chain([name.to_owned()]).collect();
        if !self.may_replace(&path) {
            return Err(EntryError::Refused(if is_link {
                "goes through a symbolic link".to_owned()
            } else {
                "goes through something that is not a directory".to_owned()
            }));
        }
        unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?;
        mkdirat(dir, name, Mode::from_bits_truncate(0o755))?;
        Ok(openat(dir, name, OPEN_DIRECTORY, Mode::empty())?)
    }
}

/// Deletes a directory and everything in it, without following a link.
fn remove_directory(dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), EntryError> {
    // The standard library deletes safely, but only below a path.
    let dir = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    Ok(std::fs::remove_dir_all(dir.join(name))?)
}

/// A modification time, if it can be set.
fn time_to_set(modified: Option<i64>) -> Option<TimeSpec> {
    let seconds = modified.filter(|seconds| seconds.unsigned_abs() < MAX_TIME)?;
    Some(TimeSpec::new(seconds, 0))
}

fn with_path(error: EntryError, parts: &Parts) -> PackageError {
    error.with_name(parts.join(OsStr::new("/")).as_encoded_bytes())
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
