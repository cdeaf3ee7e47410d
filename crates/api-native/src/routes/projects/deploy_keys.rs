//! Deploy keys: the credentials with which runners fetch the repository of a project.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpResponse, delete, get, put};
use slipway_domain::Role;
use slipway_farm::Farm;

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extractors::JsonBody;
use crate::wire;
use crate::wire::paths::ProjectPath;

/// Shows the deploy key of a project, without its secret half.
///
/// Status: 200; 400 if a name in the path is invalid; 401 without a valid token; 403 if the
/// caller's role is below maintainer; 404 if the project does not exist, or has no deploy key.
#[utoipa::path(
    tag = "deploy keys",
    params(ProjectPath),
    responses((status = 200, body = wire::DeployKey))
)]
#[get("/projects/{ns}/{name}/deploy-key")]
pub(crate) async fn get_deploy_key(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
) -> ApiResult<Json<wire::DeployKey>> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    Ok(Json(farm.deploy_key(&access).await?.into()))
}

/// Sets the credentials with which the repository of a project is fetched.
///
/// The body has one of three forms: a private key for ssh; `generate`, for a new key whose public
/// half is in the response; or a user name and a password for http. The credentials are sent only
/// to the server on which the repository is now.
///
/// Status: 200; 400 if the body is invalid, the key is invalid or has a passphrase, or the
/// credentials do not fit the repository URL; 401 without a valid token; 403 if the caller's role
/// is below maintainer; 404 if the project does not exist.
#[utoipa::path(
    tag = "deploy keys",
    params(ProjectPath),
    request_body = wire::NewDeployKey,
    responses((status = 200, body = wire::DeployKey))
)]
#[put("/projects/{ns}/{name}/deploy-key")]
pub(crate) async fn set_deploy_key(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    body: JsonBody<wire::NewDeployKey>,
) -> ApiResult<Json<wire::DeployKey>> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    let set = farm
        .set_deploy_key(&access, body.into_inner().try_into()?)
        .await?;
    Ok(Json(set.into()))
}

/// Deletes the deploy key of a project.
///
/// Status: 204; 400 if a name in the path is invalid; 401 without a valid token; 403 if the
/// caller's role is below maintainer; 404 if the project does not exist, or has no deploy key.
#[utoipa::path(tag = "deploy keys", params(ProjectPath), responses((status = 204)))]
#[delete("/projects/{ns}/{name}/deploy-key")]
pub(crate) async fn remove_deploy_key(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
) -> ApiResult<HttpResponse> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    farm.delete_deploy_key(&access).await?;
    Ok(HttpResponse::NoContent().finish())
}
