//! How a context becomes an archive.
//!
//! The archive is packed by a blocking task into a short channel, so that it is never whole in
//! memory or on disk; when the reader goes away the task ends.

use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;
use tar::{EntryType, Header};
use tokio::sync::mpsc;

use crate::context::Context;
use crate::entry::{Content, Entry, Keep, Kind, Packing, at};
use crate::pieces::pieces_of;

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
            inject(&mut archive, packing, path, self.dockerfile())?;
            if let Some(path) = self
                .own_patterns
                .as_ref()
                .filter(|_| packing.keep == Keep::AllPatterns)
            {
                inject(&mut archive, packing, path, &self.own_patterns_name())?;
            }
        }
        self.walk(packing, &|_| true, &mut |entry| add(&mut archive, &entry))?;
        archive.into_inner()?.flush()
    }
}

/// Adds a file that is not where its name says.
fn inject<W: Write>(
    archive: &mut tar::Builder<W>,
    packing: Packing,
    on_disk: &Path,
    name: &str,
) -> io::Result<()> {
    let metadata = on_disk.metadata().map_err(|error| at(on_disk, &error))?;
    let name = Path::new(name);
    match Entry::of(on_disk, name, &metadata, packing.latest_change) {
        Some(entry) => add(archive, &entry),
        None => Ok(()),
    }
}

fn add<W: Write>(archive: &mut tar::Builder<W>, entry: &Entry<'_>) -> io::Result<()> {
    match entry.kind {
        Kind::Directory => {
            let mut header = header(EntryType::Directory, entry);
            archive.append_data(&mut header, entry.name, io::empty())
        }
        Kind::Link => {
            let mut header = header(EntryType::Symlink, entry);
            archive.append_link(&mut header, entry.name, entry.target()?)
        }
        Kind::File { size, .. } => {
            let mut header = header(EntryType::Regular, entry);
            header.set_size(size);
            archive.append_data(&mut header, entry.name, Content::open(entry.on_disk, size)?)
        }
    }
}

fn header(kind: EntryType, entry: &Entry<'_>) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(entry.kind.mode());
    header.set_size(0);
    header.set_mtime(entry.changed.as_secs());
    header
}
