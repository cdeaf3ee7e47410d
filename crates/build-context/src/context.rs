//! Where context and Dockerfile are, and what of the context is sent.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::error::ContextError;
use crate::ignore::Ignore;
use crate::pack::Packing;

/// How much of a `.dockerignore` or a Dockerfile is read, in bytes.
const MAX_TEXT: u64 = 1024 * 1024;
/// What an archive is made of, in bytes: a header is one, and content is filled up to some.
const BLOCK: u64 = 512;
/// How an archive ends, in bytes.
const ARCHIVE_END: u64 = 2 * BLOCK;
/// The name of a context's patterns, and what follows a Dockerfile's name in that of its own.
const PATTERNS: &str = ".dockerignore";

/// A context that was looked at and can be packed.
#[derive(Debug)]
pub struct Context {
    pub(crate) root: PathBuf,
    ignore: Ignore,
    dockerfile: String,
    text: String,
    /// Where the Dockerfile is, when it is not a plain file of the context.
    pub(crate) injected: Option<PathBuf>,
    /// Where the patterns are that go with this Dockerfile alone.
    pub(crate) own_patterns: Option<PathBuf>,
}

/// How much there is to pack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// How many files, links and directories.
    pub entries: u64,
    /// How many bytes are in the files.
    pub bytes: u64,
    /// How large the archive becomes, but for what long names add.
    pub archive_bytes: u64,
    /// The first link that leads out of the context. Those who unpack an archive that they do not
    /// trust do not make it.
    pub link_out: Option<PathBuf>,
}

impl Context {
    /// Finds context and Dockerfile in a checkout, from whose root both paths are.
    ///
    /// Links are followed, and must not lead out of the checkout.
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
        let root = root.ok_or_else(|| missing(context))?;
        let found = inside(dockerfile)?.filter(|file| file.is_file());
        let found = found.ok_or_else(|| no_dockerfile(dockerfile))?;
        Self::new(root, found, Some(&checkout))
    }

    /// The context that is a directory of somebody's own, with a Dockerfile that may be anywhere.
    ///
    /// # Errors
    /// See [`ContextError`].
    pub fn of_directory(root: &Path, dockerfile: &Path) -> Result<Self, ContextError> {
        let found = root.canonicalize().ok().filter(|root| root.is_dir());
        let root = found.ok_or_else(|| missing(&root.to_string_lossy()))?;
        let found = dockerfile.canonicalize().ok();
        let found = found.filter(|file| file.is_file());
        let found = found.ok_or_else(|| no_dockerfile(&dockerfile.to_string_lossy()))?;
        Self::new(root, found, None)
    }

    fn new(
        root: PathBuf,
        dockerfile: PathBuf,
        bounds: Option<&Path>,
    ) -> Result<Self, ContextError> {
        let text = read_head(&dockerfile)?;
        let own_patterns = own_patterns_of(&dockerfile, bounds);
        let patterns = patterns_at(root.join(PATTERNS), bounds);
        let ignore = match own_patterns.as_ref().or(patterns.as_ref()) {
            Some(path) => Ignore::parse(&read_head(path)?),
            None => Ignore::default(),
        };
        let name = dockerfile.strip_prefix(&root).ok().and_then(Path::to_str);
        let (dockerfile, injected) = match name {
            Some(name) => (name.to_owned(), None),
            // The same Dockerfile has the same name, so that the same context is packed alike.
            None => {
                let digest = hex::encode(Sha256::digest(&text));
                (format!(".dockerfile-{digest}"), Some(dockerfile))
            }
        };
        Ok(Self {
            root,
            ignore,
            dockerfile,
            text,
            injected,
            own_patterns,
        })
    }

    /// The Dockerfile's name in the archive.
    pub fn dockerfile(&self) -> &str {
        &self.dockerfile
    }

    /// The name in the archive of the patterns that go with the Dockerfile alone.
    pub(crate) fn own_patterns_name(&self) -> String {
        format!("{}{PATTERNS}", self.dockerfile)
    }

    /// What is in the Dockerfile, or in the beginning of one that is too long to be one.
    pub fn dockerfile_text(&self) -> &str {
        &self.text
    }

    /// Looks at all that will be packed, and whether it can be read.
    ///
    /// # Errors
    /// When something cannot be read; the text says what.
    pub fn extent(&self, packing: Packing) -> io::Result<Extent> {
        let mut extent = Extent {
            archive_bytes: ARCHIVE_END,
            ..Extent::default()
        };
        self.walk(packing, &mut |entry| {
            extent.entries += 1;
            extent.archive_bytes += BLOCK;
            let named = |error| at(entry.on_disk, &error);
            if entry.metadata.is_file() {
                File::open(entry.on_disk).map_err(named)?;
                extent.bytes += entry.metadata.len();
                extent.archive_bytes += entry.metadata.len().next_multiple_of(BLOCK);
            } else if entry.metadata.is_symlink() && extent.link_out.is_none() {
                let target = entry.on_disk.read_link().map_err(named)?;
                extent.link_out = leads_out(entry.name, &target).then(|| entry.name.to_owned());
            }
            Ok(())
        })?;
        Ok(extent)
    }

    /// Tells of each entry of the archive but the injected ones, in the order of names.
    pub(crate) fn walk(&self, packing: Packing, tell: &mut Tell<'_>) -> io::Result<()> {
        self.walk_directory(packing, Path::new(""), tell)
    }

    /// Tells of what is in `dir`, which is relative to the root.
    fn walk_directory(&self, packing: Packing, dir: &Path, tell: &mut Tell<'_>) -> io::Result<()> {
        for name in names_in(&self.root.join(dir))? {
            let name = dir.join(name);
            let on_disk = self.root.join(&name);
            let metadata = on_disk.symlink_metadata();
            let metadata = metadata.map_err(|error| at(&on_disk, &error))?;
            let out = self.leaves_out(packing, &name);
            if !out {
                tell(Entry {
                    on_disk: &on_disk,
                    name: &name,
                    metadata: &metadata,
                })?;
            }
            if metadata.is_dir()
                && (!out || self.ignore.takes_back() || self.leads_to_dockerfile(&name))
            {
                self.walk_directory(packing, &name, tell)?;
            }
        }
        Ok(())
    }

    fn leaves_out(&self, packing: Packing, name: &Path) -> bool {
        let text = name.to_string_lossy();
        if text == self.dockerfile {
            // What is injected must not be overlaid by a file that happens to have its name.
            return self.injected.is_some();
        }
        let is_kept = text == PATTERNS
            || packing.with_own_patterns
                && self.own_patterns.is_some()
                && text == self.own_patterns_name();
        !is_kept && self.ignore.leaves_out(&text)
    }

    fn leads_to_dockerfile(&self, dir: &Path) -> bool {
        self.injected.is_none() && Path::new(&self.dockerfile).starts_with(dir)
    }
}

