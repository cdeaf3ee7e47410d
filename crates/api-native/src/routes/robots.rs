//! Robots of namespaces: who pulls base images for builds that name one.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpResponse, delete, get, put};
use slipway_domain::Role;
use slipway_farm::Farm;

use crate::error::ApiError;
use crate::extract::Caller;
use crate::paths::{NamespacePath, RobotPath};
use crate::wire;

type Answer<T> = Result<T, ApiError>;

/// `GET /v1/namespaces/{ns}/robots`: who pulls base images for builds that name it; never the
/// passwords.
///
/// 200; 400 for a name that is none; 401; 403 to lower roles than maintainer; 404 without such a
/// namespace.
#[utoipa::path(tag = "robots", params(NamespacePath), responses((status = 200, body = wire::Listing<wire::Robot>)))]
#[get("/namespaces/{ns}/robots")]
pub(crate) async fn list_robots(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<NamespacePath>,
) -> Answer<Json<wire::Listing<wire::Robot>>> {
    let access = farm.namespace(&caller.0, &path.ns, Role::Maintainer);
    let rows = farm.robots(&access.await?).await?;
    let items = rows.into_iter().map(wire::Robot::from);
    Ok(Json(wire::Listing::whole(items.collect())))
}

/// `PUT /v1/namespaces/{ns}/robots/{robot}`: sets a robot, in the place of an earlier one of its
/// name.
///
/// 200; 400 for a name, a registry or a password that is none; 401; 403 to lower roles than
/// maintainer; 404 without such a namespace.
#[utoipa::path(tag = "robots", params(RobotPath), request_body = wire::NewRobot, responses((status = 200, body = wire::Robot)))]
#[put("/namespaces/{ns}/robots/{robot}")]
pub(crate) async fn set_robot(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<RobotPath>,
    body: Json<wire::NewRobot>,
) -> Answer<Json<wire::Robot>> {
    let access = farm.namespace(&caller.0, &path.ns, Role::Maintainer);
    let access = access.await?;
    let set = farm.set_robot(&access, &path.robot, &body.registry, &body.password);
    Ok(Json(set.await?.into()))
}

/// `DELETE /v1/namespaces/{ns}/robots/{robot}`: removes a robot. Builds that named it go on with
/// what it had.
///
/// 204; 400 for a name that is none; 401; 403 to lower roles than maintainer; 404 without such a
/// namespace or robot.
#[utoipa::path(tag = "robots", params(RobotPath), responses((status = 204)))]
#[delete("/namespaces/{ns}/robots/{robot}")]
pub(crate) async fn remove_robot(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<RobotPath>,
) -> Answer<HttpResponse> {
    let access = farm.namespace(&caller.0, &path.ns, Role::Maintainer);
    farm.delete_robot(&access.await?, &path.robot).await?;
    Ok(HttpResponse::NoContent().finish())
}
