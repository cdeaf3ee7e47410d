//! Unpacks a zip archive.
//!
//! The central directory is read twice, one entry at a time: first to check that the entries are
//! consistent, then to unpack them. The local header of an entry must agree with the directory.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek};

use zip::extra_fields::ExtraField;
use zip::read::{ArchiveOffset, Config, ZipFileEntry, ZipReadOptions};
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;
use zip::{CompressionMethod, System};

use crate::error::PackageError;

use super::budget::{Budget, Metered};
use super::errors::{broken, refused};
use super::name::{Parts, of_restored, of_zip};
use super::rules::Rules;
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
    check(&mut archive, budget, tree.rules)?;
    let entries = archive.files().map_err(damaged)?;
    while let Some(entry) = entries.next() {
        budget.entry()?;
        let entry = entry.map_err(damaged)?;
        let mut member = Member::read(&entry, budget, tree.rules)?;
        let data = entry
            .with_reader(entries.reader_mut(), ZipReadOptions::new())
            .map_err(damaged)?;
        if tree.rules == Rules::Restore {
            let coarse = data.last_modified();
            member.modified = modified(data.extra_data_fields()).or_else(|| dos_time(coarse?));
        }
        member.place(data, tree, budget)?;
    }
    Ok(())
}

/// Checks all entries before the first one is unpacked.
fn check<R: std::io::Read + Seek>(
    archive: &mut ZipIterable<R>,
    budget: &Budget,
    rules: Rules,
) -> Result<(), PackageError> {
    let mut taken = Vec::new();
    let mut expanded = 0_u64;
    let mut directory = u64::MAX;
    let entries = archive.files().map_err(damaged)?;
    while let Some(entry) = entries.next() {
        budget.check_time()?;
        let entry = entry.map_err(damaged)?;
        let member = Member::read(&entry, budget, rules)?;
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
    /// The Unix mode; 0 if the archive has none.
    mode: u32,
    /// The modification time, in seconds since the epoch.
    modified: Option<i64>,
}

impl Member {
    fn read(entry: &ZipFileEntry<'_>, budget: &Budget, rules: Rules) -> Result<Self, PackageError> {
        let raw = entry.name_raw();
        let name = entry
            .name()
            .map_err(|_| refused(raw, "has a name in an unknown encoding"))?;
        // On Unix, names are bytes in no certain encoding, and a backslash separates nothing.
        let (name, split): (_, fn(&[u8], &_) -> _) = match (rules, entry.system()) {
            (Rules::Restore, System::Unix | System::OsDarwin) => (raw, of_restored),
            _ => (name.as_bytes(), of_zip),
        };
        let refuse = |reason: &str| Err(refused(name, reason));
        let parts = split(name, &budget.limits).map_err(|reason| refused(name, reason))?;
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
            mode,
            modified: None,
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
        let metadata = FileMetadata {
            // The owner is this process, and the next job may have to write into the file. Special bits
            // of a job's files mean nothing elsewhere.
            mode: match self.mode {
                0 => 0,
                mode => mode & !0o7000 | 0o600,
            },
            modified: self.modified,
        };
        let placed = match self.kind {
            Kind::Directory => tree.directory(&self.parts, metadata),
            Kind::Link => {
                let mut to = Vec::new();
                let longest = budget.limits.path as u64 + 1;
                (&mut data)
                    .take(longest)
                    .read_to_end(&mut to)
                    .map_err(broken)?;
                tree.symbolic_link(&self.parts, to, self.modified)
            }
            Kind::File => match tree.file(&self.parts, metadata, &mut data) {
                Ok(size) if size != self.size => {
                    return Err(refused(&self.name, "does not have its declared size"));
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            },
        };
        placed.map_err(|error| error.with_name(&self.name))
    }
}

/// The modification time in the fields that common programs add to an entry, in seconds since the
/// epoch.
fn modified<'a>(fields: impl Iterator<Item = &'a ExtraField>) -> Option<i64> {
    /// The seconds between 1601, where the time of Windows begins, and 1970.
    const WINDOWS_EPOCH: i64 = 11_644_473_600;
    let mut seconds = None;
    for field in fields {
        match field {
            // Covers the years in which the other field ends.
            ExtraField::Ntfs(times) => {
                let since = i64::try_from(times.mtime() / 10_000_000).ok()?;
                return Some(since - WINDOWS_EPOCH);
            }
            // The format calls it a signed number.
            ExtraField::ExtendedTimestamp(times) => {
                seconds = times.mod_time().map(|at| i64::from(at.cast_signed()));
            }
            _ => {}
        }
    }
    seconds
}

/// The local time of an entry, which is taken for UTC, in seconds since the epoch.
fn dos_time(at: zip::DateTime) -> Option<i64> {
    let (year, month) = (i64::from(at.year()), i64::from(at.month()));
    // The days from 1970 to a date, in a calendar whose years begin in March.
    let from_march = (month + 9) % 12;
    let year = if month <= 2 { year - 1 } else { year };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leap_days + (from_march * 153 + 2) / 5 + i64::from(at.day()) - 1;
    let seconds = i64::from(at.hour()) * 3600 + i64::from(at.minute()) * 60;
    Some((days - 719_468) * 86_400 + seconds + i64::from(at.second()))
}

fn damaged(error: ZipError) -> PackageError {
    match error {
        ZipError::UnsupportedArchive(reason) => broken(reason),
        error => broken(error),
    }
}
