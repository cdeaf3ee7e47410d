//! Source archives that a developer uploads and then builds.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, post};
use slipway_domain::Role;
use slipway_farm::Farm;
use slipway_http::UnreadBody;

use crate::auth::Caller;
use crate::convert;
use crate::error::{ApiError, ApiResult};
use crate::wire;
use crate::wire::paths::ProjectPath;

/// Uploads a source archive for a later build.
///
/// The archive is a gzipped tar. It expires after a while unless a build uses it.
///
/// Status: 201 with the id of the archive; 400 if the upload is incomplete; 401 without a valid
/// token; 403 if the caller's role is below developer; 404 if the project does not exist; 413 if
/// the archive is larger than the limit of the farm; 415 if the content type is not
/// `application/gzip`.
#[utoipa::path(
    tag = "builds",
    params(ProjectPath),
    request_body(content = wire::schemas::Bytes, content_type = "application/gzip"),
    responses((status = 201, body = wire::Source))
)]
#[post("/projects/{ns}/{name}/sources")]
pub(crate) async fn create_source(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    request: HttpRequest,
    body: UnreadBody,
) -> ApiResult<HttpResponse> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Developer)
        .await?;
    // Checked after the access: only members learn what the route accepts.
    let content_type = request.headers().get(CONTENT_TYPE);
    if content_type.is_none_or(|value| value != "application/gzip") {
        return Err(ApiError::NotGzip);
    }
    let source = farm
        .take_source(&caller.0, &access, body.stream(&access))
        .await?;
    Ok(HttpResponse::Created().json(convert::source(source)))
}
