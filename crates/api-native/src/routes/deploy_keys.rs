//! What opens the repositories of projects.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpResponse, delete, get, put};
use slipway_domain::Role;
use slipway_farm::Farm;

use crate::error::ApiError;
use crate::extract::Caller;
use crate::paths::ProjectPath;
use crate::wire;

type Answer<T> = Result<T, ApiError>;

/// `GET /v1/projects/{ns}/{name}/deploy-key`: what opens the project's repository; never its secret
/// half.
///
/// 200; 400 for a name that is none; 401; 403 to lower roles than maintainer; 404 without such a
/// project, or when nothing was set.
#[utoipa::path(tag = "deploy keys", params(ProjectPath), responses((status = 200, body = wire::DeployKey)))]
#[get("/projects/{ns}/{name}/deploy-key")]
pub(crate) async fn get_deploy_key(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
) -> Answer<Json<wire::DeployKey>> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    Ok(Json(farm.deploy_key(&access.await?).await?.into()))
}

/// `PUT /v1/projects/{ns}/{name}/deploy-key`: sets what opens the project's repository: a private
/// key for ssh, a fresh one that the farm makes (the answer has its public half, for the server),
/// or a user name and a password for http. It is for the server that the source is on now.
///
/// 200; 400 for a body that is none, a key that is none or has a passphrase, or what does not go
/// with the address of the source; 401; 403 to lower roles than maintainer; 404 without such a
/// project.
#[utoipa::path(tag = "deploy keys", params(ProjectPath), request_body = wire::NewDeployKey, responses((status = 200, body = wire::DeployKey)))]
#[put("/projects/{ns}/{name}/deploy-key")]
pub(crate) async fn set_deploy_key(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    body: Json<wire::NewDeployKey>,
) -> Answer<Json<wire::DeployKey>> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    let access = access.await?;
    let set = farm.set_deploy_key(&access, body.into_inner().try_into()?);
    Ok(Json(set.await?.into()))
}

/// `DELETE /v1/projects/{ns}/{name}/deploy-key`: removes what opens the project's repository.
///
/// 204; 400 for a name that is none; 401; 403 to lower roles than maintainer; 404 without such a
/// project, or when nothing was set.
#[utoipa::path(tag = "deploy keys", params(ProjectPath), responses((status = 204)))]
#[delete("/projects/{ns}/{name}/deploy-key")]
pub(crate) async fn remove_deploy_key(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
) -> Answer<HttpResponse> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    farm.delete_deploy_key(&access.await?).await?;
    Ok(HttpResponse::NoContent().finish())
}
