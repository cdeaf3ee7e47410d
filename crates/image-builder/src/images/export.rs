//! Reading what is in an image that was built.

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

/// How many pieces wait for the reader; beyond them the engine waits.
const PIECES: usize = 8;

/// What the engine exports as a tar archive, for a blocking reader. Dropping it ends the transfer.
#[derive(Debug)]
pub struct Exported {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

/// Where the pieces of what is exported go, and who reads them.
pub(crate) fn pipe() -> (mpsc::Sender<io::Result<Bytes>>, Exported) {
    let (sender, pieces) = mpsc::channel(PIECES);
    let piece = Bytes::new();
    (sender, Exported { pieces, piece })
}

impl Builder {
    /// The same engine, where the image of a build that went well stays until
    /// [`Builder::remove_job`] is called for it.
    #[must_use]
    pub fn leaving_images(mut self) -> Self {
        self.leaves_images = true;
        self
    }

    /// The digest of an image by this name, as far as the name or the engine tells it.
    pub async fn digest_of(&self, image: &str) -> Option<String> {
        if let Some((_, digest)) = image.split_once('@') {
            return Some(digest.to_owned());
        }
        let found = self.engine().inspect_image(image).await.ok()?;
        let digests = found.repo_digests.unwrap_or_default();
        let first = digests.first()?;
        first.split_once('@').map(|(_, digest)| digest.to_owned())
    }

    /// The file system of the image that was built for `job`, by way of a container that never
    /// starts and goes with [`Builder::remove_job`].
    ///
    /// # Errors
    /// `EngineUnavailable`, also when there is no such image.
    pub async fn file_system_of(&self, job: &str) -> Result<Exported, BuildError> {
        let body = ContainerCreateBody {
            image: Some(self.image_of(job).await?),
            // An image may have none, and the engine wants one.
            cmd: Some(vec!["never".to_owned()]),
            labels: Some(self.labels(job)),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptions {
            name: Some(self.container_name("look", job)),
            ..CreateContainerOptions::default()
        };
        let made = self.engine().create_container(Some(options), body).await;
        let container = made.map_err(engine_error)?.id;
        let (sender, exported) = pipe();
        let engine = self.engine().clone();
        tokio::spawn(async move {
            let mut archive = std::pin::pin!(engine.export_container(&container));
            while let Some(piece) = archive.next().await {
                if sender.send(piece.map_err(io::Error::other)).await.is_err() {
                    return;
                }
            }
        });
        Ok(exported)
    }

    /// The id of the image that was built for `job`.
    pub(crate) async fn image_of(&self, job: &str) -> Result<String, BuildError> {
        let name = self.built_name(job);
        let image = match self.engine().inspect_image(&name).await {
            Err(Error::DockerResponseServerError {
                status_code: 404, ..
            }) => None,
            found => found.map_err(engine_error)?.id,
        };
        image.ok_or_else(|| BuildError::EngineUnavailable {
            detail: "the image that was built is not there any more".to_owned(),
        })
    }
}

impl Read for Exported {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = self.piece.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), self.piece.get(..count)) {
            to.copy_from_slice(from);
        }
        self.piece.advance(count);
        Ok(count)
    }
}
