//! The build context: which files of the checkout are sent, and how they are packed.
//!
//! The archive is packed by a blocking task into a short channel, so that it is never whole in
//! memory or on disk; when the reader goes away the task ends.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tar::{EntryType, Header};
use tokio::sync::mpsc;

use slipway_domain::ImageBuild;

use crate::error::BuildError;
use crate::frontend;
use crate::ignore::Ignore;
use crate::instructions::{self, Base};
use crate::pieces::pieces_of;

/// How much of a `.dockerignore` or a Dockerfile is read, in bytes.
const MAX_TEXT: u64 = 1024 * 1024;

/// A context that was looked at and can be packed.
#[derive(Debug)]
pub(crate) struct Context {
    root: PathBuf,
    ignore: Ignore,
    /// The Dockerfile's name in the archive.
    pub(crate) dockerfile: String,
    /// The image that the Dockerfile builds upon first, as far as it is known.
    pub(crate) base: Option<Base>,
    /// Where the Dockerfile is, when it is not a plain file of the context.
    injected: Option<PathBuf>,
}

impl Context {
    /// Finds context and Dockerfile in the checkout.
    ///
    /// Links are followed, and must not lead out of the checkout.
    pub(crate) fn find(checkout: &Path, spec: &ImageBuild) -> Result<Self, BuildError> {
        let checkout = checkout.canonicalize()?;
        let inside = |path: &str| match checkout.join(path).canonicalize() {
            Ok(found) if found.starts_with(&checkout) => Ok(Some(found)),
            Ok(_) => Err(BuildError::OutsideCheckout {
                path: path.to_owned(),
            }),
            Err(_) => Ok(None),
        };
        let root = inside(&spec.context)?.filter(|root| root.is_dir());
        let root = root.ok_or_else(|| BuildError::ContextMissing {
            path: spec.context.clone(),
        })?;
        let dockerfile = inside(&spec.dockerfile)?.filter(|file| file.is_file());
        let dockerfile = dockerfile.ok_or_else(|| BuildError::DockerfileMissing {
            path: spec.dockerfile.clone(),
        })?;
        let text = read_head(&dockerfile)?;
        frontend::check(&text, spec)?;
        let base = instructions::check(&text, spec)?;
        let ignore = read_ignore(&checkout, &root, &dockerfile)?;
        let name = dockerfile.strip_prefix(&root).ok().and_then(Path::to_str);
        let (dockerfile, injected) = match name {
            Some(name) => (name.to_owned(), None),
            None => (
                format!(".dockerfile-{:032x}", rand::random::<u128>()),
                Some(dockerfile),
            ),
        };
        Ok(Self {
            root,
            ignore,
            dockerfile,
            base,
            injected,
        })
    }

    /// Packs the context in the background; the pieces of the archive come out of the channel.
    pub(crate) fn pack(self) -> mpsc::Receiver<io::Result<Bytes>> {
        pieces_of(move |writer| self.write(writer))
    }

    fn write(&self, writer: impl Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(writer);
        if let Some(path) = &self.injected {
            add_file(&mut archive, path, Path::new(&self.dockerfile))?;
        }
        self.add_directory(&mut archive, Path::new(""))?;
        archive.into_inner()?.flush()
    }

    /// Adds what is in `dir`, which is relative to the root, in the order of names.
    fn add_directory<W: Write>(&self, archive: &mut tar::Builder<W>, dir: &Path) -> io::Result<()> {
        let mut names: Vec<_> = self
            .root
            .join(dir)
            .read_dir()?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<_>>()?;
        names.sort();
        for name in names {
            let path = dir.join(name);
            let on_disk = self.root.join(&path);
            let metadata = on_disk.symlink_metadata()?;
            let out = self.leaves_out(&path);
            if metadata.is_dir() {
                if !out {
                    add_entry(archive, &metadata, &path)?;
                }
                if !out || self.ignore.takes_back() || self.leads_to_dockerfile(&path) {
                    self.add_directory(archive, &path)?;
                }
            } else if out {
                continue;
            } else if metadata.is_symlink() {
                let target = on_disk.read_link()?;
                let mut header = header(EntryType::Symlink, 0o777, &metadata);
                archive.append_link(&mut header, &path, target)?;
            } else if metadata.is_file() {
                add_file(archive, &on_disk, &path)?;
            }
            // Sockets, pipes and devices have no place in an image.
        }
        Ok(())
    }

    fn leaves_out(&self, path: &Path) -> bool {
        let text = path.to_string_lossy();
        text != self.dockerfile && text != ".dockerignore" && self.ignore.leaves_out(&text)
    }

    fn leads_to_dockerfile(&self, dir: &Path) -> bool {
        self.injected.is_none() && Path::new(&self.dockerfile).starts_with(dir)
    }
}

/// The patterns that go with this Dockerfile, or else those of the context.
fn read_ignore(checkout: &Path, root: &Path, dockerfile: &Path) -> Result<Ignore, BuildError> {
    let mut own = dockerfile.as_os_str().to_owned();
    own.push(".dockerignore");
    for path in [PathBuf::from(own), root.join(".dockerignore")] {
        let Ok(path) = path.canonicalize() else {
            continue;
        };
        if !path.starts_with(checkout) || !path.is_file() {
            continue;
        }
        return Ok(Ignore::parse(&read_head(&path)?));
    }
    Ok(Ignore::default())
}

fn read_head(path: &Path) -> io::Result<String> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_TEXT).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn add_file<W: Write>(
    archive: &mut tar::Builder<W>,
    on_disk: &Path,
    name: &Path,
) -> io::Result<()> {
    let file = File::open(on_disk)?;
    let metadata = file.metadata()?;
    let mode = match metadata.permissions().mode() & 0o111 {
        0 => 0o644,
        _ => 0o755,
    };
    let mut header = header(EntryType::Regular, mode, &metadata);
    header.set_size(metadata.len());
    archive.append_data(&mut header, name, file.take(metadata.len()))
}

fn add_entry<W: Write>(
    archive: &mut tar::Builder<W>,
    metadata: &Metadata,
    name: &Path,
) -> io::Result<()> {
    let mut header = header(EntryType::Directory, 0o755, metadata);
    archive.append_data(&mut header, name, io::empty())
}

/// A header that belongs to root, as in images; the time of change is kept.
fn header(kind: EntryType, mode: u32, metadata: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    let changed = metadata.modified().unwrap_or(std::time::UNIX_EPOCH);
    let since = changed.duration_since(std::time::UNIX_EPOCH);
    header.set_mtime(since.map_or(0, |since| since.as_secs()));
    header
}

#[cfg(test)]
#[path = "context/tests.rs"]
mod tests;
