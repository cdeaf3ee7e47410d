//! Packs a context into a tar archive.
//!
//! A blocking task packs into a channel with a few chunks, so that the archive is never held
//! completely in memory or on disk. The task ends when the reader drops the channel.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use bytes::Bytes;
use tar::{EntryType, Header};
use tokio::sync::mpsc;

use crate::chunks::chunks_of_writer;
use crate::context::Context;
use crate::entry::{Content, Entry, EntryKind, Packing, with_path};

impl Context {
    /// Packs the context in the background; the channel yields the chunks of the tar archive.
    pub fn pack(self, packing: Packing) -> mpsc::Receiver<io::Result<Bytes>> {
        chunks_of_writer(move |writer| self.write(packing, writer))
    }

    /// Writes the context as a tar archive.
    ///
    /// # Errors
    /// If a file cannot be read or becomes shorter meanwhile; the message names it. Errors of the
    /// writer.
    pub fn write(&self, packing: Packing, writer: impl Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(writer);
        for (path, name) in self.injected(packing) {
            append_as(&mut archive, packing, path, name)?;
        }
        self.walk(packing, &|_| true, &mut |entry| {
            append(&mut archive, &entry)
        })?;
        archive.into_inner()?.flush()
    }
}

/// Appends a file under a name that is not its path in the context.
fn append_as<W: Write>(
    archive: &mut tar::Builder<W>,
    packing: Packing,
    on_disk: &Path,
    name: &str,
) -> io::Result<()> {
    let metadata = on_disk.metadata();
    let metadata = metadata.map_err(|error| with_path(on_disk, &error))?;
    let name = Path::new(name);
    match Entry::new(on_disk, name, &metadata, None, packing) {
        Some(entry) => append(archive, &entry),
        None => Ok(()),
    }
}

fn append<W: Write>(archive: &mut tar::Builder<W>, entry: &Entry<'_>) -> io::Result<()> {
    match entry.kind {
        EntryKind::Directory => {
            let mut header = header(EntryType::Directory, entry);
            archive.append_data(&mut header, entry.name, io::empty())
        }
        EntryKind::HardLink { to } => {
            let mut header = header(EntryType::Link, entry);
            append_link(archive, &mut header, entry.name, to)
        }
        EntryKind::Link => {
            let mut header = header(EntryType::Symlink, entry);
            append_link(archive, &mut header, entry.name, &entry.target()?)
        }
        EntryKind::File { size } => {
            let mut header = header(EntryType::Regular, entry);
            // The header is written first, so `Content` must deliver exactly this size.
            header.set_size(size);
            archive.append_data(&mut header, entry.name, Content::open(entry.on_disk, size)?)
        }
    }
}

/// Appends a link. The target stays as it is: `tar` itself would shorten `./a//b` to `a/b`.
fn append_link<W: Write>(
    archive: &mut tar::Builder<W>,
    header: &mut Header,
    name: &Path,
    target: &Path,
) -> io::Result<()> {
    let target = target.as_os_str().as_bytes();
    if target.len() <= header.as_old().linkname.len() {
        header.set_link_name_literal(target)?;
    } else {
        let mut long = Header::new_gnu();
        long.set_entry_type(EntryType::GNULongLink);
        long.set_path("././@LongLink")?;
        long.set_mode(0o644);
        // The target ends with a NUL.
        long.set_size(target.len() as u64 + 1);
        long.set_mtime(0);
        long.set_cksum();
        archive.append(&long, [target, &[0]].concat().as_slice())?;
    }
    archive.append_data(header, name, io::empty())
}

fn header(kind: EntryType, entry: &Entry<'_>) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(entry.mode);
    header.set_size(0);
    header.set_mtime(entry.modified.as_secs());
    header
}
