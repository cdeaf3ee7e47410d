//! A job's archive: upload, download and delete; and the download of the package that a job builds.

use actix_multipart::{Field, Multipart};
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{Bytes, BytesMut};
use chrono::TimeDelta;
use futures_util::{TryStreamExt, stream};
use slipway_domain::{JobId, JobToken};
use slipway_farm::{Content, Farm, FileKind, JobAccess, ReceivedArchive};
use slipway_http::{BodyStream, UNKNOWN_SENDER_BYTES, UnreadBody};

use crate::artifacts::{DownloadHeaders, archive_response, receive_form, upload_limit};
use crate::runner_v1::Answer;
use crate::runner_v1::auth::{job_token, job_token_in, job_token_outside};
use crate::runner_v1::convert;
use crate::runner_v1::convert::FileVariables;
use crate::runner_v1::error::{RunnerV1Error, not_running};
use crate::runner_v1::params::job_id;
use crate::upload_form::{UploadParams, file_name, find_file, read_rest};

/// The largest file before its token, in bytes. It stays in memory, because no bytes are stored before
/// the client is authenticated.
const MAX_FILE_BEFORE_TOKEN: usize = UNKNOWN_SENDER_BYTES;

/// `POST /ci/api/v1/builds/:id/artifacts`: stores the job's archive, and replaces an earlier one.
///
/// 201 with the job; 400 if the file is missing or `expire_in` is invalid; 403 if the token is
/// wrong or follows a large file, or the job is not running or was erased; 404 if the job does not exist; 413 if the file
/// is too large.
pub(crate) async fn upload(
    farm: web::Data<Farm>,
    id: web::Path<String>,
    http: HttpRequest,
    body: UnreadBody,
) -> Answer {
    receive_form(&http, body, async |form, body| {
        receive(&farm, &id, &http, form, body).await
    })
    .await
}

async fn receive(
    farm: &Farm,
    id: &str,
    http: &HttpRequest,
    mut form: Multipart,
    body: &BodyStream,
) -> Answer {
    let id = job_id(id).ok_or(RunnerV1Error::NotFound)?;
    // Checked before a byte of the form is read.
    if let Some(token) = job_token_outside(http) {
        let job = running_job(farm, id, &token).await?;
        body.allow(&job, upload_limit(farm));
    }
    let query = UploadParams::from_query(http);
    let mut fields = UploadParams::default();
    // The token may be a field of the form, so the fields before the file are read first. Only the
    // holder of the token learns what is wrong with them.
    let file = find_file(&mut form, &mut fields).await;
    let token = job_token(http, fields.token.take());
    let file = match file {
        Ok(Some(file)) if token.expose().is_empty() => {
            return receive_before_token(farm, id, http, form, fields, file).await;
        }
        file => file,
    };
    let job = running_job(farm, id, &token).await?;
    body.allow(&job, upload_limit(farm));
    let mut file = file?.ok_or(RunnerV1Error::MissingFile)?;
    let filename = file_name(&file);
    // Checked before the file is received, so that a client does not send it in vain.
    let known = fields.clone().or(&query);
    let kind = known.kind()?;
    known.expiry()?;
    let received = farm.receive_archive(&job, &mut file).await?;
    drop(file);
    // `expire_in` may also follow the file.
    let rest = read_rest(&mut form, &mut fields).await;
    match rest.and_then(|()| fields.or(&query).expiry()) {
        Ok(expiry) => put(farm, &job, received, kind, filename, expiry).await,
        Err(error) => {
            farm.drop_archive(received).await;
            Err(error.into())
        }
    }
}

/// Receives a small file whose token may be a field after it.
async fn receive_before_token(
    farm: &Farm,
    id: JobId,
    http: &HttpRequest,
    mut form: Multipart,
    mut fields: UploadParams,
    mut file: Field,
) -> Answer {
    let filename = file_name(&file);
    let content = in_memory(&mut file).await;
    drop(file);
    // A file that is too large is not read further, so its token is unknown.
    let content = content.ok_or(RunnerV1Error::TokenAfterFile)?;
    let rest = read_rest(&mut form, &mut fields).await;
    let job = running_job(farm, id, &job_token(http, fields.token.take())).await?;
    rest?;
    let params = fields.or(&UploadParams::from_query(http));
    let (kind, expiry) = (params.kind()?, params.expiry()?);
    let content = stream::iter([Ok::<Bytes, std::io::Error>(content)]);
    let received = farm.receive_archive(&job, content).await?;
    put(farm, &job, received, kind, filename, expiry).await
}

