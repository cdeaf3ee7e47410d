//! Where context and Dockerfile are, and what of the context is sent.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::entry::{Entry, Keep, Kind, Packing, at};
use crate::error::ContextError;
use crate::ignore::Ignore;

/// How much of a `.dockerignore` or a Dockerfile is read, in bytes.
const MAX_TEXT: u64 = 1024 * 1024;
/// What an archive is made of, in bytes: a header is one, and content is filled up to some.
const BLOCK: u64 = 512;
/// How an archive ends, in bytes.
const ARCHIVE_END: u64 = 2 * BLOCK;
/// The name of a context's patterns, and what follows a Dockerfile's name in that of its own.
const PATTERNS: &str = ".dockerignore";

/// A context that was looked at and can be packed.
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) root: PathBuf,
    ignore: Ignore,
    dockerfile: String,
    text: String,
    /// Where the Dockerfile is.
    place: PathBuf,
    /// The same, when it is not a plain file of the context.
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
        let (name, injected) = match name {
            Some(name) => (name.to_owned(), None),
            // The same Dockerfile has the same name, so that the same context is packed alike.
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
            place: dockerfile,
            injected,
            own_patterns,
        })
    }

    /// The Dockerfile's name in the archive.
    pub fn dockerfile(&self) -> &str {
        &self.dockerfile
    }

    /// Where the Dockerfile is.
    pub fn dockerfile_path(&self) -> &Path {
        &self.place
    }

    /// The directory that is the context.
    pub fn root(&self) -> &Path {
        &self.root
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
        self.walk(packing, &|_| true, &mut |entry| {
            extent.entries += 1;
            extent.archive_bytes += BLOCK;
            match entry.kind {
                Kind::Directory => {}
                Kind::File { size, .. } => {
                    File::open(entry.on_disk).map_err(|error| at(entry.on_disk, &error))?;
                    extent.bytes += size;
                    extent.archive_bytes += size.next_multiple_of(BLOCK);
                }
                Kind::Link if extent.link_out.is_none() => {
                    let target = entry.target()?;
                    extent.link_out = leads_out(entry.name, &target).then(|| entry.name.to_owned());
                }
                Kind::Link => {}
            }
            Ok(())
        })?;
        Ok(extent)
    }

    /// Tells of each entry but the injected ones, in the order of names, a directory before what is
    /// in it. Of what is not wanted, and all below it, nothing is told.
    ///
    /// # Errors
    /// When something cannot be read; the text says what. Whatever `tell` says ends it.
    pub fn walk(
        &self,
        packing: Packing,
        wants: &dyn Fn(&Path) -> bool,
        tell: &mut Tell<'_>,
    ) -> io::Result<()> {
        let mut walk = Walk {
            context: self,
            packing,
            wants,
            tell,
            untold: Vec::new(),
        };
        walk.directory(Path::new(""))
    }

    fn leaves_out(&self, packing: Packing, name: &Path) -> bool {
        let text = name.to_string_lossy();
        let is_dockerfile = text == self.dockerfile;
        let is_own_patterns = self.own_patterns.is_some() && text == self.own_patterns_name();
        match packing.keep {
            Keep::Nothing => {}
            // What is injected must not be overlaid by a file that happens to have its name.
            _ if is_dockerfile => return self.injected.is_some(),
            _ if text == PATTERNS => return false,
            Keep::AllPatterns if is_own_patterns => return false,
            Keep::BuildFiles | Keep::AllPatterns => {}
        }
        self.ignore.leaves_out(&text)
    }

    /// Whether something below a directory that is left out may be sent all the same.
    fn may_take_back_below(&self, packing: Packing, dir: &Path) -> bool {
        let leads_to_dockerfile = packing.keep != Keep::Nothing
            && self.injected.is_none()
            && Path::new(&self.dockerfile).starts_with(dir);
        leads_to_dockerfile || self.ignore.takes_back()
    }
}

/// Who is told of each entry.
pub type Tell<'a> = dyn FnMut(Entry<'_>) -> io::Result<()> + 'a;

/// One walk through a context.
struct Walk<'a, 'b> {
    context: &'a Context,
    packing: Packing,
    wants: &'a dyn Fn(&Path) -> bool,
    tell: &'a mut Tell<'b>,
    /// The directories that lead here and were left out themselves.
    untold: Vec<(PathBuf, Metadata)>,
}

impl Walk<'_, '_> {
    /// Tells of what is in `dir`, which is relative to the root.
    fn directory(&mut self, dir: &Path) -> io::Result<()> {
        for name in names_in(&self.context.root.join(dir))? {
            let name = dir.join(name);
            if !(self.wants)(&name) {
                continue;
            }
            let on_disk = self.context.root.join(&name);
            let metadata = on_disk.symlink_metadata();
            let metadata = metadata.map_err(|error| at(&on_disk, &error))?;
            let out = self.context.leaves_out(self.packing, &name);
            if !out {
                for (above, metadata) in std::mem::take(&mut self.untold) {
                    self.entry(&above, &metadata)?;
                }
                self.entry(&name, &metadata)?;
            }
            if !metadata.is_dir() {
                continue;
            }
            if !out {
                self.directory(&name)?;
            } else if self.context.may_take_back_below(self.packing, &name) {
                self.untold.push((name.clone(), metadata));
                self.directory(&name)?;
                self.untold.pop_if(|(untold, _)| *untold == name);
            }
        }
        Ok(())
    }

    fn entry(&mut self, name: &Path, metadata: &Metadata) -> io::Result<()> {
        let on_disk = self.context.root.join(name);
        match Entry::of(&on_disk, name, metadata, self.packing.latest_change) {
            Some(entry) => (self.tell)(entry),
            None => Ok(()),
        }
    }
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
