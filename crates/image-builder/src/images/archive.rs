//! An image as an archive that every engine loads, as `docker save` makes one.
//!
//! The names that it has there are written into the archive on its way. In the engine the image never
//! has them: another build could take it for the image that it is built upon.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use slipway_domain::image::registry_of;

use crate::builder::Builder;
use crate::engine::failures::engine_error;
use crate::error::BuildError;
use crate::images::export::pipe;

/// The list of images and their names that engines read.
const MANIFEST: &str = "manifest.json";
/// The list that engines on containerd read in its place, where there is one.
const INDEX: &str = "index.json";
/// The list of names from before there was the first.
const REPOSITORIES: &str = "repositories";
/// Where the index has the whole name of an image, and its tag.
const NAME_ANNOTATION: &str = "io.containerd.image.name";
const TAG_ANNOTATION: &str = "org.opencontainers.image.ref.name";
/// The largest list that is read, in bytes. What is larger no engine has written.
const MAX_LIST: u64 = 16 << 20;

impl Builder {
    /// Writes the image that was built for `job` into the new file `to`: a gzipped archive in which
    /// it has these `names`, each with a tag. The archive has to stay below `limit` bytes.
    ///
    /// # Errors
    /// `ArchiveTooLarge`; `DiskFull` and `Io` when the file cannot be written; `EngineUnavailable`.
    pub async fn save(
        &self,
        job: &str,
        names: &[String],
        to: &Path,
        limit: Option<u64>,
    ) -> Result<u64, BuildError> {
        let image = self.image_of(job).await?;
        let file = File::create_new(to)?;
        let (sender, exported) = pipe();
        let names = names.to_vec();
        let writing =
            tokio::task::spawn_blocking(move || write_named(exported, &names, file, limit));
        let fetching = async move {
            let mut pieces = std::pin::pin!(self.engine().export_image(&image));
            while let Some(piece) = pieces.next().await {
                let (piece, failed) = match piece {
                    Ok(piece) => (Ok(piece), None),
                    Err(error) => (Err(ErrorKind::UnexpectedEof.into()), Some(error)),
                };
                // Whoever reads has stopped when it takes no more, and says why.
                if sender.send(piece).await.is_err() || failed.is_some() {
                    return failed;
                }
            }
            None
        };
        let (written, failed) = tokio::join!(writing, fetching);
        match (written.map_err(io::Error::other)?, limit, failed) {
            (_, _, Some(error)) => Err(engine_error(error)),
            (Err(error), Some(limit), None) if error.kind() == ErrorKind::FileTooLarge => {
                Err(BuildError::ArchiveTooLarge { limit })
            }
            (written, _, None) => Ok(written?),
        }
    }
}

/// Packs an engine's archive with other names; returns how many bytes came of it.
fn write_named(
    from: impl Read,
    names: &[String],
    to: impl Write,
    limit: Option<u64>,
) -> io::Result<u64> {
    let bounded = Bounded {
        to: BufWriter::new(to),
        written: 0,
        limit: limit.unwrap_or(u64::MAX),
    };
    let packed = GzEncoder::new(bounded, Compression::fast());
    let mut bounded = rename(from, names, packed)?.finish()?;
    bounded.flush()?;
    Ok(bounded.written)
}

/// Passes an archive on in which the image has these names and no others.
fn rename<W: Write>(from: impl Read, names: &[String], to: W) -> io::Result<W> {
    let mut archive = tar::Archive::new(from);
    let mut renamed = tar::Builder::new(to);
    let mut has_manifest = false;
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut header = entry.header().clone();
        let list = match name.as_str() {
            REPOSITORIES => continue,
            MANIFEST => with_names(read_list(&mut entry)?, names),
            INDEX => with_annotations(read_list(&mut entry)?, names),
            _ => {
                renamed.append(&header, &mut entry)?;
                continue;
            }
        };
        has_manifest |= name == MANIFEST;
        let text = list.to_string();
        header.set_size(text.len() as u64);
        header.set_cksum();
        renamed.append(&header, text.as_bytes())?;
    }
    match has_manifest {
        true => renamed.into_inner(),
        false => Err(io::Error::new(
            ErrorKind::InvalidData,
            "the engine's archive has no list of images",
        )),
    }
}

fn read_list(entry: impl Read) -> io::Result<Value> {
    Ok(serde_json::from_reader(entry.take(MAX_LIST))?)
}

fn with_names(mut manifest: Value, names: &[String]) -> Value {
    for image in manifest.as_array_mut().into_iter().flatten() {
        image["RepoTags"] = json!(names);
    }
    manifest
}

/// The index with each of its images once for each name.
fn with_annotations(mut index: Value, names: &[String]) -> Value {
    let images = index["manifests"].as_array().cloned().unwrap_or_default();
    let named = names.iter().flat_map(|name| {
        let tag = name.rsplit_once(':').map_or("", |(_, tag)| tag);
        images.iter().cloned().map(move |mut image| {
            image["annotations"][NAME_ANNOTATION] = json!(whole(name));
            image["annotations"][TAG_ANNOTATION] = json!(tag);
            image
        })
    });
    index["manifests"] = named.collect();
    index
}

/// A name with the registry that is meant when it has none.
fn whole(name: &str) -> String {
    match (registry_of(name), name.contains('/')) {
        ("docker.io", _) if name.starts_with("docker.io/") => name.to_owned(),
        ("docker.io", true) => format!("docker.io/{name}"),
        ("docker.io", false) => format!("docker.io/library/{name}"),
        _ => name.to_owned(),
    }
}

/// Takes less than so many bytes.
struct Bounded<W: Write> {
    to: W,
    written: u64,
    limit: u64,
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.written.saturating_add(piece.len() as u64) >= self.limit {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let count = self.to.write(piece)?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests;
