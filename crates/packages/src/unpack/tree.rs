//! The directory that is unpacked into, seen through open directories.

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

/// How many bytes are copied at a time.
const PIECE: usize = 64 * 1024;
/// The latest time of change that is kept, in seconds; file systems differ beyond.
const MAX_TIME: u64 = 1 << 33;

/// What is known of a file beside its bytes.
#[derive(Clone, Copy)]
pub(super) struct Traits {
    /// Whether it may be executed.
    pub(super) is_executable: bool,
    /// When it was changed, in seconds since the epoch.
    pub(super) changed: Option<u64>,
}

/// A directory, and all that is unpacked into it.
pub(super) struct Tree<'a> {
    budget: &'a Budget,
    pub(super) root: OwnedFd,
    /// The directories that lead to the entry before, which most often lead to the next one too.
    way: Vec<(OsString, OwnedFd)>,
    pub(super) links: Links,
    piece: Vec<u8>,
}

impl<'a> Tree<'a> {
    /// The tree below `dir`.
    pub(super) fn open(dir: &Path, budget: &'a Budget) -> Result<Self, PackageError> {
        // The caller named `dir`, and so a link there is the caller's.
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self {
            budget,
            root: open(dir, flags, Mode::empty())?,
            way: Vec::new(),
            links: Links::default(),
            piece: vec![0; PIECE],
        })
    }

    /// Makes a directory, unless it is there.
    pub(super) fn directory(&mut self, parts: &Parts) -> Result<(), EntryError> {
        self.enter(parts, parts.len().saturating_sub(1)).map(drop)
    }

    /// Makes a file of `data`; one that is there is replaced.
    pub(super) fn file(
        &mut self,
        parts: &Parts,
        traits: Traits,
        data: &mut dyn Read,
    ) -> Result<u64, EntryError> {
        let mode = match traits.is_executable {
            true => Mode::from_bits_truncate(0o755),
            false => Mode::from_bits_truncate(0o644),
        };
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = self.place(parts, |dir, name| openat(dir, name, flags, mode))?;
        let mut file = File::from(file);
        let mut size = 0;
        loop {
            let count = data.read(&mut self.piece).map_err(broken)?;
            if count == 0 {
                break;
            }
            file.write_all(&self.piece[..count])?;
            size += count as u64;
        }
        if let Some(changed) = traits.changed.filter(|seconds| *seconds < MAX_TIME) {
            let time = TimeSpec::new(changed.cast_signed(), 0);
            futimens(&file, &time, &time)?;
        }
        Ok(size)
    }

    /// Gives a file that is there a second name.
    pub(super) fn hard_link(&mut self, parts: &Parts, to: &Parts) -> Result<(), EntryError> {
        let no_file = || {
            let reason = "is a hard link to something that is no file of the archive before it";
            EntryError::Refused(reason.to_owned())
        };
        if parts == to {
            return Err(EntryError::Refused("is a hard link to itself".to_owned()));
        }
        let (target, above) = to.split_last().ok_or_else(no_file)?;
        let mut dir = self.root.try_clone()?;
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

    /// Remembers a symbolic link, which is made when all else is there.
    pub(super) fn symbolic_link(&mut self, parts: &Parts, to: Vec<u8>) -> Result<(), EntryError> {
        let (name, above) = split(parts)?;
        let dir = self.enter(above, above.len())?;
        if kind_of(dir, name)? == Some(SFlag::S_IFDIR) {
            return Err(replaces("a directory by a link"));
        }
        self.links.add(parts, to, self.budget)
    }

    /// Makes the links, none of which leads out.
    pub(super) fn make_links(mut self) -> Result<(), PackageError> {
        let links = std::mem::take(&mut self.links);
        links.check(&self.root, self.budget)?;
        for (parts, to) in links.into_list() {
            self.budget.alive()?;
            let target = to.as_os_str();
            self.place(&parts, |dir, name| symlinkat(target, dir, name))
                .map_err(|error| error.naming(parts.join(OsStr::new("/")).as_encoded_bytes()))?;
        }
        Ok(())
    }

    /// Makes something new of this name with `make`, in place of a file or a link that is there.
    fn place<T>(
        &mut self,
        parts: &Parts,
        make: impl Fn(BorrowedFd<'_>, &OsStr) -> nix::Result<T>,
    ) -> Result<T, EntryError> {
        let (name, above) = split(parts)?;
        self.links.refuse(parts)?;
        let dir = self.enter(above, above.len())?;
        match make(dir, name) {
            Err(Errno::EEXIST) => {}
            made => return Ok(made?),
        }
        if kind_of(dir, name)? == Some(SFlag::S_IFDIR) {
            return Err(replaces("a directory by something else"));
        }
        unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?;
        Ok(make(dir, name)?)
    }

    /// Opens a directory of the tree. It and those above it are made where they are missing; of
    /// those that are, the first `implied` have no entry of their own in the archive.
    fn enter(&mut self, parts: &[OsString], implied: usize) -> Result<BorrowedFd<'_>, EntryError> {
        let known = self.way.iter().zip(parts);
        let known = known.take_while(|((name, _), part)| name == *part).count();
        self.way.truncate(known);
        for (at, part) in parts.iter().enumerate().skip(known) {
            self.links.refuse(&parts[..=at])?;
            let dir = self.way.last().map_or(&self.root, |(_, dir)| dir);
            let next = match openat(dir, part.as_os_str(), OPEN_DIRECTORY, Mode::empty()) {
                Err(Errno::ENOENT) => {
                    if at < implied {
                        self.budget.entry()?;
                    }
                    let mode = Mode::from_bits_truncate(0o755);
                    match mkdirat(dir, part.as_os_str(), mode) {
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
                        _ => "goes through something that is no directory".to_owned(),
                    }));
                }
                Err(error) => return Err(error.into()),
            };
            self.way.push((part.clone(), next));
        }
        let dir = self.way.last().map_or(&self.root, |(_, dir)| dir);
        Ok(dir.as_fd())
    }
}

fn split(parts: &Parts) -> Result<(&OsStr, &[OsString]), EntryError> {
    match parts.split_last() {
        Some((name, above)) => Ok((name, above)),
        None => Err(replaces("the directory itself by something else")),
    }
}

fn replaces(what: &str) -> EntryError {
    EntryError::Refused(format!("would replace {what}"))
}

/// What is there under this name; a link is not followed.
fn kind_of(dir: BorrowedFd<'_>, name: &OsStr) -> Result<Option<SFlag>, EntryError> {
    match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(SFlag::from_bits_truncate(
            found.st_mode & SFlag::S_IFMT.bits(),
        ))),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
