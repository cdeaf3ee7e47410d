//! Sends an artifact in pieces. After a cut, the upload goes on from what the coordinator has stored.

use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use slipway_domain::{ArtifactUploadId, JobToken};
use slipway_protocol::FinishUploadRequest;

use crate::backoff::RequestBackoff;
use crate::client::{CoordinatorClient, Retry, UploadAnswer, UploadStep};
use crate::executor::{Artifact, ArtifactKind};

/// The largest piece, in bytes. What a broken connection costs is at most one piece.
const MAX_PIECE: u64 = 8 << 20;
/// How much of a file is read at a time for its checksum, in bytes.
const READ_SIZE: usize = 256 << 10;
/// How often a file is sent that arrives with a wrong checksum.
const MAX_TRIES: u32 = 3;

/// One artifact on its way to the coordinator.
pub(super) struct PiecewiseUpload<'a> {
    coordinator: &'a CoordinatorClient,
    token: &'a JobToken,
    job: i64,
    file: Arc<std::fs::File>,
    request: FinishUploadRequest,
    id: ArtifactUploadId,
    /// How many bytes the coordinator has; `None` if it has to be asked.
    offset: Option<u64>,
    tries: u32,
}

/// What to do after a step.
pub(super) enum Next {
    Step,
    /// The upload has ended.
    End(UploadAnswer),
}

impl<'a> PiecewiseUpload<'a> {
    /// Reads the file once, for its checksum.
    ///
    /// # Errors
    /// Fails if the file cannot be read.
    pub(super) async fn open(
        coordinator: &'a CoordinatorClient,
        token: &'a JobToken,
        job: i64,
        artifact: &Artifact,
    ) -> std::io::Result<Self> {
        let (file, size, sha256) = summed(artifact.path.clone()).await?;
        let (artifact_type, artifact_format) = match artifact.kind {
            // The archive is the default.
            ArtifactKind::Files => (None, None),
            ArtifactKind::Image => (Some("image_archive".to_owned()), Some("gzip".to_owned())),
        };
        Ok(Self {
            coordinator,
            token,
            job,
            file: Arc::new(file),
            request: FinishUploadRequest {
                size,
                sha256,
                filename: Some(artifact.name.clone()),
                artifact_type,
                artifact_format,
                expire_in: artifact.expire_in.clone(),
            },
            id: new_id(),
            offset: Some(0),
            tries: 1,
        })
    }

    /// Sends the next piece, or the end. `backoff` is reset when the upload makes progress.
    pub(super) async fn step(&mut self, backoff: &mut RequestBackoff) -> Next {
        let size = self.request.size;
        let before = self.offset;
        let answer = match before {
            None => {
                self.coordinator
                    .upload_offset(self.token, self.job, self.id)
                    .await
            }
            Some(offset) if offset < size => match self.piece(offset).await {
                Ok(piece) => {
                    self.coordinator
                        .send_piece(self.token, self.job, self.id, offset, piece)
                        .await
                }
                Err(error) => return Next::End(UploadAnswer::Unreadable(error)),
            },
            Some(_) => {
                self.coordinator
                    .finish_upload(self.token, self.job, self.id, &self.request)
                    .await
            }
        };
        match answer {
            UploadStep::Done => Next::End(UploadAnswer::Done),
            UploadStep::At(offset) if offset <= size => {
                self.offset = Some(offset);
                let has_progress = before.is_none_or(|before| before < offset);
                if has_progress {
                    backoff.reset();
                    return Next::Step;
                }
                // Without progress the next request would have the same answer at once.
                Next::End(UploadAnswer::Retry(Retry {
                    after: None,
                    why: format!("the coordinator has only {offset} bytes"),
                }))
            }
            // The bytes of another file: begin with a new one.
            UploadStep::At(_) | UploadStep::WrongChecksum if self.tries < MAX_TRIES => {
                self.tries += 1;
                self.id = new_id();
                self.offset = Some(0);
                Next::End(UploadAnswer::Retry(Retry {
                    after: None,
                    why: "the file arrived with a wrong checksum".to_owned(),
                }))
            }
            UploadStep::At(_) | UploadStep::WrongChecksum => Next::End(UploadAnswer::Corrupted),
            UploadStep::TooLarge => Next::End(UploadAnswer::TooLarge),
            UploadStep::Gone => Next::End(UploadAnswer::Gone),
            UploadStep::Refused(status) => Next::End(UploadAnswer::Refused(status)),
            UploadStep::Retry(retry) => {
                // The piece may have arrived although its answer did not.
                self.offset = None;
                Next::End(UploadAnswer::Retry(retry))
            }
        }
    }

    async fn piece(&self, start: u64) -> std::io::Result<Vec<u8>> {
        let length = (self.request.size - start).min(MAX_PIECE);
        let file = Arc::clone(&self.file);
        let read = move || {
            let mut piece = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
            file.read_exact_at(&mut piece, start)?;
            Ok(piece)
        };
        blocking(read).await
    }
}

fn new_id() -> ArtifactUploadId {
    ArtifactUploadId(uuid::Builder::from_random_bytes(rand::random()).into_uuid())
}

/// Opens a file, and returns its size and its SHA-256 in hex.
async fn summed(path: PathBuf) -> std::io::Result<(std::fs::File, u64, String)> {
    let read = move || {
        let mut file = std::fs::File::open(path)?;
        let mut sum = Sha256::new();
        let mut size = 0;
        let mut buffer = vec![0; READ_SIZE];
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok((file, size, hex::encode(sum.finalize())));
            }
            sum.update(&buffer[..count]);
            size += count as u64;
        }
    };
    blocking(read).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}
