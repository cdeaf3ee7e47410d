//! Finds the Dockerfile and pattern files on disk, which may be links to other files.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

/// The usual name of a Dockerfile, and the one that is used if that is missing.
const NAME: &str = "Dockerfile";
const LOWER_CASE: &str = "dockerfile";
/// The maximum number of links to follow, as in the kernel.
const MAX_LINKS: usize = 40;

/// A file that exists, with the links that lead to it.
#[derive(Clone, Debug)]
pub(crate) struct LinkedFile {
    /// The path that was asked for. Its directory contains no links.
    given: PathBuf,
    /// The links on the way from there, and the directories above which the way led.
    passed: Vec<PathBuf>,
    /// The path of the file itself, without links.
    content: PathBuf,
    /// Whether the links mean the same after their common directory was moved.
    is_relative: bool,
}

impl LinkedFile {
    /// Follows the links at `path`; `None` if they lead to no file.
    pub(crate) fn find(path: &Path) -> Option<Self> {
        let given = without_links_above(path)?;
        let mut found = Self {
            passed: Vec::new(),
            content: given.parent()?.to_owned(),
            is_relative: true,
            given,
        };
        let mut ahead: Vec<OsString> = vec![found.given.file_name()?.to_owned()];
        let mut links = 0;
        while let Some(part) = ahead.pop() {
            if part == ".." {
                found.content.pop();
                found.passed.push(found.content.clone());
                continue;
            }
            let next = found.content.join(part);
            if !next.is_symlink() {
                found.content = next;
                continue;
            }
            links += 1;
            // A circle of links has no end.
            if links > MAX_LINKS {
                return None;
            }
            let target = next.read_link().ok()?;
            if target.is_absolute() {
                found.is_relative = false;
                found.content = PathBuf::from("/");
            }
            let parts = target.components().rev().filter_map(|part| match part {
                Component::Normal(part) => Some(part.to_owned()),
                Component::ParentDir => Some("..".into()),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
            });
            ahead.extend(parts);
            found.passed.push(next);
        }
        found.content.is_file().then_some(found)
    }

    /// Whether the content is in this directory, which is canonical.
    pub(crate) fn is_inside(&self, dir: &Path) -> bool {
        self.content.starts_with(dir)
    }

    /// The path of the file with the content.
    pub(crate) fn content(&self) -> &Path {
        &self.content
    }

    /// The file name that was asked for.
    pub(crate) fn file_name(&self) -> &OsStr {
        self.given.file_name().unwrap_or_default()
    }

    /// The path that was asked for, with another ending.
    pub(crate) fn with_suffix(&self, suffix: &str) -> PathBuf {
        let mut path = self.given.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    /// The name that was asked for, and the names of all that its links need, relative to `root`;
    /// none if the file would not be found in a copy of `root`.
    pub(crate) fn names_in(&self, root: &Path) -> Vec<PathBuf> {
        let paths = [&self.given].into_iter().chain(&self.passed);
        let names = paths.chain([&self.content]).map(|path| {
            let name = path.strip_prefix(root);
            name.map(Path::to_owned)
        });
        match names.collect() {
            Ok(names) if self.is_relative => names,
            _ => Vec::new(),
        }
    }
}

/// `path`, or the path of `dockerfile` beside it if it is the path of a missing `Dockerfile`.
pub fn with_lower_case(path: &Path) -> PathBuf {
    let lower = path.with_file_name(LOWER_CASE);
    let is_missing = path.file_name() == Some(OsStr::new(NAME)) && path.symlink_metadata().is_err();
    if is_missing && lower.exists() {
        lower
    } else {
        path.to_owned()
    }
}

/// The path with the directories that the links above it lead to. A link at `path` stays.
fn without_links_above(path: &Path) -> Option<PathBuf> {
    let Some(name) = path.file_name() else {
        return path.canonicalize().ok();
    };
    let dir = match path.parent() {
        Some(dir) if dir.as_os_str().is_empty() => Path::new("."),
        Some(dir) => dir,
        None => return None,
    };
    Some(dir.canonicalize().ok()?.join(name))
}
