//! Collects the artifacts of a script: copies files from its container into a zip archive on this
//! host's disk.
//!
//! The engine's archives are repacked while they are received, so they are never in memory as a
//! whole. The engine does not follow a link at the end of a path; where patterns go on below one, the
//! directory it leads to is requested by itself.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;

use bollard::errors::Error;
use bollard::query_parameters::{ContainerArchiveInfoOptions, DownloadFromContainerOptions};
use bytes::Bytes;
use futures_util::StreamExt as _;
use slipway_domain::spec::ArtifactRules;
use slipway_image_builder::Builder;
use tokio::sync::mpsc;

use crate::archive::{Archive, Collected, PendingLink, Root, shown};
use crate::container::{WORK_DIR, container_name};
use crate::error::ScriptError;
use crate::pattern::Patterns;
use crate::pipe::{Reader, channel};

/// The maximum number of links to follow. Links that lead to each other could be followed for ever.
const MAX_LINKS: usize = 10_000;
/// The bit that the modes of Go have for a directory.
const GO_DIRECTORY: u32 = 1 << 31;

/// Packs the files of the job's container that `rules` name into a new archive at `target`.
///
/// # Errors
/// Returns `Engine` if the engine does not send the files, or if the archive cannot be written, and
/// `TooManyArtifacts` or `ArtifactsTooLarge` if it exceeds what other jobs could unpack.
pub async fn collect(
    builder: &Builder,
    job: &str,
    rules: &ArtifactRules,
    target: &Path,
) -> Result<Collected, ScriptError> {
    let patterns = Patterns::new(&rules.paths);
    let roots = patterns.roots().into_iter().map(|root| Root {
        // An empty root stands for the whole work directory.
        path: match root.as_str() {
            "" => WORK_DIR.into(),
            root => format!("{WORK_DIR}/{root}").into(),
        },
        matched: root.clone().into(),
        stored: root.into(),
        links: Vec::new(),
    });
    let mut roots: VecDeque<Root> = roots.collect();
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(target)?;
    let mut archive = Archive::new(file, patterns);
    let name = container_name(builder, job);
    let mut followed = 0;
    // One root at a time: each is an archive of its own at the engine.
    while let Some(root) = roots.pop_front() {
        let Ok(path) = String::from_utf8(root.path.clone()) else {
            // The engine's requests are text.
            archive.problem(format!(
                "{} cannot be kept, because its name is not UTF-8",
                shown(&root.matched)
            ));
            continue;
        };
        let (sender, pieces) = channel();
        let packing = tokio::task::spawn_blocking(move || {
            let packed = archive.add_all(&root, Reader::new(pieces));
            (archive, packed)
        });
        let fetched = fetch(builder, &name, path, &sender).await;
        drop(sender);
        let (back, packed) = packing.await.map_err(io::Error::other)?;
        archive = back;
        fetched?;
        packed?;
        roots.extend(archive.hard_links.drain(..));
        for link in std::mem::take(&mut archive.links) {
            followed += 1;
            if followed > MAX_LINKS {
                return Err(ScriptError::TooManyLinks { limit: MAX_LINKS });
            }
            roots.extend(follow(builder, &name, &link, &mut archive).await?);
        }
    }
    let finishing = tokio::task::spawn_blocking(move || archive.finish());
    Ok(finishing.await.map_err(io::Error::other)??)
}

/// The directory to which a link leads, as a further root. A link that does not lead to one is stored
/// as it is, if a pattern matches it.
async fn follow(
    builder: &Builder,
    container: &str,
    link: &PendingLink,
    archive: &mut Archive,
) -> Result<Option<Root>, ScriptError> {
    let at = &link.at;
    // The engine resolves all links of the path.
    let resolved = match inspect(builder, container, &at.path).await? {
        Some(found) => found.link_target,
        None => String::new(),
    };
    let is_directory = match inspect(builder, container, resolved.as_bytes()).await? {
        Some(found) => found.file_mode & GO_DIRECTORY != 0,
        None => false,
    };
    if !is_directory {
        archive.keep_link(link)?;
        return Ok(None);
    }
    if resolved == "/" {
        archive.problem(format!(
            "{} leads to the root of the file system, which cannot be kept",
            shown(&at.matched)
        ));
        return Ok(None);
    }
    let inside = resolved.strip_prefix(WORK_DIR);
    let inside = inside.filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let stored = match inside {
        // The files are stored where they are, and the link leads there.
        Some(rest) if link.is_kept => {
            archive.keep_link(link)?;
            rest.trim_start_matches('/').as_bytes().to_vec()
        }
        None if link.is_kept => {
            archive.note_match(link);
            archive.warn(format!(
                "{} is kept as a directory, because it leads out of the work directory and paths \
                 below it are kept",
                shown(&at.matched)
            ));
            at.stored.clone()
        }
        _ => at.stored.clone(),
    };
    let depth = at.matched.iter().filter(|byte| **byte == b'/').count() + 1;
    let links = at.links.iter().copied().chain([depth]);
    Ok(Some(Root {
        path: resolved.into_bytes(),
        matched: at.matched.clone(),
        stored,
        links: links.collect(),
    }))
}

/// The state of a path in a container. `None` if it does not exist.
async fn inspect(
    builder: &Builder,
    container: &str,
    path: &[u8],
) -> Result<Option<bollard::container::PathStatResponse>, ScriptError> {
    let Ok(path) = std::str::from_utf8(path) else {
        return Ok(None);
    };
    if path.is_empty() {
        return Ok(None);
    }
    let options = ContainerArchiveInfoOptions {
        path: path.to_owned(),
    };
    let engine = builder.engine();
    match engine
        .get_container_archive_info(container, Some(options))
        .await
    {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether an error says that a path does not exist.
fn is_missing(error: &Error) -> bool {
    match error {
        Error::DockerResponseServerError {
            status_code: 404, ..
        } => true,
        // A name below a file is an internal error to some engines.
        Error::DockerResponseServerError { message, .. } => message.contains("not a directory"),
        _ => false,
    }
}

/// Passes on the engine's archive of one path. A missing path is not an error.
async fn fetch(
    builder: &Builder,
    container: &str,
    path: String,
    to: &mpsc::Sender<io::Result<Bytes>>,
) -> Result<(), ScriptError> {
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
            Err(error) if is_missing(&error) => return Ok(()),
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
