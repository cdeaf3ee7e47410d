//! Repacks the engine's archives of a container's files into the zip archive of the artifacts.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;

use slipway_packages::RESTORE_LIMITS;

use crate::error::ScriptError;
use crate::pattern::Patterns;
use crate::pipe::Reader;
use crate::zip_writer::{Kind, Metadata, ZipWriter};

/// The result of collecting artifacts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// The number of files, links and directories in the archive.
    pub entries: u64,
    /// Sentences about what is missing from it.
    pub warnings: Vec<String>,
    /// Sentences about what was requested and cannot be kept. A job that succeeded fails because of
    /// them.
    pub problems: Vec<String>,
}

/// A file or directory to fetch from the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Root {
    /// The path in the container.
    pub(crate) path: Vec<u8>,
    /// The path in the work directory that the patterns are compared with; empty for that directory.
    pub(crate) matched: Vec<u8>,
    /// The path in the archive.
    pub(crate) stored: Vec<u8>,
    /// The numbers of names of `matched` that lead to a link that was followed.
    pub(crate) links: Vec<usize>,
}

impl Root {
    /// The file with this name in the engine's archive of this root, whose names start with the last
    /// name of the root.
    fn entry(&self, name: &[u8]) -> Self {
        let end = name.iter().rposition(|byte| *byte != b'/');
        let name = name.get(..end.map_or(0, |end| end + 1)).unwrap_or_default();
        let below = name.iter().position(|byte| *byte == b'/');
        let below = below.map_or(&[][..], |at| name.get(at + 1..).unwrap_or_default());
        Self {
            path: join(&self.path, below),
            matched: join(&self.matched, below),
            stored: join(&self.stored, below),
            links: self.links.clone(),
        }
    }
}

/// The path of `below` in the directory `dir`. Either may be empty.
fn join(dir: &[u8], below: &[u8]) -> Vec<u8> {
    match (dir, below) {
        ([], below) => below.to_vec(),
        (dir, []) => dir.to_vec(),
        (dir, below) => [dir, b"/", below].concat(),
    }
}

/// A link that patterns go below. Whether it leads to a directory is not known yet.
pub(crate) struct PendingLink {
    pub(crate) at: Root,
    /// Whether a pattern matches the link itself.
    pub(crate) is_kept: bool,
    target: Vec<u8>,
    metadata: Metadata,
}

/// What the archive has under a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stored {
    /// A file, with its position.
    File(usize),
    Directory,
    Link,
}

/// The archive of the artifacts.
pub(crate) struct Archive {
    zip: ZipWriter,
    patterns: Patterns,
    collected: Collected,
    /// Hard links to files that are not in the archive: the engine sends their content only if they
    /// are requested themselves.
    pub(crate) hard_links: Vec<Root>,
    pub(crate) links: Vec<PendingLink>,
    stored: HashMap<Vec<u8>, Stored>,
    /// The directories of entries that have no entry themselves.
    implied: HashSet<Vec<u8>>,
    /// The size of all contents, in bytes.
    size: u64,
}

impl Archive {
    pub(crate) fn new(file: File, patterns: Patterns) -> Self {
        Self {
            zip: ZipWriter::new(file),
            patterns,
            collected: Collected::default(),
            hard_links: Vec::new(),
            links: Vec::new(),
            stored: HashMap::new(),
            implied: HashSet::new(),
            size: 0,
        }
    }

