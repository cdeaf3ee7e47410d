//! Unpacking a tar archive that is compressed with gzip.
//!
//! Headers are read one by one, and what describes the next member (long names, PAX records) is
//! read here, within limits. Where two descriptions could be read differently by other programs,
//! the archive is refused.

use std::fs::File;
use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use tar::{EntryType, Header, PaxExtensions};

use crate::error::PackageError;
use crate::kind::is_plain_tar;

use super::budget::{Budget, Metered};
use super::errors::{EntryError, broken, broken_as, refused};
use super::name::{Parts, of_tar};
use super::tree::{Traits, Tree};

/// How large the records before a member may be, in bytes.
const MAX_RECORDS: u64 = 64 * 1024;

/// Unpacks the archive.
pub(super) fn unpack(
    mut archive: File,
    tree: &mut Tree<'_>,
    budget: &Budget,
) -> Result<(), PackageError> {
    check_head(&mut archive)?;
    let compressed = BufReader::with_capacity(64 * 1024, archive);
    let inner = MultiGzDecoder::new(compressed);
    let mut archive = tar::Archive::new(Metered { inner, budget });
    let mut next = Described::default();
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry.map_err(broken)?;
        budget.entry()?;
        let kind = entry.header().entry_type();
        if !next.read(kind, &mut entry, budget)? {
            let member = std::mem::take(&mut next).member(entry.header())?;
            member.place(kind, &mut entry, tree, budget)?;
        }
    }
    if next.is_some() {
        return Err(broken_as("it ends where a member was announced"));
    }
    // What follows the archive's end is of no use, but its checksum is.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
    Ok(())
}

/// Says at once what is no gzip file at all.
fn check_head(archive: &mut File) -> Result<(), PackageError> {
    use io::Seek as _;

    archive.rewind()?;
    let mut head = Vec::new();
    archive.by_ref().take(512).read_to_end(&mut head)?;
    archive.rewind()?;
    if head.starts_with(&[0x1f, 0x8b]) {
        return Ok(());
    }
    Err(broken_as(match is_plain_tar(&head) {
        true => "it is a tar archive that is not compressed; compress it with gzip",
        false => "it is not compressed with gzip",
    }))
}

/// What came before a member to describe it.
#[derive(Default)]
struct Described {
    gnu_name: Option<Vec<u8>>,
    gnu_link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

/// The records of a PAX header that count here.
#[derive(Default)]
struct Pax {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<Vec<u8>>,
}

impl Described {
    fn is_some(&self) -> bool {
        self.gnu_name.is_some() || self.gnu_link.is_some() || self.pax.is_some()
    }

    /// Reads a description; returns whether the entry was one.
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
                if pax.name.is_some() || pax.link.is_some() || pax.size.is_some() {
                    return Err(PackageError::RefusedArchive(
                        "has a PAX header that describes all members alike".to_owned(),
                    ));
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The member that `header` begins, with what was said of it before.
    fn member(self, header: &Header) -> Result<Member, PackageError> {
        let pax = self.pax.unwrap_or_default();
        let twice = self.gnu_name.is_some() && pax.name.is_some()
            || self.gnu_link.is_some() && pax.link.is_some();
        let name = self.gnu_name.or(pax.name);
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        if twice {
            return Err(refused(&name, "is described in two ways"));
        }
        let size = header.entry_size().map_err(broken)?;
        if pax
            .size
            .is_some_and(|said| said != size.to_string().as_bytes())
        {
            return Err(refused(&name, "has two sizes"));
        }
        let link = self.gnu_link.or(pax.link);
        let link = link.or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
        Ok(Member {
            name,
            link: link.unwrap_or_default(),
            size,
            traits: Traits {
                is_executable: header.mode().map_err(broken)? & 0o100 != 0,
                changed: header.mtime().ok(),
            },
        })
    }
}

/// Keeps what may be said once.
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
        .take(longest + 2)
        .read_to_end(&mut name)
        .map_err(broken)?;
    if name.last() == Some(&0) {
        name.pop();
    }
    match name.len() as u64 > longest {
        true => Err(refused(&name, "has a name that is too long")),
        false => Ok(name),
    }
}

impl Pax {
    fn read(entry: &mut impl Read) -> Result<Self, PackageError> {
        let mut text = Vec::new();
        let mut head = entry.take(MAX_RECORDS + 1);
        head.read_to_end(&mut text).map_err(broken)?;
        if text.len() as u64 > MAX_RECORDS {
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

/// Something that belongs in the tree.
struct Member {
    name: Vec<u8>,
    link: Vec<u8>,
    size: u64,
    traits: Traits,
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
        let parts =
            of_tar(&self.name, &budget.limits).map_err(|reason| refused(&self.name, reason))?;
        let is_file = matches!(kind, EntryType::Regular | EntryType::Continuous);
        if !is_file && self.size != 0 {
            return refuse("has bytes although it is no file");
        }
        let placed = match kind {
            EntryType::Directory => tree.directory(&parts),
            // Archives from before there was a kind for directories name them so.
            EntryType::Regular if self.name.ends_with(b"/") => match self.size {
                0 => tree.directory(&parts),
                _ => return refuse("has the name of a directory, and bytes"),
            },
            EntryType::Regular | EntryType::Continuous => self.file(&parts, data, tree),
            EntryType::Link => {
                let to = of_tar(&self.link, &budget.limits).map_err(|reason| {
                    refused(&self.name, format!("is a hard link to what {reason}"))
                })?;
                tree.hard_link(&parts, &to)
            }
            EntryType::Symlink => tree.symbolic_link(&parts, self.link.clone()),
            EntryType::Block | EntryType::Char | EntryType::Fifo => {
                return refuse("is a device or a pipe");
            }
            EntryType::GNUSparse => return refuse("is a sparse file; make it without --sparse"),
            other => {
                let kind = char::from(other.as_byte()).escape_default();
                return refuse(&format!("is of the kind '{kind}', which is not known"));
            }
        };
        placed.map_err(|error| error.naming(&self.name))
    }

    fn file(
        &self,
        parts: &Parts,
        data: &mut dyn Read,
        tree: &mut Tree<'_>,
    ) -> Result<(), EntryError> {
        match tree.file(parts, self.traits, data)? == self.size {
            true => Ok(()),
            false => Err(broken_as("it ends within a file").into()),
        }
    }
}
