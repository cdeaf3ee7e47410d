//! Artifacts.

use actix_web::http::header::{
    Charset, ContentDisposition, DispositionParam, DispositionType, ExtendedValue,
};
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use futures_util::StreamExt;
use slipway_domain::Role;
use slipway_farm::{Content, Farm, FarmError};

use crate::error::ApiError;
use crate::extract::Caller;
use crate::paths::{ArtifactPath, JobPath};
use crate::range;
use crate::routes::traces::logged;
use crate::wire;

type Answer<T> = Result<T, ApiError>;

/// `GET /v1/jobs/{id}/artifacts`: the artifacts of a job.
///
/// 200; 400 for an id that is none; 401; 404 without such a job.
#[utoipa::path(tag = "artifacts", params(JobPath), responses((status = 200, body = wire::Listing<wire::Artifact>)))]
#[get("/jobs/{id}/artifacts")]
pub(crate) async fn list_artifacts(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<JobPath>,
) -> Answer<Json<wire::Listing<wire::Artifact>>> {
    let (_, job) = farm.job(&caller.0, path.id, Role::Reader).await?;
    let rows = farm.artifacts_of(job.id).await?;
    let items = rows.into_iter().map(wire::Artifact::from).collect();
    Ok(Json(wire::Listing::whole(items)))
}

/// `GET /v1/artifacts/{id}`: one artifact.
///
/// 200; 400 for an id that is none; 401; 404 without such an artifact.
#[utoipa::path(tag = "artifacts", params(ArtifactPath), responses((status = 200, body = wire::Artifact)))]
#[get("/artifacts/{id}")]
pub(crate) async fn get_artifact(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ArtifactPath>,
) -> Answer<Json<wire::Artifact>> {
    let (_, artifact) = farm.artifact(&caller.0, path.id, Role::Reader).await?;
    Ok(Json(artifact.into()))
}

/// `GET /v1/artifacts/{id}/content`: the bytes of an archive.
///
/// 200; 206 for a `Range`; 400 for an id that is none, or for an image, whose bytes are in its
/// registry; 401; 404 without such an artifact; 416 when the range begins at or beyond the end.
#[utoipa::path(
    tag = "artifacts",
    params(ArtifactPath),
    responses(
        (status = 200, content_type = "application/octet-stream", body = Vec<u8>),
        (status = 206, content_type = "application/octet-stream", body = Vec<u8>),
        (status = 416, body = wire::ErrorBody),
    )
)]
#[get("/artifacts/{id}/content")]
pub(crate) async fn get_content(
    farm: Data<Farm>,
    caller: Caller,
    request: HttpRequest,
    path: Path<ArtifactPath>,
) -> Answer<HttpResponse> {
    let (_, artifact) = farm.artifact(&caller.0, path.id, Role::Reader).await?;
    let size = artifact.size_bytes;
    let part = range::asked_for(request.headers(), size)?;
    let content = farm.artifact_content(&artifact, Some(part.bytes(size)));
    let content = content.await?;
    let filename = match artifact.content {
        Content::Archive { filename, .. } | Content::File { filename, .. } => filename,
        Content::Image { reference, .. } => reference,
    };
    let bytes = content.map(|item| logged(item.map_err(FarmError::from)));
    Ok(range::answer(&part, size)
        .content_type("application/octet-stream")
        .insert_header(attachment(filename))
        .streaming(bytes))
}

/// `POST /v1/artifacts/{id}/keep`: keeps an artifact for ever that would have expired.
///
/// 200, also for one that never does; 400 for an id that is none; 401; 403 to lower roles than
/// developer; 404 without such an artifact, or when it has expired already.
#[utoipa::path(tag = "artifacts", params(ArtifactPath), responses((status = 200, body = wire::Artifact)))]
#[post("/artifacts/{id}/keep")]
pub(crate) async fn keep_artifact(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ArtifactPath>,
) -> Answer<Json<wire::Artifact>> {
    let (access, artifact) = farm.artifact(&caller.0, path.id, Role::Developer).await?;
    let kept = farm.keep_artifact(&access, artifact.id).await?;
    Ok(Json(kept.into()))
}

/// `DELETE /v1/artifacts/{id}`: removes an artifact; an image stays in its registry.
///
/// 204; 400 for an id that is none; 401; 403 to lower roles than developer; 404 without such an
/// artifact.
#[utoipa::path(tag = "artifacts", params(ArtifactPath), responses((status = 204)))]
#[delete("/artifacts/{id}")]
pub(crate) async fn remove_artifact(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ArtifactPath>,
) -> Answer<HttpResponse> {
    let (_, artifact) = farm.artifact(&caller.0, path.id, Role::Developer).await?;
    farm.delete_artifact(&artifact).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Has a browser save the bytes, never show them: they were made by strangers.
fn attachment(filename: String) -> ContentDisposition {
    let name = match filename.is_ascii() {
        true => DispositionParam::Filename(filename),
        false => DispositionParam::FilenameExt(ExtendedValue {
            charset: Charset::Ext("UTF-8".to_owned()),
            language_tag: None,
            value: filename.into_bytes(),
        }),
    };
    ContentDisposition {
        disposition: DispositionType::Attachment,
        parameters: vec![name],
    }
}
