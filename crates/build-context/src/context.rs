//! Finds the context and the Dockerfile, and lists what is sent of the context.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::entry::{EntryKind, KeepIgnored, Packing, with_path};
use crate::error::ContextError;
use crate::ignore::{Ignore, IgnoreError};
use crate::linked_file::{LinkedFile, with_lower_case};

/// How much of a Dockerfile is read, and the maximum size of a `.dockerignore`, in bytes.
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
    pub(crate) root: PathBuf,
    pub(crate) ignore: Ignore,
    dockerfile: String,
    text: String,
    found: LinkedFile,
    /// The files that an engine needs to read the Dockerfile from the context: itself, and the links
    /// to it. Relative to the root.
    build_files: Vec<PathBuf>,
    /// The files that a receiver needs to read the patterns from the context, in the same way.
    pattern_files: Vec<PathBuf>,
    /// Whether the Dockerfile is outside of the context, or has a name that is not UTF-8. It is packed
    /// as a file of its own then.
    is_injected: bool,
    /// Patterns that must be packed as a file of their own, and the name of that file.
    injected_patterns: Option<(PathBuf, String)>,
    patterns: Option<LinkedFile>,
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
}

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
        let found = LinkedFile::find(&with_lower_case(&checkout.join(dockerfile)));
        let found = found.ok_or_else(|| dockerfile_missing(dockerfile))?;
        if !found.is_inside(&checkout) {
            return Err(ContextError::Outside {
                path: dockerfile.to_owned(),
            });
        }
        Self::new(root, found, Some(&checkout))
    }

    /// Uses a directory of the user as the context. The Dockerfile may be anywhere.
    ///
    /// # Errors
    /// See [`ContextError`].
    pub fn of_directory(root: &Path, dockerfile: &Path) -> Result<Self, ContextError> {
        let found = root.canonicalize().ok().filter(|root| root.is_dir());
        let root = found.ok_or_else(|| context_missing(&root.to_string_lossy()))?;
        let found = LinkedFile::find(&with_lower_case(dockerfile));
        let found = found.ok_or_else(|| dockerfile_missing(&dockerfile.to_string_lossy()))?;
        Self::new(root, found, None)
    }

    /// `bounds` is the directory that no pattern file may be outside of.
    fn new(root: PathBuf, found: LinkedFile, bounds: Option<&Path>) -> Result<Self, ContextError> {
        let mut text = read(found.content(), MAX_TEXT)?;
        text.truncate(usize::try_from(MAX_TEXT).unwrap_or(usize::MAX));
        let build_files = found.names_in(&root);
        let name = build_files.first().and_then(|name| name.to_str());
        let (name, build_files, is_injected) = match name.map(str::to_owned) {
            Some(name) => (name, build_files, false),
            // The name depends on the content only, so that the same context is packed the same
            // way.
            None => {
                let digest = hex::encode(Sha256::digest(&text));
                (format!(".dockerfile-{digest}"), Vec::new(), true)
            }
        };
        // As with Docker, the patterns of the Dockerfile replace those of the context.
        let own = patterns_at(&found.with_suffix(PATTERNS), bounds);
        let (patterns, patterns_name) = match own {
            Some(own) => (Some(own), format!("{name}{PATTERNS}")),
            None => (
                patterns_at(&root.join(PATTERNS), bounds),
                PATTERNS.to_owned(),
            ),
        };
        let ignore = patterns.as_ref().map(read_patterns);
        let pattern_files = patterns.as_ref().map(|file| file.names_in(&root));
        let pattern_files = pattern_files
            .filter(|names| {
                names
                    .first()
                    .is_some_and(|name| name == Path::new(&patterns_name))
            })
            .unwrap_or_default();
        let injected_patterns = match &patterns {
            Some(file) if pattern_files.is_empty() => {
                Some((file.content().to_owned(), patterns_name))
            }
            _ => None,
        };
        let context = Self {
            root,
            ignore: ignore.transpose()?.unwrap_or_default(),
            dockerfile: name,
            text: String::from_utf8_lossy(&text).into_owned(),
            found,
            build_files,
            pattern_files,
            is_injected,
            injected_patterns,
            patterns,
        };
        context.check_patterns()?;
        Ok(context)
    }

    /// Fails if a pattern is used whose error shows only then.
    fn check_patterns(&self) -> Result<(), ContextError> {
        if !self.ignore.has_invalid() {
            return Ok(());
        }
        let packing = Packing {
            keep: KeepIgnored::Nothing,
            ..Packing::default()
        };
        let walked = self.walk(packing, &|_| true, &mut |_| Ok(()));
        walked.map_err(|error| match error.downcast::<IgnoreError>() {
            Ok(error) => {
                let file = self.patterns.as_ref().map(LinkedFile::file_name);
                patterns_invalid(file.unwrap_or_default(), error)
            }
            Err(error) => ContextError::Io(error),
        })
    }

    /// The name of the Dockerfile in the archive.
    pub fn dockerfile(&self) -> &str {
        &self.dockerfile
    }

    /// The path on disk of the file with the content of the Dockerfile.
    pub fn dockerfile_path(&self) -> &Path {
        self.found.content()
    }

    /// The file name of the Dockerfile, which is that of a link if the Dockerfile is one.
    pub fn dockerfile_file_name(&self) -> &OsStr {
        self.found.file_name()
    }

    /// The directory that is the context.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The files that are packed under names which are not their paths in the context.
    pub(crate) fn injected(&self, packing: Packing) -> Vec<(&Path, &str)> {
        let mut injected = Vec::new();
        if self.is_injected && packing.keep != KeepIgnored::Nothing {
            injected.push((self.found.content(), self.dockerfile.as_str()));
        }
        if packing.keep == KeepIgnored::AllPatterns {
            let patterns = self.injected_patterns.as_ref();
            injected.extend(patterns.map(|(path, name)| (path.as_path(), name.as_str())));
        }
        injected
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
                EntryKind::Directory | EntryKind::HardLink { .. } | EntryKind::Link => {}
                EntryKind::File { size: bytes } => {
                    // An unreadable file is reported now, not in the middle of the upload.
                    File::open(entry.on_disk).map_err(|error| with_path(entry.on_disk, &error))?;
                    size.bytes += bytes;
                    size.archive_bytes += bytes.next_multiple_of(BLOCK);
                }
            }
            Ok(())
        })?;
        Ok(size)
    }

    /// Whether an entry is sent whatever the patterns say; `None` if they decide.
    pub(crate) fn is_kept(&self, packing: Packing, name: &Path) -> Option<bool> {
        let is_one_of = |files: &[PathBuf]| files.iter().any(|file| file == name);
        match packing.keep {
            KeepIgnored::Nothing => None,
            // A file that happens to have the name of an injected one must not replace it.
            _ if self.is_injected && name == Path::new(&self.dockerfile) => Some(false),
            KeepIgnored::AllPatterns if self.is_injected_pattern_file(name) => Some(false),
            KeepIgnored::AllPatterns if is_one_of(&self.pattern_files) => Some(true),
            _ if is_one_of(&self.build_files) || name == Path::new(PATTERNS) => Some(true),
            KeepIgnored::BuildFiles | KeepIgnored::AllPatterns => None,
        }
    }

    fn is_injected_pattern_file(&self, name: &Path) -> bool {
        let injected = self.injected_patterns.as_ref();
        injected.is_some_and(|(_, injected)| name == Path::new(injected))
    }

    /// Whether an ignored directory contains a file that is sent anyway.
    pub(crate) fn contains_kept(&self, packing: Packing, dir: &Path) -> bool {
        let any_in = |files: &[PathBuf]| files.iter().any(|file| file.starts_with(dir));
        match packing.keep {
            KeepIgnored::Nothing => false,
            KeepIgnored::BuildFiles => any_in(&self.build_files),
            KeepIgnored::AllPatterns => any_in(&self.build_files) || any_in(&self.pattern_files),
        }
    }
}

