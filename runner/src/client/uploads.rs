//! Uploading a file in pieces. Each call is one step of an upload.

use reqwest::{Method, RequestBuilder, StatusCode};
use slipway_domain::{ArtifactUploadId, JobToken};
use slipway_protocol::{FinishUploadRequest, JOB_TOKEN_HEADER};

use super::files::TRANSFER_LIMIT;
use super::{CoordinatorClient, Retry, stored_length, unexpected, unsent};

/// The answer to a step of an upload.
#[derive(Debug)]
pub enum UploadStep {
    /// The coordinator has this many bytes, from the first one on.
    At(u64),
    /// The file is an artifact of the job.
    Done,
    /// The stored bytes had another checksum and were deleted.
    WrongChecksum,
    /// The file exceeds the coordinator's size limit, or the space that the project has left.
    TooLarge,
    /// The job has ended or belongs to another runner.
    Gone,
    /// The coordinator refuses the file; sending it again does not help.
    Refused(StatusCode),
    /// Ask for the offset, and go on from there.
    Retry(Retry),
}

impl CoordinatorClient {
    /// `GET builds/:id/uploads/:upload`: asks how much of a file is stored.
    pub async fn upload_offset(
        &self,
        token: &JobToken,
        job: i64,
        upload: ArtifactUploadId,
    ) -> UploadStep {
        step(self.upload_call(Method::GET, token, job, upload)).await
    }

    /// `PATCH builds/:id/uploads/:upload`: sends the `piece` of a file that starts at `start`.
    pub async fn send_piece(
        &self,
        token: &JobToken,
        job: i64,
        upload: ArtifactUploadId,
        start: u64,
        piece: Vec<u8>,
    ) -> UploadStep {
        let end = start + piece.len() as u64;
        let request = self
            .upload_call(Method::PATCH, token, job, upload)
            .header("Content-Type", "application/octet-stream")
            .header("Content-Range", format!("{start}-{end}"))
            .timeout(TRANSFER_LIMIT)
            .body(piece);
        step(request).await
    }

    /// `POST builds/:id/uploads/:upload`: makes the sent pieces an artifact of the job.
    pub async fn finish_upload(
        &self,
        token: &JobToken,
        job: i64,
        upload: ArtifactUploadId,
        file: &FinishUploadRequest,
    ) -> UploadStep {
        let request = self
            .upload_call(Method::POST, token, job, upload)
            // The coordinator reads a large file once more.
            .timeout(TRANSFER_LIMIT)
            .json(file);
        step(request).await
    }

    fn upload_call(
        &self,
        method: Method,
        token: &JobToken,
        job: i64,
        upload: ArtifactUploadId,
    ) -> RequestBuilder {
        self.call(method, &format!("builds/{job}/uploads/{upload}"))
            .header(JOB_TOKEN_HEADER, token.expose())
    }
}

async fn step(request: RequestBuilder) -> UploadStep {
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => return UploadStep::Retry(unsent(&error)),
    };
    match (answer.status(), stored_length(answer.headers())) {
        (
            StatusCode::OK | StatusCode::ACCEPTED | StatusCode::RANGE_NOT_SATISFIABLE,
            Some(length),
        ) => UploadStep::At(length),
        (StatusCode::CREATED, _) => UploadStep::Done,
        (StatusCode::UNPROCESSABLE_ENTITY, _) => UploadStep::WrongChecksum,
        (StatusCode::PAYLOAD_TOO_LARGE, _) => UploadStep::TooLarge,
        (StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, _) => UploadStep::Gone,
        (status @ (StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED), _) => {
            UploadStep::Refused(status)
        }
        _ => UploadStep::Retry(unexpected(&answer)),
    }
}
