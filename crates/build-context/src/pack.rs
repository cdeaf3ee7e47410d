//! How a context becomes an archive.
//!
//! The archive is packed by a blocking task into a short channel, so that it is never whole in
//! memory or on disk; when the reader goes away the task ends.

use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tar::{EntryType, Header};
use tokio::sync::mpsc;

use crate::context::{Context, Entry, at};
use crate::pieces::pieces_of;

/// How a context is packed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Packing {
    /// What changed later than this is said to have changed then, as `SOURCE_DATE_EPOCH` asks for.
    pub latest_change: Option<SystemTime>,
    /// Whether the patterns that go with the Dockerfile alone are packed though they are left out:
    /// for somebody who unpacks the archive and packs it again by the same rules.
    pub with_own_patterns: bool,
}

impl Context {
    /// Packs the context in the background; the pieces of the tar archive come out of the channel.
    pub fn pack(self, packing: Packing) -> mpsc::Receiver<io::Result<Bytes>> {
        pieces_of(move |writer| self.write(packing, writer))
    }

    /// Writes the context as a tar archive.
    ///
    /// # Errors
    /// When something cannot be read, or became shorter while it was; the text says what. What the
    /// writer says.
    pub fn write(&self, packing: Packing, writer: impl Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(writer);
        if let Some(path) = &self.injected {
            add_file(&mut archive, packing, path, Path::new(self.dockerfile()))?;
            if let Some(path) = self
                .own_patterns
                .as_ref()
                .filter(|_| packing.with_own_patterns)
            {
                let name = self.own_patterns_name();
                add_file(&mut archive, packing, path, Path::new(&name))?;
            }
        }
        self.walk(packing, &mut |entry| add(&mut archive, packing, &entry))?;
        archive.into_inner()?.flush()
    }
}

fn add<W: Write>(
    archive: &mut tar::Builder<W>,
    packing: Packing,
    entry: &Entry<'_>,
) -> io::Result<()> {
    let metadata = entry.metadata;
    if metadata.is_dir() {
        let mut header = header(EntryType::Directory, 0o755, packing, metadata);
        archive.append_data(&mut header, entry.name, io::empty())
    } else if metadata.is_symlink() {
        let target = entry.on_disk.read_link();
        let target = target.map_err(|error| at(entry.on_disk, &error))?;
        let mut header = header(EntryType::Symlink, 0o777, packing, metadata);
        archive.append_link(&mut header, entry.name, target)
    } else if metadata.is_file() {
        add_file(archive, packing, entry.on_disk, entry.name)
    } else {
        // Sockets, pipes and devices have no place in an image.
        Ok(())
    }
}

fn add_file<W: Write>(
    archive: &mut tar::Builder<W>,
    packing: Packing,
    on_disk: &Path,
    name: &Path,
) -> io::Result<()> {
    let open = || File::open(on_disk).and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, file) = open().map_err(|error| at(on_disk, &error))?;
    let mode = match metadata.permissions().mode() & 0o111 {
        0 => 0o644,
        _ => 0o755,
    };
    let mut header = header(EntryType::Regular, mode, packing, &metadata);
    header.set_size(metadata.len());
    let content = Content {
        file,
        on_disk,
        left: metadata.len(),
    };
    archive.append_data(&mut header, name, content)
}

/// As much of a file as there was when it was opened, and not less: its length is in the archive
/// already.
struct Content<'a> {
    file: File,
    on_disk: &'a Path,
    left: u64,
}

impl Read for Content<'_> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = piece.len().min(most);
        let read = self.file.read(&mut piece[..most]);
        let read = read.map_err(|error| at(self.on_disk, &error))?;
        if read == 0 && most > 0 {
            let shorter = io::Error::other("it became shorter while it was packed; build again");
            return Err(at(self.on_disk, &shorter));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// A header that belongs to root, as in images; the time of change is kept.
fn header(kind: EntryType, mode: u32, packing: Packing, metadata: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    let changed = metadata.modified().unwrap_or(UNIX_EPOCH);
    let latest = packing.latest_change.unwrap_or(changed);
    let since = changed.min(latest).duration_since(UNIX_EPOCH);
    header.set_mtime(since.map_or(0, |since| since.as_secs()));
    header
}