/// The pattern file at `path`, if it exists and is inside the bounds.
fn patterns_at(path: &Path, bounds: Option<&Path>) -> Option<LinkedFile> {
    let found = LinkedFile::find(path)?;
    let is_inside = bounds.is_none_or(|bounds| found.is_inside(bounds));
    is_inside.then_some(found)
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

fn patterns_invalid(file: &OsStr, detail: impl ToString) -> ContextError {
    ContextError::PatternsInvalid {
        file: file.to_string_lossy().into_owned(),
        detail: detail.to_string(),
    }
}

/// Reads patterns. A file that is too large is an error: without its end, files that must stay out
/// would be sent.
fn read_patterns(file: &LinkedFile) -> Result<Ignore, ContextError> {
    let content = read(file.content(), MAX_TEXT)?;
    if content.len() as u64 > MAX_TEXT {
        let why = "the file is larger than 1 MiB";
        return Err(patterns_invalid(file.file_name(), why));
    }
    let parsed = Ignore::parse(&content);
    parsed.map_err(|error| patterns_invalid(file.file_name(), error))
}

/// Reads up to one byte more than `limit` of a file.
fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let read = || -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        File::open(path)?
            .take(limit + 1)
            .read_to_end(&mut content)?;
        Ok(content)
    };
    read().map_err(|error| with_path(path, &error))
}

#[cfg(test)]
mod tests;
