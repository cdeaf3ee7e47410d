//! Packs the checkout and the script into an archive for the container.

use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use slipway_build_context::chunks_of_writer;
use tar::{EntryType, Header};
use tokio::sync::mpsc;

/// The files for the container.
pub(crate) struct Pack {
    /// The directory whose content becomes the work directory.
    pub(crate) checkout: PathBuf,
    /// The script.
    pub(crate) script: String,
    /// Shell text that exports the variables, for a script that does not get them from the engine.
    pub(crate) environment: Option<String>,
}

impl Pack {
    /// Packs in the background and returns the pieces of the archive. Names in it are relative to the
    /// container's root and below `slipway`.
    pub(crate) fn pack(self) -> mpsc::Receiver<io::Result<Bytes>> {
        chunks_of_writer(move |writer| self.write(writer))
    }

    fn write(&self, writer: impl Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(writer);
        // An entry of its own, so that every user of the image can write to the directory.
        add_directory(&mut archive, Path::new("slipway"), None)?;
        let script = self.script.as_bytes();
        add_bytes(&mut archive, "slipway/script", script)?;
        add_bytes(&mut archive, "slipway/at", b"")?;
        if let Some(environment) = &self.environment {
            add_bytes(&mut archive, "slipway/environment", environment.as_bytes())?;
        }
        let work = Path::new("slipway/work");
        add_directory(&mut archive, work, None)?;
        add_content(&mut archive, &self.checkout, work)?;
        archive.into_inner()?.flush()
    }
}

/// The pieces of an archive that overwrites the files of [`Pack`], except the work directory, with
/// empty ones. The engine cannot delete files of a container.
pub(crate) fn empty_files() -> mpsc::Receiver<io::Result<Bytes>> {
    chunks_of_writer(|writer| {
        let mut archive = tar::Builder::new(writer);
        for name in ["slipway/script", "slipway/at", "slipway/environment"] {
            add_bytes(&mut archive, name, b"")?;
        }
        archive.into_inner()?.flush()
    })
}

/// Adds the content of `dir`, sorted by name. Links are added as links: following them could copy
/// files of this host into the container.
fn add_content<W: Write>(archive: &mut tar::Builder<W>, dir: &Path, name: &Path) -> io::Result<()> {
    let mut names: Vec<_> = dir
        .read_dir()?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<_>>()?;
    // A stable order makes archives of the same checkout equal.
    names.sort();
    for file in names {
        let (on_disk, name) = (dir.join(&file), name.join(&file));
        let metadata = on_disk.symlink_metadata()?;
        if metadata.is_dir() {
            add_directory(archive, &name, Some(&metadata))?;
            add_content(archive, &on_disk, &name)?;
        } else if metadata.is_symlink() {
            add_link(archive, &name, &on_disk.read_link()?, &metadata)?;
        } else if metadata.is_file() {
            add_file(archive, &on_disk, &name)?;
        }
    }
    Ok(())
}

fn add_directory<W: Write>(
    archive: &mut tar::Builder<W>,
    name: &Path,
    metadata: Option<&Metadata>,
) -> io::Result<()> {
    add_early_time(archive, metadata)?;
    let mut header = header(EntryType::Directory, 0o777, metadata);
    archive.append_data(&mut header, name, io::empty())
}

fn add_link<W: Write>(
    archive: &mut tar::Builder<W>,
    name: &Path,
    target: &Path,
    metadata: &Metadata,
) -> io::Result<()> {
    add_early_time(archive, Some(metadata))?;
    let mut header = header(EntryType::Symlink, 0o777, Some(metadata));
    // Literally, because the other way drops parts of the target that have no meaning.
    match header.set_link_name_literal(target.as_os_str().as_bytes()) {
        Ok(()) => archive.append_data(&mut header, name, io::empty()),
        // Longer than the field.
        Err(_) => archive.append_link(&mut header, name, target),
    }
}

fn add_file<W: Write>(
    archive: &mut tar::Builder<W>,
    on_disk: &Path,
    name: &Path,
) -> io::Result<()> {
    let file = File::open(on_disk)?;
    let metadata = file.metadata()?;
    let is_executable = metadata.permissions().mode() & 0o111 != 0;
    let mode = if is_executable { 0o777 } else { 0o666 };
    add_early_time(archive, Some(&metadata))?;
    let mut header = header(EntryType::Regular, mode, Some(&metadata));
    header.set_size(metadata.len());
    // A file that grows meanwhile must not exceed the size in its header.
    archive.append_data(&mut header, name, io::Read::take(file, metadata.len()))
}

fn add_bytes<W: Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    content: &[u8],
) -> io::Result<()> {
    let mut header = header(EntryType::Regular, 0o666, None);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, name, content)
}

/// Adds the modification time as a record for the next entry, if it is before 1970: the field of the
/// header cannot express it.
fn add_early_time<W: Write>(
    archive: &mut tar::Builder<W>,
    metadata: Option<&Metadata>,
) -> io::Result<()> {
    match metadata.map(MetadataExt::mtime) {
        Some(seconds) if seconds < 0 => {
            let text = seconds.to_string();
            archive.append_pax_extensions([("mtime", text.as_bytes())])
        }
        _ => Ok(()),
    }
}

/// A header for a file that root owns and everybody can write: the image decides which user runs the
/// commands.
fn header(kind: EntryType, mode: u32, metadata: Option<&Metadata>) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    let modified = metadata.map_or(0, MetadataExt::mtime);
    header.set_mtime(modified.try_into().unwrap_or(0));
    header
}
