//! Collects the artifacts of a script: copies files from its container into a zip archive on this
//! host's disk.
//!
//! The engine's archives are repacked while they are received, so they are never in memory as a
//! whole.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use bollard::errors::Error;
use bollard::query_parameters::DownloadFromContainerOptions;
use bytes::Bytes;
use chrono::{Datelike as _, Timelike as _};
use futures_util::StreamExt as _;
use slipway_domain::spec::ArtifactRules;
use slipway_image_builder::Builder;
use tokio::sync::mpsc;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::container::{WORK_DIR, container_name};
use crate::error::ScriptError;
use crate::pattern::Patterns;
use crate::pipe::{Reader, channel};

/// From this size on, a file needs the zip64 format. It is a little below 4 GiB, because data that
/// cannot be compressed grows.
const ZIP64_THRESHOLD: u64 = 0xF000_0000;

/// The result of collecting artifacts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// The number of files, links and directories in the archive.
    pub entries: u64,
    /// Sentences about what is missing from it.
    pub warnings: Vec<String>,
}

/// Packs the files of the job's container that `rules` name into a new archive at `target`.
///
/// # Errors
/// Returns `Engine` if the engine does not send the files, or if the archive cannot be written.
pub async fn collect(
    builder: &Builder,
    job: &str,
    rules: &ArtifactRules,
    target: &Path,
) -> Result<Collected, ScriptError> {
    let patterns = Patterns::new(&rules.paths);
    let mut roots: VecDeque<String> = patterns.roots().into();
    let mut archive = Archive {
        zip: ZipWriter::new(BufWriter::new(File::create_new(target)?)),
        patterns,
        collected: Collected::default(),
        hard_links: Vec::new(),
    };
    let name = container_name(builder, job);
    // One root at a time: each is an archive of its own at the engine.
    while let Some(root) = roots.pop_front() {
        let (sender, pieces) = channel();
        let packed_root = root.clone();
        let packing = tokio::task::spawn_blocking(move || {
            let packed = archive.add_all(&packed_root, Reader::new(pieces));
            (archive, packed)
        });
        let fetched = fetch(builder, &name, &root, &sender).await;
        drop(sender);
        let (back, packed) = packing.await.map_err(io::Error::other)?;
        archive = back;
        fetched?;
        packed?;
        // The engine sends a hard link without content, unless it is requested by itself.
        roots.extend(archive.hard_links.drain(..));
    }
    let finishing = tokio::task::spawn_blocking(move || archive.finish());
    Ok(finishing.await.map_err(io::Error::other)??)
}

/// Passes on the engine's archive of one path. A missing path is not an error.
async fn fetch(
    builder: &Builder,
    container: &str,
    root: &str,
    to: &mpsc::Sender<io::Result<Bytes>>,
) -> Result<(), ScriptError> {
    // An empty root stands for the whole work directory.
    let path = match root {
        "" => WORK_DIR.to_owned(),
        root => format!("{WORK_DIR}/{root}"),
    };
    let options = DownloadFromContainerOptions { path };
    let engine = builder.engine();
    let mut pieces = std::pin::pin!(engine.download_from_container(container, Some(options)));
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => {
                if to.send(Ok(piece)).await.is_err() {
                    // The packing task has failed and returns the error.
                    return Ok(());
                }
            }
            Err(Error::DockerResponseServerError {
                status_code: 404, ..
            }) => return Ok(()),
            Err(error) => {
                let broken = io::Error::from(io::ErrorKind::UnexpectedEof);
                // Otherwise the packing task would take this for the end of the archive. It fails if
                // that task has already ended.
                let _ = to.send(Err(broken)).await;
                return Err(error.into());
            }
        }
    }
    Ok(())
}

struct Archive {
    zip: ZipWriter<BufWriter<File>>,
    patterns: Patterns,
    collected: Collected,
    /// Paths that are hard links to other files.
    hard_links: Vec<String>,
}

