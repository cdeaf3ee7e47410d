//! Downloading and uploading the files of jobs. Files are streamed in pieces and never held in
//! memory as a whole.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::header::CONTENT_TYPE;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method, RequestBuilder, StatusCode};
use slipway_domain::JobToken;
use slipway_protocol::JOB_TOKEN_HEADER;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::ReaderStream;

use crate::executor::{Artifact, ArtifactKind};

use super::{CoordinatorClient, Retry, text_header, unexpected, unsent};

/// How long one transfer may take. The job's time limit is usually shorter.
pub(super) const TRANSFER_LIMIT: Duration = Duration::from_secs(3600);

/// How much of a file is read at a time, in bytes.
const PIECE_SIZE: usize = 64 * 1024;

/// The answer to a download.
#[derive(Debug)]
pub enum DownloadAnswer {
    /// The file is on disk.
    Done { content_type: Option<String> },
    /// The coordinator does not have the file, or this job may not read it.
    Gone,
    /// The file could not be written to the disk.
    Unwritable(std::io::Error),
    /// Download it again.
    Retry(Retry),
}

/// The answer to an upload.
#[derive(Debug)]
pub enum UploadAnswer {
    /// The file is stored.
    Done,
    /// The file exceeds the coordinator's size limit.
    TooLarge,
    /// The job has ended or belongs to another runner.
    Gone,
    /// The coordinator refuses the file; sending it again does not help.
    Refused(StatusCode),
    /// The file could not be read from the disk.
    Unreadable(std::io::Error),
    /// The file arrived with a wrong checksum several times.
    Corrupted,
    /// Upload it again, or go on with the upload.
    Retry(Retry),
}

impl CoordinatorClient {
    /// `GET builds/:id/artifacts`: downloads the artifacts of another job into the file `to`.
    pub async fn fetch_artifacts(&self, token: &JobToken, job: i64, to: &Path) -> DownloadAnswer {
        self.fetch_file(token, &format!("builds/{job}/artifacts"), to)
            .await
    }

    /// `GET builds/:id/package`: downloads the uploaded package that a job builds into the file
    /// `to`.
    pub async fn fetch_package(&self, token: &JobToken, job: i64, to: &Path) -> DownloadAnswer {
        self.fetch_file(token, &format!("builds/{job}/package"), to)
            .await
    }

    /// Downloads submitted sources from `url` at the farm into the file `to`.
    pub async fn fetch_source(&self, url: &str, token: &str, to: &Path) -> DownloadAnswer {
        download(self.http.get(url).bearer_auth(token), to).await
    }

    async fn fetch_file(&self, token: &JobToken, path: &str, to: &Path) -> DownloadAnswer {
        let request = self
            .call(Method::GET, path)
            .header(JOB_TOKEN_HEADER, token.expose());
        download(request, to).await
    }

    /// `POST builds/:id/artifacts`: uploads an artifact of the job.
    pub async fn send_artifact(
        &self,
        token: &JobToken,
        job: i64,
        artifact: &Artifact,
    ) -> UploadAnswer {
        let file = match File::open(&artifact.path).await {
            Ok(file) => file,
            Err(error) => return UploadAnswer::Unreadable(error),
        };
        let part = Part::stream(Body::wrap_stream(ReaderStream::with_capacity(
            file, PIECE_SIZE,
        )));
        let expire_in = artifact.expire_in.as_deref();
        let expire_in = expire_in.map(|text| ("expire_in", text));
        let kind: &[_] = match artifact.kind {
            // `archive` is the default of the protocol.
            ArtifactKind::Files => &[],
            ArtifactKind::Image => &[
                ("artifact_type", "image_archive"),
                ("artifact_format", "gzip"),
            ],
        };
        let query: Vec<_> = expire_in.iter().chain(kind).copied().collect();
        self.send_file(token, job, part, &artifact.name, &query)
            .await
    }

    /// `POST builds/:id/artifacts`: uploads `bytes` as the file `name` of type `file_type`.
    pub async fn send_document(
        &self,
        token: &JobToken,
        job: i64,
        bytes: Vec<u8>,
        name: &str,
        file_type: &str,
    ) -> UploadAnswer {
        let query = [("artifact_type", file_type), ("artifact_format", "raw")];
        self.send_file(token, job, Part::bytes(bytes), name, &query)
            .await
    }

    async fn send_file(
        &self,
        token: &JobToken,
        job: i64,
        part: Part,
        name: &str,
        query: &[(&str, &str)],
    ) -> UploadAnswer {
        let part = match part
            .file_name(name.to_owned())
            .mime_str("application/octet-stream")
        {
            Ok(part) => part,
            Err(error) => return UploadAnswer::Retry(unsent(&error)),
        };
        let request = self
            .call(Method::POST, &format!("builds/{job}/artifacts"))
            .header(JOB_TOKEN_HEADER, token.expose())
            .timeout(TRANSFER_LIMIT)
            .query(query);
        match request
            .multipart(Form::new().part("file", part))
            .send()
            .await
        {
            Ok(answer) => match answer.status() {
                StatusCode::CREATED => UploadAnswer::Done,
                // Neither this nor the next two change when the upload is repeated.
                StatusCode::PAYLOAD_TOO_LARGE => UploadAnswer::TooLarge,
                StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => UploadAnswer::Gone,
                status @ (StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED) => {
                    UploadAnswer::Refused(status)
                }
                _ => UploadAnswer::Retry(unexpected(&answer)),
            },
            Err(error) => UploadAnswer::Retry(unsent(&error)),
        }
    }
}

/// Sends a request and writes the body of the answer to the file `to`.
async fn download(request: RequestBuilder, to: &Path) -> DownloadAnswer {
    let answer = match request.timeout(TRANSFER_LIMIT).send().await {
        Ok(answer) => answer,
        Err(error) => return DownloadAnswer::Retry(unsent(&error)),
    };
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
            return DownloadAnswer::Gone;
        }
        _ => return DownloadAnswer::Retry(unexpected(&answer)),
    }
    let content_type = text_header(answer.headers(), CONTENT_TYPE.as_str()).map(str::to_owned);
    // A retry replaces what an earlier attempt wrote.
    let mut file = match File::create(to).await {
        Ok(file) => file,
        Err(error) => return DownloadAnswer::Unwritable(error),
    };
    let mut pieces = answer.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => return DownloadAnswer::Retry(unsent(&error)),
        };
        if let Err(error) = file.write_all(&piece).await {
            return DownloadAnswer::Unwritable(error);
        }
    }
    // Tokio writes in the background, and reports a full disk only here.
    match file.flush().await {
        Ok(()) => DownloadAnswer::Done { content_type },
        Err(error) => DownloadAnswer::Unwritable(error),
    }
}
