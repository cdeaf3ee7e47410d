//! Variables of projects.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpResponse, delete, get, put};
use slipway_domain::Role;
use slipway_farm::Farm;

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extractors::JsonBody;
use crate::wire;
use crate::wire::paths::{ProjectPath, VariablePath};

/// Lists the variables of a project.
///
/// Only public variables are listed with their values.
///
/// Status: 200; 400 if a name in the path is invalid; 401 without a valid token; 403 if the
/// caller's role is below maintainer; 404 if the project does not exist.
#[utoipa::path(
    tag = "variables",
    params(ProjectPath),
    responses((status = 200, body = wire::Listing<wire::Variable>))
)]
#[get("/projects/{ns}/{name}/variables")]
pub(crate) async fn list_variables(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
) -> ApiResult<Json<wire::Listing<wire::Variable>>> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    let rows = farm.variables(&access).await?;
    let items = rows.into_iter().map(wire::Variable::from).collect();
    Ok(Json(wire::Listing::whole(items)))
}

/// Sets a variable of a project.
///
/// The value of a variable that is not public is never shown again, and is masked in traces. With
/// `file`, scripts get the value in a file, and the path of the file in the variable.
///
/// Status: 200; 400 if the name or the value is invalid; 401 without a valid token; 403 if the
/// caller's role is below maintainer; 404 if the project does not exist.
#[utoipa::path(
    tag = "variables",
    params(VariablePath),
    request_body = wire::NewVariable,
    responses((status = 200, body = wire::Variable))
)]
#[put("/projects/{ns}/{name}/variables/{key}")]
pub(crate) async fn set_variable(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<VariablePath>,
    body: JsonBody<wire::NewVariable>,
) -> ApiResult<Json<wire::Variable>> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    let variable = farm.set_variable(&access, &path.key, body.as_new()).await?;
    Ok(Json(variable.into()))
}

/// Deletes a variable of a project.
///
/// Status: 204; 400 if a name in the path is invalid; 401 without a valid token; 403 if the
/// caller's role is below maintainer; 404 if the project or the variable does not exist.
#[utoipa::path(tag = "variables", params(VariablePath), responses((status = 204)))]
#[delete("/projects/{ns}/{name}/variables/{key}")]
pub(crate) async fn remove_variable(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<VariablePath>,
) -> ApiResult<HttpResponse> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    farm.delete_variable(&access, &path.key).await?;
    Ok(HttpResponse::NoContent().finish())
}
