//! The symbolic links of an archive, which are collected and checked before any is created.
//!
//! Whether a link leads out of the directory depends on the other links on its way. So all of them are
//! resolved together, and with the links that exist on the disk, before the first one is created.

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
use super::rules::Rules;

/// The flags for opening a directory as a base for relative paths, without following a link.
pub(super) const OPEN_DIRECTORY: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);
/// The maximum number of links to follow, as in the kernel.
const MAX_HOPS: usize = 40;
/// The maximum memory for names and targets of collected links, in bytes.
const MAX_LINK_BYTES: usize = 32 << 20;
/// [`MAX_LINK_BYTES`] for the files of a job. A directory of packages can have very many links.
const MAX_RESTORED_LINK_BYTES: usize = 512 << 20;

/// The links that are not created yet.
#[derive(Default)]
pub(super) struct Links {
    targets: BTreeMap<Parts, Link>,
    size: usize,
}

/// A link that is not created yet.
pub(super) struct Link {
    pub(super) to: OsString,
    /// The modification time, in seconds since the epoch.
    pub(super) modified: Option<i64>,
}

impl Links {
    /// Adds a link, which is created later by `Tree::finish`.
    pub(super) fn add(
        &mut self,
        parts: &Parts,
        to: Vec<u8>,
        modified: Option<i64>,
        budget: &Budget,
        rules: Rules,
    ) -> Result<(), EntryError> {
        let refuse = |reason: &str| Err(EntryError::Refused(reason.to_owned()));
        self.refuse_link(parts)?;
        // The system cannot create such a link, and a message from here is clearer.
        if to.is_empty() || to.contains(&0) {
            return refuse("is a link with an empty or invalid target");
        }
        if to.len() > budget.limits.path {
            return refuse("is a link to a name that is too long");
        }
        // An absolute target would mean something else on each host.
        if rules == Rules::Untrusted && to.starts_with(b"/") {
            return refuse("is a link to an absolute name; links must be relative");
        }
        // Links stay in memory until the end, so their total size is limited.
        self.size += to.len() + parts.iter().map(|part| part.len() + 32).sum::<usize>();
        let limit = match rules {
            Rules::Untrusted => MAX_LINK_BYTES,
            Rules::Restore => MAX_RESTORED_LINK_BYTES,
        };
        if self.size > limit {
            return Err(PackageError::RefusedArchive("has too many links".to_owned()).into());
        }
        let to = OsString::from_vec(to);
        self.targets.insert(parts.clone(), Link { to, modified });
        Ok(())
    }

    /// Fails if `parts` is the name of a link of the archive.
    pub(super) fn refuse_link(&self, parts: &[OsString]) -> Result<(), EntryError> {
        if self.targets.contains_key(parts) {
            return Err(EntryError::Refused(
                "goes through, or replaces, a symbolic link of the archive".to_owned(),
            ));
        }
        Ok(())
    }

    /// Fails if a link leads out of the tree below `root`.
    pub(super) fn check(&self, root: &OwnedFd, budget: &Budget) -> Result<(), PackageError> {
        for (parts, link) in &self.targets {
            let above = parts
                .split_last()
                .map_or(parts.as_slice(), |(_, dirs)| dirs);
            // A fresh walk for each link, because it starts in the link's own directory.
            let followed = LinkWalk::new(root, budget).follow(self, above, &link.to);
            followed.map_err(|error| error.with_name(parts.join(OsStr::new("/")).as_bytes()))?;
        }
        Ok(())
    }

    /// The links with their targets, by name.
    pub(super) fn into_list(self) -> impl Iterator<Item = (Parts, Link)> {
        self.targets.into_iter()
    }

