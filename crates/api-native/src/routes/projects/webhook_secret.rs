//! The secret that signs the push webhooks of a project.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, delete, put};
use slipway_domain::Role;
use slipway_farm::{Farm, HookSecret};

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extractors::JsonBody;
use crate::wire;
use crate::wire::paths::ProjectPath;

/// Sets the secret that signs the push webhooks of a project.
///
/// From then on the project does not accept webhooks that are signed with the secret of the farm.
///
/// Status: 204; 400 if a name in the path or the secret is invalid; 401 without a valid token; 403
/// if the caller's role is below maintainer; 404 if the project does not exist.
#[utoipa::path(
    tag = "webhooks",
    params(ProjectPath),
    request_body = wire::NewHookSecret,
    responses((status = 204))
)]
#[put("/projects/{ns}/{name}/webhook-secret")]
pub(crate) async fn set_hook_secret(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    body: JsonBody<wire::NewHookSecret>,
) -> ApiResult<HttpResponse> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    let secret = HookSecret::new(&body.secret)?;
    farm.set_hook_secret(&access, &secret).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Deletes the secret that signs the push webhooks of a project.
///
/// Status: 204; 400 if a name in the path is invalid; 401 without a valid token; 403 if the
/// caller's role is below maintainer; 404 if the project does not exist, or has no secret of its
/// own.
#[utoipa::path(tag = "webhooks", params(ProjectPath), responses((status = 204)))]
#[delete("/projects/{ns}/{name}/webhook-secret")]
pub(crate) async fn remove_hook_secret(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
) -> ApiResult<HttpResponse> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    farm.delete_hook_secret(&access).await?;
    Ok(HttpResponse::NoContent().finish())
}
