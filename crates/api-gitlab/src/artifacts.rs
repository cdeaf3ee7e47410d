//! Archives: up, down and away; and the package that a job builds.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::{Stream, StreamExt, TryStreamExt};
use serde::Deserialize;
use slipway_farm::{Content, Farm, FarmError, FileKind};

use crate::convert;
use crate::error::RunnerV1Error;
use crate::runner_v1::{job_id, job_token};

type Answer = Result<HttpResponse, RunnerV1Error>;

/// The longest value of a form field that is not the archive.
const MAX_FIELD: usize = 4096;
/// How much of a refused upload is read: more than that is not a client that means well.
const MAX_DRAIN: u64 = 4 << 30;
/// What an archive is called whose sender gave it no name.
const DEFAULT_NAME: &str = "artifacts.zip";

/// The parameters of an upload, from the query or from fields of the form. A token counts only
/// before the file, as nobody's bytes are stored unasked.
#[derive(Default, Deserialize)]
#[serde(default)]
struct UploadParams {
    expire_in: Option<String>,
    /// Ours: what the file is for, and how it is packed; the archive when absent.
    artifact_type: Option<String>,
    artifact_format: Option<String>,
    /// The token of the form; the query's is looked for where all requests have it.
    #[serde(skip)]
    field_token: Option<String>,
}

/// The body of a request, shared by the form that is read from it and whoever reads what the form
/// left of it.
#[derive(Clone)]
struct SharedBody(Rc<RefCell<Payload>>);

impl Stream for SharedBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(cx)
    }
}

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
    let mut body = SharedBody(Rc::new(RefCell::new(body.into_inner())));
    let form = Multipart::new(http.headers(), body.clone());
    let answer = receive(&farm, &id, &http, form).await;
    if answer.is_err() {
        // A client that is still sending would take a closed connection for a broken one, and send
        // everything again.
        drain(&mut body).await;
    }
    answer
}

/// Throws away what is left of a body, up to [`MAX_DRAIN`].
async fn drain(body: &mut SharedBody) {
    let mut drained = 0;
    while drained < MAX_DRAIN
        && let Some(Ok(bytes)) = body.next().await
    {
        drained += bytes.len() as u64;
    }
}

async fn receive(farm: &Farm, id: &str, http: &HttpRequest, mut form: Multipart) -> Answer {
    let id = job_id(id).ok_or(RunnerV1Error::NotFound)?;
    let query = web::Query::<UploadParams>::from_query(http.query_string());
    let mut params = query.map(web::Query::into_inner).unwrap_or_default();
    let file = find_file(&mut form, &mut params).await;
    // Only the holder of the token is told what is wrong with the form.
    let job = farm
        .uploading_job(id, &job_token(http, params.field_token.take()))
        .await
        .map_err(not_running)?;
    let mut file = file?.ok_or(RunnerV1Error::MissingFile)?;
    let filename = file_name(&file);
    let kind = FileKind::named(
        params.artifact_type.as_deref().unwrap_or_default(),
        params.artifact_format.as_deref().unwrap_or_default(),
    )?;
    // What is known to be wrong is told before all bytes have come.
    expires_in(params.expire_in.as_deref())?;
    let received = farm.receive_archive(&job, &mut file).await?;
    drop(file);
    let rest = read_rest(&mut form, &mut params).await;
    match rest.and_then(|()| expires_in(params.expire_in.as_deref())) {
        Ok(keep) => farm
            .put_file(&job, received, kind, filename, keep)
            .await
            .map_err(not_running)?,
        Err(error) => {
            farm.drop_archive(received).await;
            return Err(error);
        }
    };
    let claimed = farm.claimed_job(id).await?;
    Ok(HttpResponse::Created().json(convert::payload(&claimed)))
}

/// Reads the form up to the file, which the caller reads.
async fn find_file(
    form: &mut Multipart,
    params: &mut UploadParams,
) -> Result<Option<Field>, RunnerV1Error> {
    while let Some(mut field) = form.try_next().await.map_err(bad_form)? {
        match field.name() {
            Some("token") => params.field_token = Some(short_text(&mut field).await?),
            Some("expire_in") => params.expire_in = Some(short_text(&mut field).await?),
            Some("file") => return Ok(Some(field)),
            _ => {}
        }
    }
    Ok(None)
}

/// Reads what follows the file.
async fn read_rest(form: &mut Multipart, params: &mut UploadParams) -> Result<(), RunnerV1Error> {
    while let Some(mut field) = form.try_next().await.map_err(bad_form)? {
        if field.name() == Some("expire_in") {
            params.expire_in = Some(short_text(&mut field).await?);
        }
    }
    Ok(())
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

fn bad_form(error: MultipartError) -> RunnerV1Error {
    match error {
        // No form at all: to the client, the file is what is missing.
        MultipartError::ContentTypeMissing
        | MultipartError::ContentTypeParse
        | MultipartError::ContentTypeIncompatible => RunnerV1Error::MissingFile,
        other => RunnerV1Error::BadRequest(other.to_string()),
    }
}

async fn short_text(field: &mut Field) -> Result<String, RunnerV1Error> {
    let mut text = Vec::new();
    while let Some(chunk) = field.try_next().await.map_err(bad_form)? {
        if text.len() + chunk.len() > MAX_FIELD {
            return Err(RunnerV1Error::BadRequest(format!(
                "a field is longer than {MAX_FIELD} bytes"
            )));
        }
        text.extend_from_slice(&chunk);
    }
    String::from_utf8(text)
        .map_err(|_| RunnerV1Error::BadRequest("a field is not UTF-8".to_owned()))
}

/// The name the sender gave, without directories and without what a header could not carry.
fn file_name(field: &Field) -> String {
    let given = field
        .content_disposition()
        .and_then(|disposition| disposition.get_filename());
    let base = given
        .unwrap_or_default()
        .rsplit(['/', '\\'])
        .next()
        .unwrap_or_default();
    let clean: String = base
        .chars()
        .filter(|c| !c.is_control() && !"\"'`;$%*?<>|&".contains(*c))
        .take(255)
        .collect();
    match clean.trim_matches(['.', ' ']) {
        "" => DEFAULT_NAME.to_owned(),
        name => name.to_owned(),
    }
}

fn expires_in(text: Option<&str>) -> Result<Option<TimeDelta>, RunnerV1Error> {
    match text.filter(|text| !text.trim().is_empty()) {
        None => Ok(None),
        Some(text) => match slipway_domain::expiry::parse(text) {
            Some(duration) => Ok(Some(duration)),
            None => Err(RunnerV1Error::BadRequest(
                "expire_in is not a duration such as \"7 days\" or \"2 hrs 20 min\"".to_owned(),
            )),
        },
    }
}
