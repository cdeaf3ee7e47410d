//! Files of jobs: up and down.

use actix_multipart::Multipart;
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, web};
use slipway_farm::{Content, Farm};

use crate::forms::{SharedBody, UploadParams, file_name, find_file, read_rest};
use crate::runner_v4::Answer;
use crate::runner_v4::auth::{job_id, shown_token};
use crate::runner_v4::error::RunnerV4Error;

/// `POST /api/v4/jobs/:id/artifacts`: stores a file of the job, one of each type.
///
/// 201, also for the same bytes again; 400 for other bytes of the same type, for a type and a format
/// that do not fit, or without a file; 401 without a token; 403 for another token, or a job that is
/// over; 413 beyond the limit.
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
        // A client that is still sending would take a closed connection for a broken one.
        body.drain().await;
    }
    answer
}

async fn receive(farm: &Farm, id: &str, http: &HttpRequest, mut form: Multipart) -> Answer {
    let job = farm
        .active_job_access(job_id(id)?, &shown_token(http)?)
        .await?;
    let query = UploadParams::of_query(http);
    let mut fields = UploadParams::default();
    let file = find_file(&mut form, &mut fields).await?;
    let mut file = file.ok_or(RunnerV4Error::Missing("file"))?;
    let filename = file_name(&file);
    let received = farm.receive_archive(&job, &mut file).await?;
    drop(file);
    // What the file is may be told after it.
    let told: Result<_, RunnerV4Error> = async {
        read_rest(&mut form, &mut fields).await?;
        let params = query.or(&fields);
        Ok((params.kind()?, params.keep()?))
    }
    .await;
    match told {
        Ok((kind, keep)) => {
            farm.put_file_once(&job, received, kind, filename, keep)
                .await?;
            Ok(HttpResponse::Created().json(201))
        }
        Err(error) => {
            farm.drop_archive(received).await;
            Err(error)
        }
    }
}

/// `GET /api/v4/jobs/:id/artifacts`: the job's archive, for itself and for jobs that need it.
///
/// 200 with its bytes; 401 without a token; 403 for a token that is none of these; 404 without an
/// archive.
pub(crate) async fn download(
    farm: web::Data<Farm>,
    id: web::Path<String>,
    http: HttpRequest,
) -> Answer {
    let token = shown_token(&http)?;
    let archive = farm.archive_for_need(job_id(&id)?, &token).await?;
    let Content::Archive { filename, .. } = &archive.content else {
        return Err(RunnerV4Error::NotFound);
    };
    let content = farm.artifact_content(&archive, None).await?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/octet-stream"))
        .insert_header((
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"{filename}\""),
        ))
        .insert_header((CONTENT_LENGTH, archive.size_bytes))
        .no_chunking(archive.size_bytes)
        .streaming(content))
}
