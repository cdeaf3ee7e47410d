//! Triggers: tokens that can start builds of one project and do nothing else.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpResponse, delete, get, post};
use slipway_domain::Role;
use slipway_farm::{Farm, Trigger};

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extractors::JsonBody;
use crate::wire;
use crate::wire::paths::{ProjectPath, TriggerPath};

/// Lists the triggers of a project, with their tokens.
///
/// Status: 200; 400 if a name in the path is invalid; 401 without a valid token; 403 if the
/// caller's role is below maintainer; 404 if the project does not exist.
#[utoipa::path(
    tag = "triggers",
    params(ProjectPath),
    responses((status = 200, body = wire::Listing<wire::Trigger>))
)]
#[get("/projects/{ns}/{name}/triggers")]
pub(crate) async fn list_triggers(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
) -> ApiResult<Json<wire::Listing<wire::Trigger>>> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    let rows = farm.triggers(&access).await?;
    let items = rows.iter().map(|row| response(&farm, row)).collect();
    Ok(Json(wire::Listing::whole(items)))
}

/// Creates a trigger, whose token starts builds of the project.
///
/// The builds are created in the name of the caller, and only while the caller may create them.
///
/// Status: 201; 400 if the body is invalid; 401 without a valid token; 403 if the caller's role is
/// below maintainer; 404 if the project does not exist.
#[utoipa::path(
    tag = "triggers",
    params(ProjectPath),
    request_body = wire::NewTrigger,
    responses((status = 201, body = wire::Trigger))
)]
#[post("/projects/{ns}/{name}/triggers")]
pub(crate) async fn create_trigger(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    body: JsonBody<wire::NewTrigger>,
) -> ApiResult<HttpResponse> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    let trigger = farm
        .create_trigger(&caller.0, &access, &body.description)
        .await?;
    Ok(HttpResponse::Created().json(response(&farm, &trigger)))
}

/// Revokes a trigger.
///
/// Builds that it started continue.
///
/// Status: 204; 400 if the id is invalid; 401 without a valid token; 403 if the caller's role is
/// below maintainer; 404 if the project or the trigger does not exist.
#[utoipa::path(tag = "triggers", params(TriggerPath), responses((status = 204)))]
#[delete("/projects/{ns}/{name}/triggers/{id}")]
pub(crate) async fn revoke_trigger(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<TriggerPath>,
) -> ApiResult<HttpResponse> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    farm.revoke_trigger(&access, path.id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The trigger as it is sent. Its token is derived and not stored, so it can be shown again.
fn response(farm: &Farm, trigger: &Trigger) -> wire::Trigger {
    wire::Trigger {
        id: trigger.id.0,
        description: trigger.description.clone(),
        token: farm.trigger_token(trigger).expose().to_owned(),
        created_at: trigger.created_at,
        last_used_at: trigger.last_used_at,
    }
}
