//! Finds the context and the Dockerfile, and lists what is sent of the context.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::entry::{Entry, EntryKind, KeepIgnored, Packing, with_path};
use crate::error::ContextError;
use crate::ignore::Ignore;

/// How much of a `.dockerignore` or a Dockerfile is read, in bytes.
const MAX_TEXT: u64 = 1024 * 1024;
/// The block size of a tar archive, in bytes: a header is one block, and content is padded to
/// blocks.
const BLOCK: u64 = 512;
/// The size of the end marker of an archive, in bytes.
const ARCHIVE_END: u64 = 2 * BLOCK;
/// The name of a context's patterns, and the suffix that makes a Dockerfile's name that of its own
/// patterns.
const PATTERNS: &str = ".dockerignore";

/// A context with its Dockerfile and its patterns.
#[derive(Clone, Debug)]
pub struct Context {
    root: PathBuf,
    ignore: Ignore,
    dockerfile: String,
    text: String,
    dockerfile_path: PathBuf,
    /// The path of a Dockerfile outside of the context, or with a name that is not UTF-8.
    pub(crate) injected: Option<PathBuf>,
    /// The path of the patterns that belong to this Dockerfile only.
    pub(crate) own_patterns: Option<PathBuf>,
}

/// How much there is to pack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContextSize {
    /// The number of files, links and directories.
    pub entries: u64,
    /// The size of all files, in bytes.
    pub bytes: u64,
    /// The size of the archive in bytes, without the extra headers of long names.
    pub archive_bytes: u64,
    /// The first symbolic link to a target outside of the context. A receiver that does not trust
    /// the archive refuses to unpack it.
    pub escaping_link: Option<PathBuf>,
}

/// Called with each entry of a context. An error ends the walk.
pub type Visitor<'a> = dyn FnMut(Entry<'_>) -> io::Result<()> + 'a;

impl Context {
    /// Finds the context and the Dockerfile in a checkout; both paths are relative to its root.
    ///
    /// Symbolic links are followed, but must not lead out of the checkout.
    ///
    /// # Errors
    /// See [`ContextError`].
    pub fn find(checkout: &Path, context: &str, dockerfile: &str) -> Result<Self, ContextError> {
        let checkout = checkout.canonicalize()?;
        let inside = |path: &str| match checkout.join(path).canonicalize() {
            Ok(found) if found.starts_with(&checkout) => Ok(Some(found)),
            Ok(_) => Err(ContextError::Outside {
                path: path.to_owned(),
            }),
            Err(_) => Ok(None),
        };
        let root = inside(context)?.filter(|root| root.is_dir());
        let root = root.ok_or_else(|| context_missing(context))?;
        let file = inside(dockerfile)?.filter(|file| file.is_file());
        let file = file.ok_or_else(|| dockerfile_missing(dockerfile))?;
        Self::new(root, file, Some(&checkout))
    }

    /// Uses a directory of the user as the context. The Dockerfile may be anywhere.
    ///
    /// # Errors
    /// See [`ContextError`].
    pub fn of_directory(root: &Path, dockerfile: &Path) -> Result<Self, ContextError> {
        let found = root.canonicalize().ok().filter(|root| root.is_dir());
        let root = found.ok_or_else(|| context_missing(&root.to_string_lossy()))?;
        let file = dockerfile.canonicalize().ok().filter(|file| file.is_file());
        let file = file.ok_or_else(|| dockerfile_missing(&dockerfile.to_string_lossy()))?;
        Self::new(root, file, None)
    }

    /// `bounds` is the directory that no pattern file may be outside of.
    fn new(
        root: PathBuf,
        dockerfile: PathBuf,
        bounds: Option<&Path>,
    ) -> Result<Self, ContextError> {
        let text = read_start(&dockerfile)?;
        let own_patterns = own_patterns_of(&dockerfile, bounds);
        let patterns = patterns_at(root.join(PATTERNS), bounds);
        // As with Docker, the patterns of the Dockerfile replace those of the context.
        let ignore = match own_patterns.as_ref().or(patterns.as_ref()) {
            Some(path) => Ignore::parse(&read_start(path)?),
            None => Ignore::default(),
        };
        let name = dockerfile.strip_prefix(&root).ok().and_then(Path::to_str);
        let (name, injected) = match name {
            Some(name) => (name.to_owned(), None),
            // The name depends on the content only, so that the same context is packed the same
            // way.
            None => {
                let digest = hex::encode(Sha256::digest(&text));
                (format!(".dockerfile-{digest}"), Some(dockerfile.clone()))
            }
        };
        Ok(Self {
            root,
            ignore,
            dockerfile: name,
            text,
            dockerfile_path: dockerfile,
            injected,
            own_patterns,
        })
    }

    /// The name of the Dockerfile in the archive.
    pub fn dockerfile(&self) -> &str {
        &self.dockerfile
    }

    /// The path of the Dockerfile on disk.
    pub fn dockerfile_path(&self) -> &Path {
        &self.dockerfile_path
    }

    /// The directory that is the context.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The name in the archive of the patterns that belong to the Dockerfile only.
    pub(crate) fn own_patterns_name(&self) -> String {
        format!("{}{PATTERNS}", self.dockerfile)
    }

    /// The text of the Dockerfile, up to 1 MiB.
    pub fn dockerfile_text(&self) -> &str {
        &self.text
    }