    /// Adds the files of the engine's archive of `root` that match the patterns.
    pub(crate) fn add_all(&mut self, root: &Root, reader: Reader) -> Result<(), ScriptError> {
        let mut archive = tar::Archive::new(reader);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let at = root.entry(&entry.path_bytes());
            if at.stored.is_empty() {
                // The work directory itself always exists.
                self.patterns.matches(&at.matched, &at.links);
                continue;
            }
            let metadata = metadata(&mut entry)?;
            let kind = entry.header().entry_type();
            if kind.is_symlink() {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                self.add_link(at, target, metadata)?;
            } else if self.patterns.matches(&at.matched, &at.links) {
                self.add(root, at, metadata, &mut entry)?;
            }
        }
        Ok(())
    }

    fn add_link(
        &mut self,
        at: Root,
        target: Vec<u8>,
        metadata: Metadata,
    ) -> Result<(), ScriptError> {
        let found = self.patterns.link(&at.matched, &at.links);
        if found.goes_below {
            self.links.push(PendingLink {
                at,
                is_kept: found.is_kept,
                target,
                metadata,
            });
            return Ok(());
        }
        if self.patterns.matches(&at.matched, &at.links) {
            self.store(&at.stored, metadata, target.len() as u64, target.as_slice())?;
        }
        Ok(())
    }

    /// Stores a link as a link.
    pub(crate) fn keep_link(&mut self, link: &PendingLink) -> Result<(), ScriptError> {
        let (at, target) = (&link.at, link.target.as_slice());
        if self.patterns.matches(&at.matched, &at.links) {
            self.store(&at.stored, link.metadata, target.len() as u64, target)?;
        }
        Ok(())
    }

    /// Notes which patterns match a link that is not stored as a link.
    pub(crate) fn note_match(&mut self, link: &PendingLink) {
        self.patterns.matches(&link.at.matched, &link.at.links);
    }

    fn add(
        &mut self,
        root: &Root,
        at: Root,
        metadata: Metadata,
        entry: &mut tar::Entry<'_, Reader>,
    ) -> Result<(), ScriptError> {
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            self.store(&at.stored, metadata, 0, io::empty())
        } else if kind.is_hard_link() {
            let target = entry.link_name_bytes().unwrap_or_default();
            let original = self.stored.get(&root.entry(&target).stored).copied();
            match original {
                Some(Stored::File(position)) => self.store_copy(&at.stored, metadata, position),
                _ => {
                    self.hard_links.push(at);
                    Ok(())
                }
            }
        } else if kind.is_file() || kind.is_gnu_sparse() {
            let size = entry.size();
            self.store(&at.stored, metadata, size, entry)
        } else {
            let is_named = self.patterns.is_named(&at.matched);
            let shown = shown(&at.matched);
            if is_named {
                self.problem(format!(
                    "{shown} is a pipe or a device and cannot be kept; keep a file instead"
                ));
            } else {
                self.warn(format!("{shown} is a pipe or a device and is skipped"));
            }
            Ok(())
        }
    }

    fn store(
        &mut self,
        path: &[u8],
        metadata: Metadata,
        size: u64,
        content: impl io::Read,
    ) -> Result<(), ScriptError> {
        if self.accept(path, metadata.kind, size)? {
            let position = self.zip.add(path, metadata, size, content)?;
            self.record(path, metadata.kind, position);
        }
        Ok(())
    }

    fn store_copy(
        &mut self,
        path: &[u8],
        metadata: Metadata,
        position: usize,
    ) -> Result<(), ScriptError> {
        if self.accept(path, Kind::File, 0)? {
            let position = self.zip.add_copy(path, metadata, position)?;
            self.record(path, Kind::File, position);
        }
        Ok(())
    }

    fn record(&mut self, path: &[u8], kind: Kind, position: usize) {
        let stored = match kind {
            Kind::File => Stored::File(position),
            Kind::Directory => Stored::Directory,
            Kind::Link => Stored::Link,
        };
        self.stored.insert(path.to_vec(), stored);
        self.collected.entries += 1;
    }

    /// Whether an entry can be added. What the jobs that need the archive could not unpack is a
    /// problem of this job.
    fn accept(&mut self, path: &[u8], kind: Kind, size: u64) -> Result<bool, ScriptError> {
        let limits = &RESTORE_LIMITS;
        if let Some(existing) = self.stored.get(path) {
            // Two patterns can lead to one file, also through links.
            if (*existing == Stored::Link) != (kind == Kind::Link) {
                self.contradiction(path);
            }
            return Ok(false);
        }
        let depth = path.iter().filter(|byte| **byte == b'/').count() + 1;
        // A directory has a slash at its end.
        if path.len() >= limits.path || depth > limits.depth {
            self.problem(format!(
                "{} has a path that is too long, and cannot be kept",
                shown(path)
            ));
            return Ok(false);
        }
        let mut above = path;
        while let Some(slash) = above.iter().rposition(|byte| *byte == b'/') {
            above = above.get(..slash).unwrap_or_default();
            if self.stored.get(above) == Some(&Stored::Link) {
                self.contradiction(above);
                return Ok(false);
            }
            if self.implied.contains(above) {
                break;
            }
            self.implied.insert(above.to_vec());
        }
        if kind == Kind::Link && self.implied.contains(path) {
            self.contradiction(path);
            return Ok(false);
        }
        self.size = self.size.saturating_add(size);
        let entries = self.stored.len() as u64 + self.implied.len() as u64;
        if entries >= limits.entries {
            return Err(ScriptError::TooManyArtifacts {
                limit: limits.entries,
            });
        }
        if self.size > limits.expanded {
            return Err(ScriptError::ArtifactsTooLarge {
                limit_gb: limits.expanded >> 30,
            });
        }
        Ok(true)
    }

    fn contradiction(&mut self, path: &[u8]) {
        self.problem(format!(
            "{} would have to be kept as a link and as a directory; change the paths",
            shown(path)
        ));
    }

    pub(crate) fn warn(&mut self, warning: String) {
        push(&mut self.collected.warnings, warning);
    }

    pub(crate) fn problem(&mut self, problem: String) {
        push(&mut self.collected.problems, problem);
    }

    pub(crate) fn finish(mut self) -> io::Result<Collected> {
        for (pattern, is_named) in self.patterns.unmatched() {
            if is_named {
                let problem = format!("{pattern} does not exist, or is a socket");
                push(&mut self.collected.problems, problem);
            } else {
                let warning = format!("{pattern} matches nothing");
                push(&mut self.collected.warnings, warning);
            }
        }
        self.zip.finish()?;
        Ok(self.collected)
    }
}

