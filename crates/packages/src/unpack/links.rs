//! The symbolic links of an archive: kept until all else is there, and followed on paper.
//!
//! Whether a link leads out of the directory depends on the other links it leads through. So all
//! are looked at together, with those that are on the disk already, before the first is made.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat};

use crate::error::PackageError;

use super::budget::Budget;
use super::errors::EntryError;
use super::name::Parts;

/// How a directory is opened: as a place to work from, and never through a link.
pub(super) const OPEN_DIRECTORY: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);
/// Through how many links one may lead, as in the kernel.
const MAX_HOPS: usize = 40;
/// How many bytes of names and targets are kept.
const MAX_KEPT: usize = 32 << 20;

/// Links that are not made yet.
#[derive(Default)]
pub(super) struct Links {
    kept: BTreeMap<Parts, OsString>,
    size: usize,
}

impl Links {
    /// Keeps a link.
    pub(super) fn add(
        &mut self,
        parts: &Parts,
        to: Vec<u8>,
        budget: &Budget,
    ) -> Result<(), EntryError> {
        let refuse = |reason: &str| Err(EntryError::Refused(reason.to_owned()));
        self.refuse(parts)?;
        if to.is_empty() || to.contains(&0) {
            return refuse("is a link to nothing that can be named");
        }
        if to.len() > budget.limits.path {
            return refuse("is a link to a name that is too long");
        }
        if to.starts_with(b"/") {
            return refuse("is a link to an absolute name; links must be relative");
        }
        self.size += to.len() + parts.iter().map(|part| part.len() + 32).sum::<usize>();
        if self.size > MAX_KEPT {
            return Err(PackageError::RefusedArchive("has too many links".to_owned()).into());
        }
        self.kept.insert(parts.clone(), OsString::from_vec(to));
        Ok(())
    }

    /// Refuses what has the name of a link.
    pub(super) fn refuse(&self, parts: &[OsString]) -> Result<(), EntryError> {
        match !self.kept.is_empty() && self.kept.contains_key(parts) {
            true => Err(EntryError::Refused(
                "goes through, or replaces, a symbolic link of the archive".to_owned(),
            )),
            false => Ok(()),
        }
    }

    /// Refuses links that lead out of the tree below `root`.
    pub(super) fn check(&self, root: &OwnedFd, budget: &Budget) -> Result<(), PackageError> {
        for (parts, to) in &self.kept {
            let above = parts
                .split_last()
                .map_or(parts.as_slice(), |(_, dirs)| dirs);
            let followed = Walk::new(root, budget).follow(self, above, to);
            followed.map_err(|error| error.naming(parts.join(OsStr::new("/")).as_bytes()))?;
        }
        Ok(())
    }

    /// All links, by name.
    pub(super) fn into_list(self) -> impl Iterator<Item = (Parts, OsString)> {
        self.kept.into_iter()
    }
}

/// The way to where a link leads.
struct Walk<'a> {
    root: &'a OwnedFd,
    budget: &'a Budget,
    names: Parts,
    /// The directories of these names, as far as they are on the disk.
    dirs: Vec<Option<OwnedFd>>,
}

impl<'a> Walk<'a> {
    fn new(root: &'a OwnedFd, budget: &'a Budget) -> Self {
        Self {
            root,
            budget,
            names: Parts::new(),
            dirs: Vec::new(),
        }
    }

    /// Goes from the directory `above` to where `to` leads.
    fn follow(mut self, links: &Links, above: &[OsString], to: &OsStr) -> Result<(), EntryError> {
        let mut ahead: Vec<OsString> = Vec::new();
        push_parts(&mut ahead, to);
        ahead.extend(above.iter().rev().cloned());
        let mut hops = 0;
        while let Some(part) = ahead.pop() {
            self.budget.alive()?;
            if part == ".." {
                self.dirs.pop();
                if self.names.pop().is_none() {
                    return Err(leads_out());
                }
                continue;
            }
            self.names.push(part);
            let found = match links.kept.get(&self.names) {
                Some(to) => Found::Link(to.clone()),
                None => self.look()?,
            };
            match found {
                Found::Directory(dir) => self.dirs.push(Some(dir)),
                Found::Nothing => self.dirs.push(None),
                Found::Link(to) => {
                    hops += 1;
                    if hops > MAX_HOPS {
                        let reason = "is a link that leads through too many others";
                        return Err(EntryError::Refused(reason.to_owned()));
                    }
                    if to.as_bytes().starts_with(b"/") {
                        return Err(leads_out());
                    }
                    self.names.pop();
                    push_parts(&mut ahead, &to);
                }
            }
        }
        Ok(())
    }

    /// What is on the disk under the last of the names.
    fn look(&self) -> Result<Found, EntryError> {
        let dir = match self.dirs.last() {
            Some(Some(dir)) => dir,
            Some(None) => return Ok(Found::Nothing),
            None => self.root,
        };
        let name = self
            .names
            .last()
            .map_or(OsStr::new("."), OsString::as_os_str);
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(dir, name, OPEN_DIRECTORY, Mode::empty()) {
            Ok(found) => return Ok(Found::Directory(found)),
            Err(Errno::ENOENT | Errno::ENAMETOOLONG) => return Ok(Found::Nothing),
            Err(Errno::ENOTDIR | Errno::ELOOP) => {}
            Err(error) => return Err(error.into()),
        }
        let found = openat(dir, name, flags, Mode::empty())?;
        let mode = SFlag::from_bits_truncate(fstat(&found)?.st_mode & SFlag::S_IFMT.bits());
        match mode == SFlag::S_IFLNK {
            true => Ok(Found::Link(readlinkat(&found, "")?)),
            false => Ok(Found::Nothing),
        }
    }
}

/// What a name stands for.
enum Found {
    Directory(OwnedFd),
    Link(OsString),
    /// Nothing, or a file: there is no way on from here but back.
    Nothing,
}

/// Puts the parts of a path ahead, the first of them on top.
fn push_parts(ahead: &mut Vec<OsString>, path: &OsStr) {
    let parts = path.as_bytes().split(|&byte| byte == b'/').rev();
    let parts = parts.filter(|part| !part.is_empty() && *part != b".");
    ahead.extend(parts.map(|part| OsStr::from_bytes(part).to_owned()));
}

fn leads_out() -> EntryError {
    EntryError::Refused("is a link that leads out of the directory".to_owned())
}