impl Archive {
    /// Adds the files of the engine's archive of `root` that match the patterns.
    fn add_all(&mut self, root: &str, reader: Reader) -> io::Result<()> {
        let mut archive = tar::Archive::new(reader);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let Some(path) = path_of(root, &entry.path_bytes()) else {
                let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                self.warn(format!("{name:?} is not valid UTF-8 and is skipped"));
                continue;
            };
            if path.is_empty() || !self.patterns.matches(&path) {
                continue;
            }
            self.add(&path, &mut entry)?;
        }
        Ok(())
    }

    fn add(&mut self, path: &str, entry: &mut tar::Entry<'_, Reader>) -> io::Result<()> {
        let kind = entry.header().entry_type();
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .large_file(entry.size() >= ZIP64_THRESHOLD)
            .last_modified_time(zip_time(entry.header().mtime()?))
            .unix_permissions(entry.header().mode()? & 0o777);
        if kind.is_dir() {
            self.zip.add_directory(path, options)?;
        } else if kind.is_symlink() {
            // A link is stored as a link; its target may be outside of the checkout.
            let target = entry.link_name()?.unwrap_or_default();
            self.zip
                .add_symlink(path, target.to_string_lossy(), options)?;
        } else if kind.is_hard_link() {
            self.hard_links.push(path.to_owned());
            return Ok(());
        } else if kind.is_file() {
            self.zip.start_file(path, options)?;
            io::copy(entry, &mut self.zip)?;
        } else {
            self.warn(format!(
                "{path} is neither a file nor a directory and is skipped"
            ));
            return Ok(());
        }
        self.collected.entries += 1;
        Ok(())
    }

    fn warn(&mut self, warning: String) {
        const MAX_WARNINGS: usize = 100;
        if self.collected.warnings.len() < MAX_WARNINGS {
            self.collected.warnings.push(warning);
        }
    }

    fn finish(mut self) -> io::Result<Collected> {
        let unmatched = self.patterns.unmatched();
        let warnings: Vec<String> = unmatched
            .map(|pattern| format!("{pattern} matches nothing"))
            .collect();
        for warning in warnings {
            self.warn(warning);
        }
        let file = self.zip.finish()?;
        file.into_inner().map_err(|error| error.into_error())?;
        Ok(self.collected)
    }
}

/// The path of an entry in the checkout. The engine's names start with the last name of `root`.
fn path_of(root: &str, name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let name = name.trim_end_matches('/');
    let below = name.split_once('/').map_or("", |(_, below)| below);
    Some(match (root, below) {
        ("", below) => below.to_owned(),
        (root, "") => root.to_owned(),
        (root, below) => format!("{root}/{below}"),
    })
}

/// Converts a Unix time. A time that zip cannot store becomes the earliest one that it can.
fn zip_time(seconds: u64) -> zip::DateTime {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let Some(time) = chrono::DateTime::from_timestamp(seconds, 0) else {
        return zip::DateTime::default();
    };
    let small = |number: u32| u8::try_from(number).unwrap_or(0);
    zip::DateTime::from_date_and_time(
        u16::try_from(time.year()).unwrap_or(0),
        small(time.month()),
        small(time.day()),
        small(time.hour()),
        small(time.minute()),
        small(time.second()),
    )
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_of_an_entry_is_its_path_in_the_checkout() {
        for (root, name, path) in [
            ("", "work/", ""),
            ("", "work/out/a", "out/a"),
            ("out", "out/", "out"),
            ("a/out", "out/x/y", "a/out/x/y"),
            ("a/file", "file", "a/file"),
        ] {
            assert_eq!(path_of(root, name.as_bytes()).as_deref(), Some(path));
        }
        assert_eq!(path_of("", b"work/\xff"), None);
    }

    #[test]
    fn times_that_zip_cannot_store_become_the_earliest_time() {
        assert_eq!(zip_time(0), zip::DateTime::default());
        assert_eq!(zip_time(u64::MAX), zip::DateTime::default());
        assert_eq!(zip_time(1_700_000_000).year(), 2023);
    }
}
