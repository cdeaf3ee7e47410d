//! A job's files: upload and download.

use actix_multipart::Multipart;
use actix_web::{HttpRequest, HttpResponse, web};
use slipway_farm::{Content, Farm};
use slipway_http::{BodyStream, UnreadBody};

use crate::artifacts::{DownloadHeaders, archive_response, receive_form, upload_limit};
use crate::runner_v4::Answer;
use crate::runner_v4::auth::{job_id, job_token_header};
use crate::runner_v4::error::RunnerV4Error;
use crate::upload_form::{UploadParams, file_name, find_file, read_rest};

/// `POST /api/v4/jobs/:id/artifacts`: stores a file of the job, one of each `artifact_type`.
///
/// 201, also if the same bytes are sent again; 400 if the job has a file of this type with other
/// bytes, if type and format do not go together, or if the file is missing; 401 if the token is
/// missing; 403 if it is wrong or the job has finished; 413 if the file is too large.
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
    let job = farm
        .active_job_access(job_id(id)?, &job_token_header(http)?)
        .await?;
    body.allow(&job, upload_limit(farm));
    let query = UploadParams::from_query(http);
    let mut fields = UploadParams::default();
    let file = find_file(&mut form, &mut fields).await?;
    let mut file = file.ok_or(RunnerV4Error::MissingParameter("file"))?;
    let filename = file_name(&file);
    let received = farm.receive_archive(&job, &mut file).await?;
    drop(file);
    // Clients other than stock runners send type, format and expiry as fields after the file, so
    // they can only be checked now. In v4 the query takes precedence over the form; in v1 the form
    // does.
    let params: Result<_, RunnerV4Error> = async {
        read_rest(&mut form, &mut fields).await?;
        let params = query.or(&fields);
        Ok((params.kind()?, params.expiry()?))
    }
    .await;
    match params {
        Ok((kind, expiry)) => {
            farm.put_file_once(&job, received, kind, filename, expiry)
                .await?;
            Ok(HttpResponse::Created().json(201))
        }
        Err(error) => {
            farm.drop_archive(received).await;
            Err(error)
        }
    }
}

/// `GET /api/v4/jobs/:id/artifacts`: downloads the job's archive.
///
/// 200 with its bytes; 401 if the token is missing; 403 if it belongs neither to the job nor to a
/// running job that needs it; 404 if the job has no archive.
pub(crate) async fn download(
    farm: web::Data<Farm>,
    id: web::Path<String>,
    http: HttpRequest,
) -> Answer {
    let token = job_token_header(&http)?;
    let archive = farm.archive_for_need(job_id(&id)?, &token).await?;
    let Content::Archive { filename, .. } = &archive.content else {
        return Err(RunnerV4Error::NotFound);
    };
    Ok(archive_response(
        HttpResponse::Ok(),
        DownloadHeaders::GitLab10,
        filename,
        archive.size_bytes,
        farm.artifact_content(&archive, None).await?,
    ))
}