/// The content of a file, if it is not larger than [`MAX_FILE_BEFORE_TOKEN`] and can be read.
async fn in_memory(file: &mut Field) -> Option<Bytes> {
    let mut content = BytesMut::new();
    while let Some(chunk) = file.try_next().await.ok()? {
        if content.len() + chunk.len() > MAX_FILE_BEFORE_TOKEN {
            return None;
        }
        content.extend_from_slice(&chunk);
    }
    Some(content.freeze())
}

async fn running_job(farm: &Farm, id: JobId, token: &JobToken) -> Result<JobAccess, RunnerV1Error> {
    let access = farm.running_job_access(id, token).await;
    access.map_err(not_running)
}

/// Makes the received file the job's, and answers with the job.
async fn put(
    farm: &Farm,
    job: &JobAccess,
    received: ReceivedArchive,
    kind: FileKind,
    filename: String,
    expiry: Option<TimeDelta>,
) -> Answer {
    farm.put_file(job, received, kind, filename, expiry)
        .await
        .map_err(not_running)?;
    let claimed = farm.claimed_job(job.id()).await?;
    Ok(HttpResponse::Created().json(convert::payload(&claimed, FileVariables::Native)))
}

/// `GET /ci/api/v1/builds/:id/artifacts`: downloads the job's archive.
///
/// 200 with its bytes; 403 if the token is wrong or the job was erased; 404 if the job or its
/// archive does not exist.
pub(crate) async fn download(
    farm: web::Data<Farm>,
    id: web::Path<String>,
    http: HttpRequest,
    body: UnreadBody,
) -> Answer {
    let id = job_id(&id).ok_or(RunnerV1Error::NotFound)?;
    let token = job_token_in(&http, body).await;
    let archive = farm.archive_by_token(id, &token).await?;
    let Content::Archive { filename, .. } = &archive.content else {
        return Err(RunnerV1Error::NotFound);
    };
    Ok(archive_response(
        HttpResponse::Ok(),
        DownloadHeaders::GitLab8,
        filename,
        archive.size_bytes,
        farm.artifact_content(&archive, None).await?,
    ))
}

/// `GET /ci/api/v1/builds/:id/package`: downloads the uploaded file that the job builds. An
/// extension for our own runner.
///
/// 200 with its bytes and the media type given at its upload; 403 if the token is wrong or the job
/// was erased; 404 if the job does not exist, is not running or does not build an uploaded file.
pub(crate) async fn package(
    farm: web::Data<Farm>,
    id: web::Path<String>,
    http: HttpRequest,
) -> Answer {
    let id = job_id(&id).ok_or(RunnerV1Error::NotFound)?;
    let (file, content) = farm.package_by_token(id, &job_token(&http, None)).await?;
    let mut answer = HttpResponse::Ok();
    // The media type is whatever the uploader sent, and may not be a valid header value.
    if let Ok(mime) = HeaderValue::from_bytes(file.mime.as_bytes())
        && !mime.is_empty()
    {
        answer.insert_header((CONTENT_TYPE, mime));
    }
    if let Some(content) = &file.content {
        answer.no_chunking(content.size_bytes);
    }
    Ok(answer
        .insert_header((X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .streaming(content))
}

/// `DELETE /ci/api/v1/builds/:id/artifacts`: deletes the job's archive.
///
/// 200, also if there was none; 403 if the token is wrong, or the job is not running or was erased;
/// 404 if the job does not exist.
pub(crate) async fn delete(
    farm: web::Data<Farm>,
    id: web::Path<String>,
    http: HttpRequest,
    body: UnreadBody,
) -> Answer {
    let id = job_id(&id).ok_or(RunnerV1Error::NotFound)?;
    let token = job_token_in(&http, body).await;
    let access = farm
        .running_job_access(id, &token)
        .await
        .map_err(not_running)?;
    farm.delete_archive(&access).await?;
    Ok(HttpResponse::Ok().finish())
}
