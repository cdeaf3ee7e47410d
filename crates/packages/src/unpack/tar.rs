//! Unpacks a tar archive that is compressed with gzip.
//!
//! Headers that describe the next member (long names, PAX records) are read here rather than by the
//! `tar` crate, to enforce limits. An archive whose descriptions other programs could interpret
//! differently is refused.

use std::fs::File;
use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use tar::{EntryType, Header, PaxExtensions};

use crate::error::PackageError;
use crate::kind::is_plain_tar;

use super::budget::{Budget, Metered};
use super::errors::{EntryError, broken, malformed, refused};
use super::limits::UnpackLimits;
use super::name::{Parts, of_restored, of_tar};
use super::rules::Rules;
use super::tree::{FileMetadata, Tree};

/// The type of a regular file in a Unix mode.
const FILE: u32 = 0o100_000;
/// The maximum size of a PAX header, in bytes.
const MAX_PAX_BYTES: u64 = 64 * 1024;

pub(super) fn unpack(
    mut archive: File,
    tree: &mut Tree<'_>,
    budget: &Budget,
) -> Result<(), PackageError> {
    // The decoder's own message for a wrong format would not help anybody.
    check_head(&mut archive)?;
    let compressed = BufReader::with_capacity(64 * 1024, archive);
    let inner = MultiGzDecoder::new(compressed);
    let mut archive = tar::Archive::new(Metered { inner, budget });
    let mut next = PendingHeaders::default();
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry.map_err(broken)?;
        // Headers without a member count too, or an archive could consist of them without end.
        budget.entry()?;
        let kind = entry.header().entry_type();
        if !next.read(kind, &mut entry, budget)? {
            let member = std::mem::take(&mut next).member(entry.header())?;
            member.place(kind, &mut entry, tree, budget)?;
        }
    }
    if next.is_some() {
        return Err(malformed("it ends after a header whose member is missing"));
    }
    // Reads to the end of the stream, so that gzip's checksum is verified.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
    Ok(())
}

/// Checks that the archive starts like a gzip file, for a better message than a decoder gives.
fn check_head(archive: &mut File) -> Result<(), PackageError> {
    use io::Seek as _;

    archive.rewind()?;
    let mut head = Vec::new();
    archive.by_ref().take(512).read_to_end(&mut head)?;
    archive.rewind()?;
    if head.starts_with(&[0x1f, 0x8b]) {
        return Ok(());
    }
    Err(malformed(if is_plain_tar(&head) {
        "it is an uncompressed tar archive; compress it with gzip"
    } else {
        "it is not compressed with gzip"
    }))
}

/// The headers that describe the next member.
#[derive(Default)]
struct PendingHeaders {
    gnu_name: Option<Vec<u8>>,
    gnu_link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

/// The records of a PAX header that are used here.
#[derive(Default)]
struct Pax {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<Vec<u8>>,
}

impl PendingHeaders {
    fn is_some(&self) -> bool {
        self.gnu_name.is_some() || self.gnu_link.is_some() || self.pax.is_some()
    }

