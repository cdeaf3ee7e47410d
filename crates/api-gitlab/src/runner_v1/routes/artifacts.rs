//! Archives: up, down and away; and the package that a job builds.

use actix_multipart::Multipart;
use actix_web::http::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse, web};
use slipway_farm::{Content, Farm, FarmError};

use crate::forms::{SharedBody, UploadParams, file_name, find_file, read_rest};
use crate::params::{job_id, job_token};
use crate::runner_v1::Answer;
use crate::runner_v1::convert;
use crate::runner_v1::error::RunnerV1Error;

/// `POST /ci/api/v1/builds/:id/artifacts`: stores the job's archive in the place of an earlier one.
///
/// 201 with the job; 400 without a file or with a duration that is none; 403 for another token, a
/// job that is not running or was erased; 404 for an unknown one; 413 beyond the limit.
pub(crate) async fn upload(
    farm: web::Data<Farm>,
    id: web::Path<String>,
    http: HttpRequest,
    body: web::Payload,
) -> Answer {
    let mut body = SharedBody::of(body.into_inner());
    let form = Multipart::new(http.headers(), body.clone());
    let answer = receive(&farm, &id, &http, form).await;
    if answer.is_err() {
        // A client that is still sending would take a closed connection for a broken one, and send
        // everything again.
        body.drain().await;
    }
    answer
}

async fn receive(farm: &Farm, id: &str, http: &HttpRequest, mut form: Multipart) -> Answer {
    let id = job_id(id).ok_or(RunnerV1Error::NotFound)?;
    let query = UploadParams::of_query(http);
    let mut fields = UploadParams::default();
    let file = find_file(&mut form, &mut fields).await;
    // Only the holder of the token is told what is wrong with the form.
    let job = farm
        .running_job_access(id, &job_token(http, fields.token.take()))
        .await
        .map_err(not_running)?;
    let mut file = file?.ok_or(RunnerV1Error::MissingFile)?;
    let filename = file_name(&file);
    // What is known to be wrong is told before all bytes have come.
    let known = fields.clone().or(&query);
    let kind = known.kind()?;
    known.keep()?;
    let received = farm.receive_archive(&job, &mut file).await?;
    drop(file);
    let rest = read_rest(&mut form, &mut fields).await;
    match rest.and_then(|()| fields.or(&query).keep()) {
        Ok(keep) => farm
            .put_file(&job, received, kind, filename, keep)
            .await
            .map_err(not_running)?,
        Err(error) => {
            farm.drop_archive(received).await;
            return Err(error.into());
        }
    };
    let claimed = farm.claimed_job(id).await?;
    Ok(HttpResponse::Created().json(convert::payload(&claimed)))
}

/// `GET /ci/api/v1/builds/:id/artifacts`: the job's archive.
///
/// 200 with its bytes; 403 for another token or an erased job; 404 without a job or an archive.
pub(crate) async fn download(
    farm: web::Data<Farm>,
    id: web::Path<String>,
    http: HttpRequest,
) -> Answer {
    let id = job_id(&id).ok_or(RunnerV1Error::NotFound)?;
    let archive = farm.archive_by_token(id, &job_token(&http, None)).await?;
    let Content::Archive { filename, .. } = &archive.content else {
        return Err(RunnerV1Error::NotFound);
    };
    let content = farm.artifact_content(&archive, None).await?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/octet-stream"))
        .insert_header((
            CONTENT_DISPOSITION,
            format!("attachment; filename={filename}"),
        ))
        .insert_header(("Content-Transfer-Encoding", "binary"))
        .insert_header((CONTENT_LENGTH, archive.size_bytes))
        .no_chunking(archive.size_bytes)
        .streaming(content))
}

/// `GET /ci/api/v1/builds/:id/package`: ours; the uploaded file that the job builds.
///
/// 200 with its bytes, and the type that it was said to have; 403 for another token or an erased
/// job; 404 without a job that runs and builds one.
pub(crate) async fn package(
    farm: web::Data<Farm>,
    id: web::Path<String>,
    http: HttpRequest,
) -> Answer {
    let id = job_id(&id).ok_or(RunnerV1Error::NotFound)?;
    let (file, content) = farm.package_by_token(id, &job_token(&http, None)).await?;
    let mut answer = HttpResponse::Ok();
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

/// `DELETE /ci/api/v1/builds/:id/artifacts`: the archive is gone afterwards.
///
/// 200, also when there was none; 403 for another token or an erased job; 404 without a job.
pub(crate) async fn remove(
    farm: web::Data<Farm>,
    id: web::Path<String>,
    http: HttpRequest,
) -> Answer {
    let id = job_id(&id).ok_or(RunnerV1Error::NotFound)?;
    farm.remove_archive_by_token(id, &job_token(&http, None))
        .await?;
    Ok(HttpResponse::Ok().finish())
}

/// A conflict in an upload is a job that does not run, which the protocol forbids with a reason.
fn not_running(error: FarmError) -> RunnerV1Error {
    match error {
        FarmError::Conflict(_) => RunnerV1Error::BuildNotRunning,
        other => other.into(),
    }
}