/// What is told of each entry.
type Tell<'a> = dyn FnMut(Entry<'_>) -> io::Result<()> + 'a;

/// A file, a directory or a link of the context.
pub(crate) struct Entry<'a> {
    pub(crate) on_disk: &'a Path,
    /// Its name in the archive.
    pub(crate) name: &'a Path,
    pub(crate) metadata: &'a Metadata,
}

/// The same error with the path that it is about.
pub(crate) fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Whether a link of this name to `target` leads out of the directory that names begin at.
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

/// The names in a directory, in order.
fn names_in(dir: &Path) -> io::Result<Vec<OsString>> {
    let read = || -> io::Result<Vec<OsString>> {
        let entries = dir.read_dir()?;
        let mut names: Vec<_> = entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<_>>()?;
        names.sort();
        Ok(names)
    };
    read().map_err(|error| at(dir, &error))
}

fn own_patterns_of(dockerfile: &Path, bounds: Option<&Path>) -> Option<PathBuf> {
    let mut path = dockerfile.as_os_str().to_owned();
    path.push(PATTERNS);
    patterns_at(path.into(), bounds)
}

/// The file of patterns at `path`, if there is one within the bounds.
fn patterns_at(path: PathBuf, bounds: Option<&Path>) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let is_inside = bounds.is_none_or(|bounds| path.starts_with(bounds));
    (is_inside && path.is_file()).then_some(path)
}

fn missing(path: &str) -> ContextError {
    ContextError::Missing {
        path: path.to_owned(),
    }
}

fn no_dockerfile(path: &str) -> ContextError {
    ContextError::DockerfileMissing {
        path: path.to_owned(),
    }
}

fn read_head(path: &Path) -> io::Result<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        File::open(path)?.take(MAX_TEXT).read_to_end(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|error| at(path, &error))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests;