    /// Measures what will be packed, and checks that it can be read.
    ///
    /// # Errors
    /// If a file or directory cannot be read; the message names it.
    pub fn measure(&self, packing: Packing) -> io::Result<ContextSize> {
        let mut size = ContextSize {
            archive_bytes: ARCHIVE_END,
            ..ContextSize::default()
        };
        self.walk(packing, &|_| true, &mut |entry| {
            size.entries += 1;
            size.archive_bytes += BLOCK;
            match entry.kind {
                EntryKind::Directory => {}
                EntryKind::File { size: bytes, .. } => {
                    // An unreadable file is reported now, not in the middle of the upload.
                    File::open(entry.on_disk).map_err(|error| with_path(entry.on_disk, &error))?;
                    size.bytes += bytes;
                    size.archive_bytes += bytes.next_multiple_of(BLOCK);
                }
                EntryKind::Link if size.escaping_link.is_none() => {
                    let target = entry.target()?;
                    let is_outside = leads_out(entry.name, &target);
                    size.escaping_link = is_outside.then(|| entry.name.to_owned());
                }
                EntryKind::Link => {}
            }
            Ok(())
        })?;
        Ok(size)
    }

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
        };
        walk.directory(Path::new(""))
    }

    fn is_ignored(&self, packing: Packing, name: &Path) -> bool {
        let text = name.to_string_lossy();
        let is_dockerfile = text == self.dockerfile;
        let is_own_patterns = self.own_patterns.is_some() && text == self.own_patterns_name();
        match packing.keep {
            KeepIgnored::Nothing => {}
            // A file that happens to have the name of the injected one must not replace it.
            _ if is_dockerfile => return self.injected.is_some(),
            _ if text == PATTERNS => return false,
            KeepIgnored::AllPatterns if is_own_patterns => return false,
            KeepIgnored::BuildFiles | KeepIgnored::AllPatterns => {}
        }
        self.ignore.is_ignored(&text)
    }

    /// Whether an ignored directory may contain something that is sent.
    fn may_contain_exceptions(&self, packing: Packing, dir: &Path) -> bool {
        let contains_dockerfile = packing.keep != KeepIgnored::Nothing
            && self.injected.is_none()
            && Path::new(&self.dockerfile).starts_with(dir);
        contains_dockerfile || self.ignore.has_exceptions()
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
}

impl Walk<'_, '_> {
    /// Visits the entries of `dir`, which is relative to the root.
    fn directory(&mut self, dir: &Path) -> io::Result<()> {
        for name in names_in(&self.context.root.join(dir))? {
            let name = dir.join(name);
            if !(self.is_wanted)(&name) {
                continue;
            }
            let on_disk = self.context.root.join(&name);
            let metadata = on_disk.symlink_metadata();
            let metadata = metadata.map_err(|error| with_path(&on_disk, &error))?;
            let is_ignored = self.context.is_ignored(self.packing, &name);
            if !is_ignored {
                for (above, metadata) in std::mem::take(&mut self.pending_dirs) {
                    self.entry(&above, &metadata)?;
                }
                self.entry(&name, &metadata)?;
            }
            if !metadata.is_dir() {
                continue;
            }
            if !is_ignored {
                self.directory(&name)?;
            } else if self.context.may_contain_exceptions(self.packing, &name) {
                self.pending_dirs.push((name.clone(), metadata));
                self.directory(&name)?;
                // Still pending means that nothing below it was visited.
                self.pending_dirs.pop_if(|(pending, _)| *pending == name);
            }
        }
        Ok(())
    }

    fn entry(&mut self, name: &Path, metadata: &Metadata) -> io::Result<()> {
        let on_disk = self.context.root.join(name);
        match Entry::new(&on_disk, name, metadata, self.packing.latest_change) {
            Some(entry) => (self.visit)(entry),
            None => Ok(()),
        }
    }
}

/// Whether a symbolic link called `name` leads out of the context. The target need not exist, so
/// only its text counts.
fn leads_out(name: &Path, target: &Path) -> bool {
    let mut depth = name.components().count().saturating_sub(1);
    target.components().any(|part| {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return true,
            },
            Component::RootDir | Component::Prefix(_) => return true,
        }
        false
    })
}

/// The sorted names in a directory. The order of a file system differs from host to host.
fn names_in(dir: &Path) -> io::Result<Vec<OsString>> {
    let read = || -> io::Result<Vec<OsString>> {
        let entries = dir.read_dir()?;
        let mut names: Vec<_> = entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<_>>()?;
        names.sort();
        Ok(names)
    };
    read().map_err(|error| with_path(dir, &error))
}

fn own_patterns_of(dockerfile: &Path, bounds: Option<&Path>) -> Option<PathBuf> {
    let mut path = dockerfile.as_os_str().to_owned();
    path.push(PATTERNS);
    patterns_at(path.into(), bounds)
}

/// The pattern file at `path`, if it exists and is inside the bounds.
fn patterns_at(path: PathBuf, bounds: Option<&Path>) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let is_inside = bounds.is_none_or(|bounds| path.starts_with(bounds));
    (is_inside && path.is_file()).then_some(path)
}

fn context_missing(path: &str) -> ContextError {
    ContextError::Missing {
        path: path.to_owned(),
    }
}

fn dockerfile_missing(path: &str) -> ContextError {
    ContextError::DockerfileMissing {
        path: path.to_owned(),
    }
}

fn read_start(path: &Path) -> io::Result<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        File::open(path)?.take(MAX_TEXT).read_to_end(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|error| with_path(path, &error))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests;