fn push(sentences: &mut Vec<String>, sentence: String) {
    const MAX_SENTENCES: usize = 100;
    if sentences.len() < MAX_SENTENCES && !sentences.contains(&sentence) {
        sentences.push(sentence);
    }
}

/// A path for messages, without control characters.
pub(crate) fn shown(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

fn metadata(entry: &mut tar::Entry<'_, Reader>) -> io::Result<Metadata> {
    let kind = entry.header().entry_type();
    let kind = if kind.is_dir() {
        Kind::Directory
    } else if kind.is_symlink() {
        Kind::Link
    } else {
        Kind::File
    };
    let mut modified = i64::try_from(entry.header().mtime()?).unwrap_or(i64::MAX);
    // Times before 1970 and after 2242 are in a record, which takes precedence.
    let records = entry.pax_extensions()?.into_iter().flatten();
    for record in records.flatten() {
        if record.key_bytes() == b"mtime" {
            let text = record.value().unwrap_or_default();
            let seconds = text.split('.').next().unwrap_or_default();
            modified = seconds.parse().unwrap_or(modified);
        }
    }
    Ok(Metadata {
        kind,
        mode: entry.header().mode()? & 0o777,
        modified,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_an_entry_follow_from_its_root() {
        let root = |path: &str, matched: &str, stored: &str| Root {
            path: path.into(),
            matched: matched.into(),
            stored: stored.into(),
            links: Vec::new(),
        };
        for (of, name, expected) in [
            (root("/w", "", ""), "w/", root("/w", "", "")),
            (
                root("/w", "", ""),
                "w/out/a",
                root("/w/out/a", "out/a", "out/a"),
            ),
            (
                root("/w/out", "out", "out"),
                "out/",
                root("/w/out", "out", "out"),
            ),
            (
                root("/w/real", "lnk", "real"),
                "real/x/y",
                root("/w/real/x/y", "lnk/x/y", "real/x/y"),
            ),
            (
                root("/w/a/f", "a/f", "a/f"),
                "f",
                root("/w/a/f", "a/f", "a/f"),
            ),
        ] {
            assert_eq!(of.entry(name.as_bytes()), expected, "{name}");
        }
        let odd = root("/w", "", "").entry(b"w/\xff");
        assert_eq!(odd.stored, b"\xff");
    }
}
