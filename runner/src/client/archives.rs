//! Archives: those of earlier jobs come down, and a job's own goes up. Both go from disk to wire
//! and back in pieces.

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

use crate::executor::{Archive, ArchiveKind};

use super::{Coordinator, Retry, text_header, unexpected, unsent};

/// How long one archive may take. The job's own limit usually comes first.
const TRANSFER_LIMIT: Duration = Duration::from_secs(3600);

/// How much of a file is read at a time, in bytes.
const PIECE: usize = 64 * 1024;

/// What comes of fetching an archive.
#[derive(Debug)]
pub enum Fetched {
    /// It is on disk.
    Done {
        /// The type that the coordinator gave it.
        content_type: Option<String>,
    },
    /// The coordinator has none, or does not give it to us.
    Gone,
    /// It could not be written.
    Unwritable(std::io::Error),
    /// Fetch it again.
    Retry(Retry),
}

/// What comes of sending an archive.
#[derive(Debug)]
pub enum Uploaded {
    /// It is stored.
    Done,
    /// It is larger than the coordinator takes.
    TooLarge,
    /// The job is over, or not ours.
    Gone,
    /// The coordinator does not take it, however often it is sent.
    Refused(StatusCode),
    /// It could not be read.
    Unreadable(std::io::Error),
    /// Send it again.
    Retry(Retry),
}

impl Coordinator {
    /// `GET builds/:id/artifacts`: fetches the archive of another job into the file `to`.
    pub async fn fetch_archive(&self, token: &JobToken, job: i64, to: &Path) -> Fetched {
        self.fetch_file(token, &format!("builds/{job}/artifacts"), to)
            .await
    }

    /// `GET builds/:id/package`: fetches the uploaded file that a job builds into the file `to`.
    pub async fn fetch_package(&self, token: &JobToken, job: i64, to: &Path) -> Fetched {
        self.fetch_file(token, &format!("builds/{job}/package"), to)
            .await
    }

    /// Fetches sources that the farm was handed from `url` into the file `to`.
    pub async fn fetch_source(&self, url: &str, token: &str, to: &Path) -> Fetched {
        store(self.http.get(url).bearer_auth(token), to).await
    }

    async fn fetch_file(&self, token: &JobToken, path: &str, to: &Path) -> Fetched {
        let request = self
            .call(Method::GET, path)
            .header(JOB_TOKEN_HEADER, token.expose());
        store(request, to).await
    }

    /// `POST builds/:id/artifacts`: sends an archive of the job.
    pub async fn send_archive(&self, token: &JobToken, job: i64, archive: &Archive) -> Uploaded {
        let file = match File::open(&archive.path).await {
            Ok(file) => file,
            Err(error) => return Uploaded::Unreadable(error),
        };
        let part = Part::stream(Body::wrap_stream(ReaderStream::with_capacity(file, PIECE)));
        let kept = archive.expire_in.as_deref().map(|text| ("expire_in", text));
        let kind: &[_] = match archive.kind {
            ArchiveKind::Files => &[],
            ArchiveKind::Image => &[
                ("artifact_type", "image_archive"),
                ("artifact_format", "gzip"),
            ],
        };
        let query: Vec<_> = kept.iter().chain(kind).copied().collect();
        self.send_file(token, job, part, &archive.name, &query)
            .await
    }

    /// `POST builds/:id/artifacts`: sends `bytes` as the job's file `name` of a type.
    pub async fn send_document(
        &self,
        token: &JobToken,
        job: i64,
        bytes: Vec<u8>,
        name: &str,
        file_type: &str,
    ) -> Uploaded {
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
    ) -> Uploaded {
        let part = match part
            .file_name(name.to_owned())
            .mime_str("application/octet-stream")
        {
            Ok(part) => part,
            Err(error) => return Uploaded::Retry(unsent(&error)),
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
                StatusCode::CREATED => Uploaded::Done,
                StatusCode::PAYLOAD_TOO_LARGE => Uploaded::TooLarge,
                StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Uploaded::Gone,
                status @ (StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED) => {
                    Uploaded::Refused(status)
                }
                _ => Uploaded::Retry(unexpected(&answer)),
            },
            Err(error) => Uploaded::Retry(unsent(&error)),
        }
    }
}

/// Stores the answer to a request in the file `to`.
async fn store(request: RequestBuilder, to: &Path) -> Fetched {
    let answer = match request.timeout(TRANSFER_LIMIT).send().await {
        Ok(answer) => answer,
        Err(error) => return Fetched::Retry(unsent(&error)),
    };
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
            return Fetched::Gone;
        }
        _ => return Fetched::Retry(unexpected(&answer)),
    }
    let content_type = text_header(answer.headers(), CONTENT_TYPE.as_str()).map(str::to_owned);
    let mut file = match File::create(to).await {
        Ok(file) => file,
        Err(error) => return Fetched::Unwritable(error),
    };
    let mut pieces = answer.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => return Fetched::Retry(unsent(&error)),
        };
        if let Err(error) = file.write_all(&piece).await {
            return Fetched::Unwritable(error);
        }
    }
    match file.flush().await {
        Ok(()) => Fetched::Done { content_type },
        Err(error) => Fetched::Unwritable(error),
    }
}
