//! Sources of somebody's own, sent to be built.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse, post};
use slipway_domain::Role;
use slipway_farm::Farm;

use crate::convert;
use crate::error::ApiError;
use crate::extract::Caller;
use crate::paths::ProjectPath;
use crate::wire;

/// `POST /v1/projects/{ns}/{name}/sources`: takes a gzipped tar that a build can be made of.
///
/// It goes after a while unless a build uses it. 201 with its name; 400 when it does not come
/// whole; 401; 403 to lower roles than developer; 404 without such a project; 413 when it is larger
/// than the farm takes; 415 for another type than `application/gzip`.
#[utoipa::path(tag = "builds", params(ProjectPath), request_body(content = Vec<u8>, content_type = "application/gzip"), responses((status = 201, body = wire::Source)))]
#[post("/projects/{ns}/{name}/sources")]
pub(crate) async fn create_source(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Developer);
    let access = access.await?;
    let content_type = request.headers().get(CONTENT_TYPE);
    if content_type.is_none_or(|value| value != "application/gzip") {
        return Err(ApiError::NotGzip);
    }
    let source = farm.take_source(&caller.0, &access, body).await?;
    Ok(HttpResponse::Created().json(convert::source(source)))
}
