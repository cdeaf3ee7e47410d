//! Walks through a context, and leaves out what is ignored.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::entry::{Entry, Packing, with_path};
use crate::ignore::Matched;

/// Called with each entry of a context. An error ends the walk.
pub type Visitor<'a> = dyn FnMut(Entry<'_>) -> io::Result<()> + 'a;

impl Context {
    /// Visits each entry except injected ones in the order of names, and a directory before its
    /// entries. If `is_wanted` is false for an entry, nothing below it is visited either.
    ///
    /// # Errors
    /// If a file or directory cannot be read; the message names it. Errors of `visit`.
    pub fn walk(
        &self,
        packing: Packing,
        is_wanted: &dyn Fn(&Path) -> bool,
        visit: &mut Visitor<'_>,
    ) -> io::Result<()> {
        let mut walk = Walk {
            context: self,
            packing,
            is_wanted,
            visit,
            pending_dirs: Vec::new(),
            files: HashMap::new(),
        };
        walk.directory(Path::new(""), &Above::default())
    }
}

/// The state of one walk through a context.
struct Walk<'a, 'b> {
    context: &'a Context,
    packing: Packing,
    is_wanted: &'a dyn Fn(&Path) -> bool,
    visit: &'a mut Visitor<'b>,
    /// The ignored directories above the current one. They are visited only if something below them
    /// is not ignored.
    pending_dirs: Vec<(PathBuf, Metadata)>,
    /// The visited files with several names, by device and inode.
    files: HashMap<(u64, u64), PathBuf>,
}

/// What is known of a directory.
#[derive(Default)]
struct Above {
    matched: Matched,
    is_ignored: bool,
    /// Nothing below it is sent but what the packing keeps.
    is_closed: bool,
}

impl Walk<'_, '_> {
    /// Visits the entries of `dir`, which is relative to the root.
    fn directory(&mut self, dir: &Path, above: &Above) -> io::Result<()> {
        for name in names_in(&self.context.root.join(dir), above.is_ignored)? {
            let name = dir.join(name);
            if !(self.is_wanted)(&name) {
                continue;
            }
            let on_disk = self.context.root.join(&name);
            let metadata = match on_disk.symlink_metadata() {
                Ok(metadata) => metadata,
                // It was deleted meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(with_path(&on_disk, &error)),
            };
            let below = self.judge(&name, &metadata, above)?;
            if !below.is_ignored {
                for (above, metadata) in std::mem::take(&mut self.pending_dirs) {
                    self.entry(&above, &metadata)?;
                }
                self.entry(&name, &metadata)?;
            }
            if !metadata.is_dir() {
                continue;
            }
            if !below.is_ignored {
                self.directory(&name, &below)?;
            } else if !below.is_closed || self.context.contains_kept(self.packing, &name) {
                self.pending_dirs.push((name.clone(), metadata));
                self.directory(&name, &below)?;
                // Still pending means that nothing below it was visited.
                self.pending_dirs.pop_if(|(pending, _)| *pending == name);
            }
        }
        Ok(())
    }

    /// Decides whether an entry is ignored.
    fn judge(&self, name: &Path, metadata: &Metadata, above: &Above) -> io::Result<Above> {
        let is_kept = self.context.is_kept(self.packing, name);
        if above.is_closed {
            return Ok(Above {
                matched: Matched::default(),
                is_ignored: is_kept != Some(true),
                is_closed: true,
            });
        }
        let path = name.as_os_str().as_bytes();
        let judged = self.context.ignore.judge(path, &above.matched);
        let (is_ignored, matched) = judged.map_err(io::Error::other)?;
        Ok(Above {
            matched,
            is_ignored: is_kept.map_or(is_ignored, |is_kept| !is_kept),
            is_closed: metadata.is_dir() && is_ignored && !self.context.ignore.searches(path),
        })
    }

    fn entry(&mut self, name: &Path, metadata: &Metadata) -> io::Result<()> {
        let on_disk = self.context.root.join(name);
        let file = (metadata.dev(), metadata.ino());
        let has_names = metadata.is_file() && metadata.nlink() > 1;
        let earlier = self.files.get(&file).filter(|_| has_names);
        let entry = Entry::new(
            &on_disk,
            name,
            metadata,
            earlier.map(PathBuf::as_path),
            self.packing,
        );
        if let Some(entry) = entry {
            (self.visit)(entry)?;
        }
        if has_names && !self.files.contains_key(&file) {
            self.files.insert(file, name.to_owned());
        }
        Ok(())
    }
}

/// The sorted names in a directory. The order of a file system differs from host to host.
///
/// A directory that was deleted meanwhile, or that is ignored and may not be read, has none.
fn names_in(dir: &Path, is_ignored: bool) -> io::Result<Vec<OsString>> {
    let read = || -> io::Result<Vec<OsString>> {
        let entries = dir.read_dir()?;
        let mut names: Vec<_> = entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<_>>()?;
        names.sort();
        Ok(names)
    };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) if is_ignored && error.kind() == io::ErrorKind::PermissionDenied => {
            Ok(Vec::new())
        }
        names => names.map_err(|error| with_path(dir, &error)),
    }
}
