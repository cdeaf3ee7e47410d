//! Artifacts of jobs.

use actix_web::http::header::{
    Charset, ContentDisposition, DispositionParam, DispositionType, ExtendedValue,
};
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use futures_util::StreamExt;
use slipway_domain::Role;
use slipway_farm::{Content, Farm, FarmError};

use super::traces::log_error;
use crate::auth::Caller;
use crate::byte_range;
use crate::error::ApiResult;
use crate::wire;
use crate::wire::paths::{ArtifactPath, JobPath};

/// Lists the artifacts of a job.
///
/// Status: 200; 400 if the id is invalid; 401 without a valid token; 404 if the job does not
/// exist.
#[utoipa::path(
    tag = "artifacts",
    params(JobPath),
    responses((status = 200, body = wire::Listing<wire::Artifact>))
)]
#[get("/jobs/{id}/artifacts")]
pub(crate) async fn list_artifacts(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<JobPath>,
) -> ApiResult<Json<wire::Listing<wire::Artifact>>> {
    let (_, job) = farm.job(&caller.0, path.id, Role::Reader).await?;
    let rows = farm.artifacts_of(job.id).await?;
    let items = rows.into_iter().map(wire::Artifact::from).collect();
    Ok(Json(wire::Listing::whole(items)))
}

/// Shows an artifact.
///
/// Status: 200; 400 if the id is invalid; 401 without a valid token; 404 if the artifact does not
/// exist.
#[utoipa::path(
    tag = "artifacts",
    params(ArtifactPath),
    responses((status = 200, body = wire::Artifact))
)]
#[get("/artifacts/{id}")]
pub(crate) async fn get_artifact(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ArtifactPath>,
) -> ApiResult<Json<wire::Artifact>> {
    let (_, artifact) = farm.artifact(&caller.0, path.id, Role::Reader).await?;
    Ok(Json(artifact.into()))
}

/// Downloads the content of an archive or a file.
///
/// The content of an image is in its registry.
///
/// Status: 200; 206 for a `Range`; 400 if the id is invalid, or the artifact is an image; 401
/// without a valid token; 404 if the artifact does not exist; 416 if the range starts at or after
/// the end; 503 if the stored bytes are missing.
#[utoipa::path(
    operation_id = "get_artifact_content",
    tag = "artifacts",
    params(ArtifactPath),
    responses(
        (status = 200, content_type = "application/octet-stream", body = wire::schemas::Bytes),
        (status = 206, content_type = "application/octet-stream", body = wire::schemas::Bytes),
    )
)]
#[get("/artifacts/{id}/content")]
pub(crate) async fn get_content(
    farm: Data<Farm>,
    caller: Caller,
    request: HttpRequest,
    path: Path<ArtifactPath>,
) -> ApiResult<HttpResponse> {
    let (_, artifact) = farm.artifact(&caller.0, path.id, Role::Reader).await?;
    let size = artifact.size_bytes;
    let part = byte_range::requested_range(request.headers(), size)?;
    let content = farm
        .artifact_content(&artifact, Some(part.bytes(size)))
        .await?;
    let filename = match artifact.content {
        Content::Archive { filename, .. } | Content::File { filename, .. } => filename,
        Content::Image { reference, .. } => reference,
    };
    let bytes = content.map(|item| log_error(item.map_err(FarmError::from)));
    Ok(byte_range::range_response(&part, size)
        .content_type("application/octet-stream")
        .insert_header(attachment(filename))
        .streaming(bytes))
}

/// Keeps an artifact forever, so that it no longer expires.
///
/// Status: 200, also if it never expires; 400 if the id is invalid; 401 without a valid token; 403
/// if the caller's role is below developer; 404 if the artifact does not exist, or has expired.
#[utoipa::path(
    tag = "artifacts",
    params(ArtifactPath),
    responses((status = 200, body = wire::Artifact))
)]
#[post("/artifacts/{id}/keep")]
pub(crate) async fn keep_artifact(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ArtifactPath>,
) -> ApiResult<Json<wire::Artifact>> {
    let (access, artifact) = farm.artifact(&caller.0, path.id, Role::Developer).await?;
    let kept = farm.keep_artifact(&access, artifact.id).await?;
    Ok(Json(kept.into()))
}

/// Deletes an artifact.
///
/// An image stays in its registry.
///
/// Status: 204; 400 if the id is invalid; 401 without a valid token; 403 if the caller's role is
/// below developer; 404 if the artifact does not exist.
#[utoipa::path(tag = "artifacts", params(ArtifactPath), responses((status = 204)))]
#[delete("/artifacts/{id}")]
pub(crate) async fn remove_artifact(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ArtifactPath>,
) -> ApiResult<HttpResponse> {
    let (_, artifact) = farm.artifact(&caller.0, path.id, Role::Developer).await?;
    farm.delete_artifact(&artifact).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Makes browsers save the content. They must not show it, because it comes from strangers.
fn attachment(filename: String) -> ContentDisposition {
    // The plain parameter is only defined for ASCII.
    let name = if filename.is_ascii() {
        DispositionParam::Filename(filename)
    } else {
        DispositionParam::FilenameExt(ExtendedValue {
            charset: Charset::Ext("UTF-8".to_owned()),
            language_tag: None,
            value: filename.into_bytes(),
        })
    };
    ContentDisposition {
        disposition: DispositionType::Attachment,
        parameters: vec![name],
    }
}
