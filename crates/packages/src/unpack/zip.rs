//! Unpacks a zip archive.
//!
//! The central directory is read twice, one entry at a time: first to check that the entries are
//! consistent, then to unpack them. The local header of an entry must agree with the directory.

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
use super::tree::{FileMetadata, Tree};

/// The file type bits of a Unix mode, and their values.
const KIND: u32 = 0o170_000;
const FILE: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

pub(super) fn unpack(
    archive: File,
    tree: &mut Tree<'_>,
    budget: &Budget,
) -> Result<(), PackageError> {
    let archive = BufReader::new(archive);
    let config = Config {
        // No bytes before the archive: programs differ in how they handle them.
        archive_offset: ArchiveOffset::Known(0),
    };
    let archive = ZipIterable::try_new(archive, config).map_err(damaged)?;
    budget.check_entries(archive.len() as u64)?;
    // Programs that read local headers must see the same entries as those that read the directory.
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

/// Checks all entries before the first one is unpacked.
fn check<R: std::io::Read + Seek>(
    archive: &mut ZipIterable<R>,
    budget: &Budget,
) -> Result<(), PackageError> {
    let mut taken = Vec::new();
    let mut expanded = 0_u64;
    let mut directory = u64::MAX;
    let entries = archive.files().map_err(damaged)?;
    while let Some(entry) = entries.next() {
        budget.check_time()?;
        let entry = entry.map_err(damaged)?;
        let member = Member::read(&entry, budget)?;
        // Declared sizes are checked before anything is written.
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
    // Overlapping entries would expand the same bytes many times (zip bombs without recursion).
    taken.sort_unstable();
    let overlap = taken.windows(2).any(|pair| pair[0].1 > pair[1].0);
    if overlap || taken.iter().any(|&(_, end)| end > directory) {
        return Err(PackageError::RefusedArchive(
            "has entries that overlap".to_owned(),
        ));
    }
    Ok(())
}

/// The type of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    Link,
}

/// A file, directory or link of the archive.
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
            .map_err(|_| refused(raw, "has a name in an unknown encoding"))?;
        let name = name.as_bytes();
        let refuse = |reason: &str| Err(refused(name, reason));
        let parts = of_zip(name, &budget.limits).map_err(|reason| refused(name, reason))?;
        if entry.encrypted() {
            return refuse("is encrypted");
        }
        match entry.compression() {
            // Other methods are rare, and each decoder would be more code that reads untrusted bytes.
            CompressionMethod::Stored | CompressionMethod::Deflated => {}
            _ => return refuse("uses a compression method other than deflate"),
        }
        // Archives from Windows have no mode; their entries are files and directories by name.
        let mode = entry.unix_mode().unwrap_or_default();
        let kind = match (mode & KIND, name.ends_with(b"/")) {
            (LINK, false) => Kind::Link,
            (DIRECTORY, _) | (0 | FILE, true) => Kind::Directory,
            (0 | FILE, false) => Kind::File,
            (LINK, true) => return refuse("is a link named like a directory"),
            _ => return refuse("is a device or a pipe"),
        };
        if kind == Kind::Directory && entry.size() != 0 {
            return refuse("is a directory but has content");
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
        // One byte over the declared size is enough to detect that there is more.
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
                let metadata = FileMetadata {
                    is_executable: self.is_executable,
                    modified: None,
                };
                match tree.file(&self.parts, metadata, &mut data) {
                    Ok(size) if size != self.size => {
                        return Err(refused(&self.name, "does not have its declared size"));
                    }
                    Ok(_) => Ok(()),
                    Err(error) => Err(error),
                }
            }
        };
        placed.map_err(|error| error.with_name(&self.name))
    }
}

fn damaged(error: ZipError) -> PackageError {
    match error {
        ZipError::UnsupportedArchive(reason) => broken(reason),
        error => broken(error),
    }
}
