//! Unpacking a zip archive.
//!
//! The directory at the archive's end is read twice, an entry at a time: first to see that
//! everything in it fits together, then to unpack. An entry counts only when the header before its
//! bytes says the same of it.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek};

use zip::CompressionMethod;
use zip::read::{ArchiveOffset, Config, ZipFileEntry, ZipReadOptions};
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;

use crate::error::PackageError;

use super::budget::{Budget, Metered};
use super::errors::{broken, refused};
use super::name::{Parts, of_zip};
use super::tree::{Traits, Tree};

/// Which bits of a mode say what something is, and the words for that.
const KIND: u32 = 0o170_000;
const FILE: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// Unpacks the archive.
pub(super) fn unpack(
    archive: File,
    tree: &mut Tree<'_>,
    budget: &Budget,
) -> Result<(), PackageError> {
    let archive = BufReader::new(archive);
    let config = Config {
        archive_offset: ArchiveOffset::Known(0),
    };
    let archive = ZipIterable::try_new(archive, config).map_err(damaged)?;
    budget.check_entries(archive.len() as u64)?;
    let mut archive = archive.enforce_header_consistency(true);
    check(&mut archive, budget)?;
    let entries = archive.files().map_err(damaged)?;
    while let Some(entry) = entries.next() {
        budget.entry()?;
        let entry = entry.map_err(damaged)?;
        let member = Member::read(&entry, budget)?;
        let data = entry
            .with_reader(entries.reader_mut(), ZipReadOptions::new())
            .map_err(damaged)?;
        member.place(data, tree, budget)?;
    }
    Ok(())
}

/// Looks at all entries before the first is unpacked.
fn check<R: std::io::Read + Seek>(
    archive: &mut ZipIterable<R>,
    budget: &Budget,
) -> Result<(), PackageError> {
    let mut taken = Vec::new();
    let mut expanded = 0_u64;
    let mut directory = u64::MAX;
    let entries = archive.files().map_err(damaged)?;
    while let Some(entry) = entries.next() {
        budget.alive()?;
        let entry = entry.map_err(damaged)?;
        let member = Member::read(&entry, budget)?;
        expanded = expanded.saturating_add(member.size);
        budget.check_expanded(expanded)?;
        directory = directory.min(entry.central_header_start());
        let start = entry.header_start();
        let size = entry.compressed_size();
        let data = entry
            .with_reader(entries.reader_mut(), ZipReadOptions::new())
            .map_err(damaged)?;
        let end = data.data_start().and_then(|data| data.checked_add(size));
        let end = end.ok_or_else(|| refused(&member.name, "has an impossible size"))?;
        taken.push((start, end));
    }
    taken.sort_unstable();
    let overlap = taken.windows(2).any(|pair| pair[0].1 > pair[1].0);
    if overlap || taken.iter().any(|&(_, end)| end > directory) {
        return Err(PackageError::RefusedArchive(
            "has entries that overlap".to_owned(),
        ));
    }
    Ok(())
}

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    Link,
}

/// Something that belongs in the tree.
struct Member {
    name: Vec<u8>,
    parts: Parts,
    kind: Kind,
    size: u64,
    is_executable: bool,
}

impl Member {
    fn read(entry: &ZipFileEntry<'_>, budget: &Budget) -> Result<Self, PackageError> {
        let raw = entry.name_raw();
        let name = entry
            .name()
            .map_err(|_| refused(raw, "has a name in no known encoding"))?;
        let name = name.as_bytes();
        let refuse = |reason: &str| Err(refused(name, reason));
        let parts = of_zip(name, &budget.limits).map_err(|reason| refused(name, reason))?;
        if entry.encrypted() {
            return refuse("is encrypted");
        }
        match entry.compression() {
            CompressionMethod::Stored | CompressionMethod::Deflated => {}
            _ => return refuse("is compressed in a way other than deflate"),
        }
        let mode = entry.unix_mode().unwrap_or_default();
        let kind = match (mode & KIND, name.ends_with(b"/")) {
            (LINK, false) => Kind::Link,
            (DIRECTORY, _) | (0 | FILE, true) => Kind::Directory,
            (0 | FILE, false) => Kind::File,
            (LINK, true) => return refuse("is a link with the name of a directory"),
            _ => return refuse("is a device or a pipe"),
        };
        if kind == Kind::Directory && entry.size() != 0 {
            return refuse("is a directory, and has bytes");
        }
        Ok(Self {
            name: name.to_vec(),
            parts,
            kind,
            size: entry.size(),
            is_executable: mode & 0o100 != 0,
        })
    }

    fn place(
        self,
        data: impl std::io::Read,
        tree: &mut Tree<'_>,
        budget: &Budget,
    ) -> Result<(), PackageError> {
        // One byte more than there should be is enough to see that there is more.
        let inner = data.take(self.size.saturating_add(1));
        let mut data = Metered { inner, budget };
        let placed = match self.kind {
            Kind::Directory => tree.directory(&self.parts),
            Kind::Link => {
                let mut to = Vec::new();
                let longest = budget.limits.path as u64 + 1;
                (&mut data)
                    .take(longest)
                    .read_to_end(&mut to)
                    .map_err(broken)?;
                tree.symbolic_link(&self.parts, to)
            }
            Kind::File => {
                let traits = Traits {
                    is_executable: self.is_executable,
                    changed: None,
                };
                match tree.file(&self.parts, traits, &mut data) {
                    Ok(size) if size != self.size => {
                        return Err(refused(&self.name, "is not as large as it says"));
                    }
                    Ok(_) => Ok(()),
                    Err(error) => Err(error),
                }
            }
        };
        placed.map_err(|error| error.naming(&self.name))
    }
}

fn damaged(error: ZipError) -> PackageError {
    match error {
        ZipError::UnsupportedArchive(reason) => broken(reason),
        error => broken(error),
    }
}