    /// Reads `entry` if it describes the next member. Returns false if it is a member itself.
    fn read(
        &mut self,
        kind: EntryType,
        entry: &mut impl Read,
        budget: &Budget,
    ) -> Result<bool, PackageError> {
        let longest = budget.limits.path as u64;
        match kind {
            EntryType::GNULongName => set(&mut self.gnu_name, long_name(entry, longest)?)?,
            EntryType::GNULongLink => set(&mut self.gnu_link, long_name(entry, longest)?)?,
            EntryType::XHeader => set(&mut self.pax, Pax::read(entry)?)?,
            EntryType::XGlobalHeader => {
                let pax = Pax::read(entry)?;
                // It would apply to all members, which programs interpret differently.
                if pax.name.is_some() || pax.link.is_some() || pax.size.is_some() {
                    return Err(PackageError::RefusedArchive(
                        "has a global PAX header with a name, link or size".to_owned(),
                    ));
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The member with this header and the pending descriptions.
    fn member(self, header: &Header) -> Result<Member, PackageError> {
        let pax = self.pax.unwrap_or_default();
        // Programs differ in which of the two they use, which could hide a name.
        let twice = self.gnu_name.is_some() && pax.name.is_some()
            || self.gnu_link.is_some() && pax.link.is_some();
        let name = self.gnu_name.or(pax.name);
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        if twice {
            return Err(refused(&name, "has two different names or link targets"));
        }
        let size = header.entry_size().map_err(broken)?;
        // Programs differ in which size they believe, which would hide entries from some of them.
        if pax
            .size
            .is_some_and(|declared| declared != size.to_string().as_bytes())
        {
            return Err(refused(&name, "has two sizes"));
        }
        let link = self.gnu_link.or(pax.link);
        let link = link.or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
        Ok(Member {
            name,
            link: link.unwrap_or_default(),
            size,
            metadata: FileMetadata {
                // A tar archive always has a mode, which may be 0.
                mode: header.mode().map_err(broken)? & 0o7777 | FILE,
                modified: header.mtime().ok().and_then(|at| at.try_into().ok()),
            },
        })
    }
}

/// Sets a value that may be given only once.
fn set<T>(place: &mut Option<T>, value: T) -> Result<(), PackageError> {
    match place.replace(value) {
        Some(_) => Err(PackageError::RefusedArchive(
            "describes a member twice".to_owned(),
        )),
        None => Ok(()),
    }
}

fn long_name(entry: &mut impl Read, longest: u64) -> Result<Vec<u8>, PackageError> {
    let mut name = Vec::new();
    entry
        // One byte for the terminating NUL, and one to detect that the name is too long.
        .take(longest + 2)
        .read_to_end(&mut name)
        .map_err(broken)?;
    if name.last() == Some(&0) {
        name.pop();
    }
    if name.len() as u64 > longest {
        return Err(refused(&name, "has a name that is too long"));
    }
    Ok(name)
}

impl Pax {
    fn read(entry: &mut impl Read) -> Result<Self, PackageError> {
        let mut text = Vec::new();
        let mut head = entry.take(MAX_PAX_BYTES + 1);
        head.read_to_end(&mut text).map_err(broken)?;
        if text.len() as u64 > MAX_PAX_BYTES {
            return Err(PackageError::RefusedArchive(
                "has a PAX header of more than 64 KiB".to_owned(),
            ));
        }
        let mut pax = Self::default();
        for record in PaxExtensions::new(&text) {
            let record = record.map_err(broken)?;
            let place = match record.key_bytes() {
                b"path" => &mut pax.name,
                b"linkpath" => &mut pax.link,
                b"size" => &mut pax.size,
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(PackageError::RefusedArchive(
                        "has a sparse file; make it without --sparse".to_owned(),
                    ));
                }
                _ => continue,
            };
            set(place, record.value_bytes().to_vec())?;
        }
        Ok(pax)
    }
}

/// A file, directory or link of the archive.
struct Member {
    name: Vec<u8>,
    link: Vec<u8>,
    size: u64,
    metadata: FileMetadata,
}

impl Member {
    fn place(
        self,
        kind: EntryType,
        data: &mut dyn Read,
        tree: &mut Tree<'_>,
        budget: &Budget,
    ) -> Result<(), PackageError> {
        let refuse = |reason: &str| Err(refused(&self.name, reason));
        let split: fn(&[u8], &UnpackLimits) -> Result<Parts, &'static str> = match tree.rules {
            Rules::Untrusted => of_tar,
            Rules::Restore => of_restored,
        };
        let parts =
            split(&self.name, &budget.limits).map_err(|reason| refused(&self.name, reason))?;
        let is_file = matches!(kind, EntryType::Regular | EntryType::Continuous);
        // Programs differ in whether they skip such content, which could hide entries.
        if !is_file && self.size != 0 {
            return refuse("has content although it is not a file");
        }
        let placed = match kind {
            EntryType::Directory => tree.directory(&parts, self.metadata),
            // Before tar had a type for directories, they were files with a trailing slash.
            EntryType::Regular if self.name.ends_with(b"/") => match self.size {
                0 => tree.directory(&parts, self.metadata),
                _ => return refuse("is named like a directory but has content"),
            },
            EntryType::Regular | EntryType::Continuous => self.file(&parts, data, tree),
            EntryType::Link => {
                let to = split(&self.link, &budget.limits).map_err(|reason| {
                    refused(
                        &self.name,
                        format!("is a hard link to a name that {reason}"),
                    )
                })?;
                tree.hard_link(&parts, &to)
            }
            EntryType::Symlink => {
                tree.symbolic_link(&parts, self.link.clone(), self.metadata.modified)
            }
            // A device could give access to the host.
            EntryType::Block | EntryType::Char | EntryType::Fifo => {
                return refuse("is a device or a pipe");
            }
            EntryType::GNUSparse => return refuse("is a sparse file; make it without --sparse"),
            other => {
                let kind = char::from(other.as_byte()).escape_default();
                return refuse(&format!("has the unknown type '{kind}'"));
            }
        };
        placed.map_err(|error| error.with_name(&self.name))
    }

    fn file(
        &self,
        parts: &Parts,
        data: &mut dyn Read,
        tree: &mut Tree<'_>,
    ) -> Result<(), EntryError> {
        if tree.file(parts, self.metadata, data)? == self.size {
            Ok(())
        } else {
            Err(malformed("it ends within a file").into())
        }
    }
}