    /// The directory in the tree below `root` to which a link on the disk leads, which is in the
    /// directory `above` and has the target `to`. `None` if it leads out or to nothing.
    pub(super) fn directory_of(
        &self,
        root: &OwnedFd,
        budget: &Budget,
        above: &[OsString],
        to: &OsStr,
    ) -> Result<Option<OwnedFd>, PackageError> {
        if to.as_bytes().starts_with(b"/") {
            return Ok(None);
        }
        let mut walk = LinkWalk::new(root, budget);
        match walk.follow(self, above, to) {
            Ok(()) => match walk.dirs.pop() {
                Some(found) => Ok(found),
                None => Ok(Some(root.try_clone()?)),
            },
            Err(EntryError::Refused(_)) => Ok(None),
            Err(EntryError::Failed(error)) => Err(error),
        }
    }
}

/// Resolves the target of a link, name by name.
struct LinkWalk<'a> {
    root: &'a OwnedFd,
    budget: &'a Budget,
    /// The resolved path so far.
    names: Parts,
    /// The directories of these names that exist on the disk.
    dirs: Vec<Option<OwnedFd>>,
}

impl<'a> LinkWalk<'a> {
    fn new(root: &'a OwnedFd, budget: &'a Budget) -> Self {
        Self {
            root,
            budget,
            names: Parts::new(),
            dirs: Vec::new(),
        }
    }

    /// Resolves `to`, starting in the directory `above`. Fails if the path leads out.
    fn follow(&mut self, links: &Links, above: &[OsString], to: &OsStr) -> Result<(), EntryError> {
        let mut ahead: Vec<OsString> = Vec::new();
        push_parts(&mut ahead, to);
        ahead.extend(above.iter().rev().cloned());
        let mut hops = 0;
        while let Some(part) = ahead.pop() {
            self.budget.check_time()?;
            if part == ".." {
                self.dirs.pop();
                // `..` in the root leads out.
                if self.names.pop().is_none() {
                    return Err(leads_out());
                }
                continue;
            }
            self.names.push(part);
            // A link of the archive will replace what is on the disk, so it is looked up first.
            let found = match links.targets.get(&self.names) {
                Some(link) => Found::Link(link.to.clone()),
                None => self.look()?,
            };
            match found {
                Found::Directory(dir) => self.dirs.push(Some(dir)),
                Found::Nothing => self.dirs.push(None),
                Found::Link(to) => {
                    // Also ends loops of links.
                    hops += 1;
                    if hops > MAX_HOPS {
                        let reason = "is a link that leads through too many other links";
                        return Err(EntryError::Refused(reason.to_owned()));
                    }
                    if to.as_bytes().starts_with(b"/") {
                        return Err(leads_out());
                    }
                    // The link's name is replaced by its target.
                    self.names.pop();
                    push_parts(&mut ahead, &to);
                }
            }
        }
        Ok(())
    }

    /// What exists on the disk under the last of the names.
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
        // Tries a directory first, which is the common case and needs only one call.
        match openat(dir, name, OPEN_DIRECTORY, Mode::empty()) {
            Ok(found) => return Ok(Found::Directory(found)),
            Err(Errno::ENOENT | Errno::ENAMETOOLONG) => return Ok(Found::Nothing),
            Err(Errno::ENOTDIR | Errno::ELOOP) => {}
            Err(error) => return Err(error.into()),
        }
        let found = openat(dir, name, flags, Mode::empty())?;
        let mode = SFlag::from_bits_truncate(fstat(&found)?.st_mode & SFlag::S_IFMT.bits());
        if mode == SFlag::S_IFLNK {
            Ok(Found::Link(readlinkat(&found, "")?))
        } else {
            Ok(Found::Nothing)
        }
    }
}

/// What a name refers to.
enum Found {
    Directory(OwnedFd),
    Link(OsString),
    /// Nothing, or a file. Only `..` can follow.
    Nothing,
}

/// Pushes the parts of a path on a stack, the first one on top.
fn push_parts(ahead: &mut Vec<OsString>, path: &OsStr) {
    let parts = path.as_bytes().split(|&byte| byte == b'/').rev();
    let parts = parts.filter(|part| !part.is_empty() && *part != b".");
    ahead.extend(parts.map(|part| OsStr::from_bytes(part).to_owned()));
}

fn leads_out() -> EntryError {
    EntryError::Refused("is a link that leads out of the directory".to_owned())
}
