//! Robots of namespaces: registry accounts that pull base images for the builds that name them.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpResponse, delete, get, put};
use slipway_farm::Farm;

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extractors::JsonBody;
use crate::wire;
use crate::wire::paths::{NamespacePath, RobotPath};

/// Lists the robots of a namespace, without their passwords.
///
/// A robot is a registry account that pulls base images for the builds that name it.
///
/// Status: 200; 400 if a name in the path is invalid; 401 without a valid token; 403 if the
/// caller's role is below maintainer; 404 if the namespace does not exist.
#[utoipa::path(
    tag = "robots",
    params(NamespacePath),
    responses((status = 200, body = wire::Listing<wire::Robot>))
)]
#[get("/namespaces/{ns}/robots")]
pub(crate) async fn list_robots(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<NamespacePath>,
) -> ApiResult<Json<wire::Listing<wire::Robot>>> {
    let access = farm.registry_accounts(&caller.0, &path.ns).await?;
    let rows = farm.robots(&access).await?;
    let items = rows.into_iter().map(wire::Robot::from);
    Ok(Json(wire::Listing::whole(items.collect())))
}

/// Creates a robot, or replaces the one with this name.
///
/// Status: 200; 400 if the name, the registry or the password is invalid; 401 without a valid
/// token; 403 if the caller's role is below maintainer; 404 if the namespace does not exist.
#[utoipa::path(
    tag = "robots",
    params(RobotPath),
    request_body = wire::NewRobot,
    responses((status = 200, body = wire::Robot))
)]
#[put("/namespaces/{ns}/robots/{robot}")]
pub(crate) async fn set_robot(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<RobotPath>,
    body: JsonBody<wire::NewRobot>,
) -> ApiResult<Json<wire::Robot>> {
    let access = farm.registry_accounts(&caller.0, &path.ns).await?;
    let set = farm
        .set_robot(&access, &path.robot, &body.registry, &body.password)
        .await?;
    Ok(Json(set.into()))
}

/// Deletes a robot.
///
/// Builds that already name it keep its login.
///
/// Status: 204; 400 if a name in the path is invalid; 401 without a valid token; 403 if the
/// caller's role is below maintainer; 404 if the namespace or the robot does not exist.
#[utoipa::path(tag = "robots", params(RobotPath), responses((status = 204)))]
#[delete("/namespaces/{ns}/robots/{robot}")]
pub(crate) async fn remove_robot(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<RobotPath>,
) -> ApiResult<HttpResponse> {
    let access = farm.registry_accounts(&caller.0, &path.ns).await?;
    farm.delete_robot(&access, &path.robot).await?;
    Ok(HttpResponse::NoContent().finish())
}
