//! An image as an archive that every engine can load, as `docker save` writes it.
//!
//! The names of the image are written into the archive while it is streamed. The engine never has
//! them: otherwise another build could use this image as its base image by accident.

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
/// The list that engines with containerd storage read instead, if the archive has one.
const INDEX: &str = "index.json";
/// A list of names in an older format.
const REPOSITORIES: &str = "repositories";
/// The annotations of the index with the full name of an image and with its tag.
const NAME_ANNOTATION: &str = "io.containerd.image.name";
const TAG_ANNOTATION: &str = "org.opencontainers.image.ref.name";
/// The largest list that is read, in bytes. No engine writes a larger one.
const MAX_LIST: u64 = 16 << 20;

impl Builder {
    /// Writes the image that was built for `job` into the new file `to`, as a gzipped archive in
    /// which it has these `names`, each with a tag. The archive must be smaller than `limit` bytes.
    /// Returns its size in bytes.
    ///
    /// # Errors
    /// `ArchiveTooLarge`; `DiskFull` and `Io` if the file cannot be written; `EngineUnavailable`.
    pub async fn save(
        &self,
        job: &str,
        names: &[String],
        to: &Path,
        limit: Option<u64>,
    ) -> Result<u64, BuildError> {
        let image = self.built_image(job).await?;
        let file = File::create_new(to)?;
        let (sender, exported) = pipe();
        let names = names.to_vec();
        let writing =
            tokio::task::spawn_blocking(move || write_renamed(exported, &names, file, limit));
        let fetching = async move {
            let mut chunks = std::pin::pin!(self.engine().export_image(&image));
            while let Some(chunk) = chunks.next().await {
                // The writer needs an error too, or it would take the rest for complete.
                let (chunk, failure) = match chunk {
                    Ok(chunk) => (Ok(chunk), None),
                    Err(error) => (Err(ErrorKind::UnexpectedEof.into()), Some(error)),
                };
                // The writer stops reading when it fails, and returns why.
                if sender.send(chunk).await.is_err() || failure.is_some() {
                    return failure;
                }
            }
            None
        };
        let (written, failure) = tokio::join!(writing, fetching);
        // The engine's error comes first: the writer's is only a consequence of it.
        match (written.map_err(io::Error::other)?, limit, failure) {
            (_, _, Some(error)) => Err(engine_error(error)),
            (Err(error), Some(limit), None) if error.kind() == ErrorKind::FileTooLarge => {
                Err(BuildError::ArchiveTooLarge { limit })
            }
            (written, _, None) => Ok(written?),
        }
    }
}

/// Compresses an engine's archive with other names; returns the compressed size in bytes.
fn write_renamed(
    from: impl Read,
    names: &[String],
    to: impl Write,
    limit: Option<u64>,
) -> io::Result<u64> {
    let limited = LimitedWriter {
        to: BufWriter::new(to),
        written: 0,
        limit: limit.unwrap_or(u64::MAX),
    };
    let compressed = GzEncoder::new(limited, Compression::fast());
    let mut limited = rename(from, names, compressed)?.finish()?;
    limited.flush()?;
    Ok(limited.written)
}

/// Copies an archive, replacing the names of its image.
fn rename<W: Write>(from: impl Read, names: &[String], to: W) -> io::Result<W> {
    let mut archive = tar::Archive::new(from);
    let mut renamed = tar::Builder::new(to);
    let mut has_manifest = false;
    // Raw entries keep the extended headers of long names as entries of their own.
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
    if !has_manifest {
        let why = "the engine's archive has no list of images";
        return Err(io::Error::new(ErrorKind::InvalidData, why));
    }
    renamed.into_inner()
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

/// The index with one entry for each image and name.
fn with_annotations(mut index: Value, names: &[String]) -> Value {
    let images = index["manifests"].as_array().cloned().unwrap_or_default();
    let named = names.iter().flat_map(|name| {
        let tag = name.rsplit_once(':').map_or("", |(_, tag)| tag);
        images.iter().cloned().map(move |mut image| {
            image["annotations"][NAME_ANNOTATION] = json!(full_name(name));
            image["annotations"][TAG_ANNOTATION] = json!(tag);
            image
        })
    });
    index["manifests"] = named.collect();
    index
}

/// The name with its registry, which is Docker Hub by default.
pub(crate) fn full_name(name: &str) -> String {
    match (registry_of(name), name.contains('/')) {
        ("docker.io", _) if name.starts_with("docker.io/") => name.to_owned(),
        ("docker.io", true) => format!("docker.io/{name}"),
        ("docker.io", false) => format!("docker.io/library/{name}"),
        _ => name.to_owned(),
    }
}

/// Fails with `FileTooLarge` as soon as `limit` bytes would be reached.
struct LimitedWriter<W: Write> {
    to: W,
    written: u64,
    limit: u64,
}

impl<W: Write> Write for LimitedWriter<W> {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        if self.written.saturating_add(chunk.len() as u64) >= self.limit {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let count = self.to.write(chunk)?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests;
