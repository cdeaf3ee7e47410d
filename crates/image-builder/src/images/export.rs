//! Reading the files of an image that was built.

use std::io::{self, Read};

use bollard::errors::Error;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::CreateContainerOptions;
use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use crate::builder::Builder;
use crate::engine::failures::engine_error;
use crate::error::BuildError;

/// How many chunks are buffered for the reader. If it is slower, the engine waits.
const CHUNK_BUFFER: usize = 8;

/// A tar archive that the engine exports, for a blocking reader. Dropping it ends the transfer.
#[derive(Debug)]
pub struct Exported {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    /// The unread rest of the last chunk.
    chunk: Bytes,
}

/// A channel for the chunks of an export, and its reader.
pub(crate) fn pipe() -> (mpsc::Sender<io::Result<Bytes>>, Exported) {
    let (sender, chunks) = mpsc::channel(CHUNK_BUFFER);
    let chunk = Bytes::new();
    (sender, Exported { chunks, chunk })
}

impl Builder {
    /// The digest of an image, from its name or else from the engine; `None` if neither has it.
    pub async fn image_digest(&self, image: &str) -> Option<String> {
        if let Some((_, digest)) = image.split_once('@') {
            return Some(digest.to_owned());
        }
        let found = self.engine().inspect_image(image).await.ok()?;
        let digests = found.repo_digests.unwrap_or_default();
        let first = digests.first()?;
        first.split_once('@').map(|(_, digest)| digest.to_owned())
    }

    /// Exports the file system of the image that was built for `job`. This needs a container, which
    /// is never started and which [`Builder::remove_job`] deletes.
    ///
    /// # Errors
    /// `EngineUnavailable`, also if there is no such image.
    pub async fn export_file_system(&self, job: &str) -> Result<Exported, BuildError> {
        let body = ContainerCreateBody {
            image: Some(self.built_image(job).await?),
            // The engine requires a command, and an image may have none.
            cmd: Some(vec!["never".to_owned()]),
            labels: Some(self.labels(job)),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptions {
            name: Some(self.container_name("look", job)),
            ..CreateContainerOptions::default()
        };
        let created = self.engine().create_container(Some(options), body).await;
        let container = created.map_err(engine_error)?.id;
        let (sender, exported) = pipe();
        let engine = self.engine().clone();
        slipway_tasks::spawn("image export", async move {
            let mut archive = std::pin::pin!(engine.export_container(&container));
            while let Some(chunk) = archive.next().await {
                // The reader was dropped.
                if sender.send(chunk.map_err(io::Error::other)).await.is_err() {
                    return;
                }
            }
        });
        Ok(exported)
    }

    /// The id of the image that was built for `job`.
    pub(crate) async fn built_image(&self, job: &str) -> Result<String, BuildError> {
        let name = self.built_name(job);
        let image = match self.engine().inspect_image(&name).await {
            Err(Error::DockerResponseServerError {
                status_code: 404, ..
            }) => None,
            found => found.map_err(engine_error)?.id,
        };
        image.ok_or_else(|| BuildError::EngineUnavailable {
            detail: "the image that was built no longer exists".to_owned(),
        })
    }
}

impl Read for Exported {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // An empty chunk must not look like the end of the archive.
        while self.chunk.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.chunk = chunk?,
                None => return Ok(0),
            }
        }
        let count = self.chunk.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), self.chunk.get(..count)) {
            to.copy_from_slice(from);
        }
        self.chunk.advance(count);
        Ok(count)
    }
}
