//! Files that our own runner uploads in pieces. An extension of the protocol.

use std::ops::Range;

use actix_web::http::header::{CONTENT_RANGE, RANGE};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use slipway_domain::ArtifactUploadId;
use slipway_farm::{Farm, JobAccess, SentFile, UploadStep};
use slipway_http::UnreadBody;
use slipway_protocol::FinishUploadRequest;

use crate::error::message;
use crate::params::{range_bounds, read_known_params};
use crate::runner_v1::Answer;
use crate::runner_v1::auth::job_token;
use crate::runner_v1::error::{RunnerV1Error, not_running};
use crate::runner_v1::params::job_id;
use crate::upload_form::{UploadParams, clean_file_name};

/// How much of a refused piece is read, in bytes, so that the runner sees the answer.
const MAX_DISCARD_BYTES: u64 = 64 << 20;

/// `GET /ci/api/v1/builds/:id/uploads/:upload`: how much of a file is stored.
///
/// 200 with `Range: 0-N`, where N is the number of stored bytes, 0 if the upload is unknown; 403 if the
/// token is wrong, or the job does not exist, is not running or was erased; 404 if the id of the upload is
/// not a UUID.
pub(crate) async fn offset(
    farm: web::Data<Farm>,
    path: web::Path<(String, String)>,
    http: HttpRequest,
) -> Answer {
    let (job, upload) = authorized(&farm, &path, &http).await?;
    let length = farm.upload_offset(&job, upload).await?;
    Ok(HttpResponse::Ok()
        .insert_header((RANGE, format!("0-{length}")))
        .finish())
}

/// `PATCH /ci/api/v1/builds/:id/uploads/:upload`: appends a piece to a file.
///
/// 202 with `Range`; 400 if `Content-Range` is missing or invalid, or the body has another length; 403 and
/// 404 as above; 413 if the file would be too large, or the project has no space left; 416 with `Range`
/// if the piece does not start where the stored bytes end.
pub(crate) async fn append(
    farm: web::Data<Farm>,
    path: web::Path<(String, String)>,
    http: HttpRequest,
    body: UnreadBody,
) -> Answer {
    let (job, upload) = authorized(&farm, &path, &http).await?;
    let mut body = body.stream(&job);
    let step = match content_range(&http) {
        Ok(range) => farm
            .append_upload(&job, upload, range, body.clone())
            .await
            .map_err(not_running),
        Err(error) => Err(error),
    };
    if !matches!(step, Ok(UploadStep::At { .. })) {
        // To a client that is still sending, a closed connection looks like a network error.
        body.discard(MAX_DISCARD_BYTES).await;
    }
    Ok(answer(step?))
}

/// `POST /ci/api/v1/builds/:id/uploads/:upload`: makes the stored pieces an artifact of the job.
///
/// 201, also if the request is sent again; 400 for invalid parameters; 403 and 404 as above; 416 with
/// `Range` if the file has another size; 422 if it has another checksum, and the pieces are deleted.
pub(crate) async fn finish(
    farm: web::Data<Farm>,
    path: web::Path<(String, String)>,
    http: HttpRequest,
    body: UnreadBody,
) -> Answer {
    let (job, upload) = authorized(&farm, &path, &http).await?;
    let request: FinishUploadRequest = read_known_params(&http, body, &job).await?;
    let file = sent_file(request)?;
    let step = farm.complete_upload(&job, upload, file).await;
    Ok(answer(step.map_err(not_running)?))
}

/// The running job and the upload of a request. The token is in the header or the query.
async fn authorized(
    farm: &Farm,
    (id, upload): &(String, String),
    http: &HttpRequest,
) -> Result<(JobAccess, ArtifactUploadId), RunnerV1Error> {
    let id = job_id(id).ok_or(RunnerV1Error::NotFound)?;
    // A job that does not exist is the same as one with another token.
    let access = farm.own_job_access(id, &job_token(http, None)).await?;
    if !access.job().state.is_running() {
        return Err(RunnerV1Error::BuildNotRunning);
    }
    let upload = upload.parse().map_err(|_| RunnerV1Error::NotFound)?;
    Ok((access, upload))
}

fn content_range(http: &HttpRequest) -> Result<Range<u64>, RunnerV1Error> {
    let range = http.headers().get(CONTENT_RANGE);
    let range = range.ok_or(RunnerV1Error::MissingRange)?;
    range.to_str().ok().and_then(range_bounds).ok_or_else(|| {
        RunnerV1Error::BadRequest("Content-Range must be START-END, in bytes".to_owned())
    })
}

fn sent_file(request: FinishUploadRequest) -> Result<SentFile, RunnerV1Error> {
    let is_digest =
        request.sha256.len() == 64 && request.sha256.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_digest {
        let why = "sha256 must be 64 hexadecimal digits".to_owned();
        return Err(RunnerV1Error::BadRequest(why));
    }
    let params = UploadParams::of(
        request.expire_in,
        request.artifact_type,
        request.artifact_format,
    );
    Ok(SentFile {
        size: request.size,
        sha256: request.sha256,
        kind: params.kind()?,
        filename: clean_file_name(request.filename.as_deref().unwrap_or_default()),
        expires_in: params.expiry()?,
    })
}

fn answer(step: UploadStep) -> HttpResponse {
    let range = |length: u64| (RANGE, format!("0-{length}"));
    match step {
        UploadStep::At { length } => HttpResponse::Accepted()
            .insert_header(range(length))
            .finish(),
        UploadStep::GoOnAt { length } => HttpResponse::RangeNotSatisfiable()
            .insert_header(range(length))
            .json(message("416 Range Not Satisfiable")),
        UploadStep::Complete => HttpResponse::Created().json(json!({})),
        UploadStep::WrongChecksum => HttpResponse::UnprocessableEntity().json(message(
            "422 Unprocessable Entity - The file has another SHA-256; upload it again",
        )),
    }
}
