//! Triggers: tokens that start builds of one project, and do nothing else.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpResponse, delete, get, post};
use slipway_domain::Role;
use slipway_farm::{Farm, Trigger};

use crate::error::ApiError;
use crate::extract::Caller;
use crate::paths::{ProjectPath, TriggerPath};
use crate::wire;

type Answer<T> = Result<T, ApiError>;

/// `GET /v1/projects/{ns}/{name}/triggers`: a project's triggers, with their tokens.
///
/// 200; 400 for a name that is none; 401; 403 to lower roles than maintainer; 404 without such a
/// project.
#[utoipa::path(tag = "triggers", params(ProjectPath), responses((status = 200, body = wire::Listing<wire::Trigger>)))]
#[get("/projects/{ns}/{name}/triggers")]
pub(crate) async fn list_triggers(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
) -> Answer<Json<wire::Listing<wire::Trigger>>> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    let rows = farm.triggers(&access.await?).await?;
    let items = rows.iter().map(|row| shown(&farm, row)).collect();
    Ok(Json(wire::Listing::whole(items)))
}

/// `POST /v1/projects/{ns}/{name}/triggers`: makes a trigger. It starts builds in the name of the
/// caller, as long as the caller may.
///
/// 201; 400 for a body that is none; 401; 403 to lower roles than maintainer; 404 without such a
/// project.
#[utoipa::path(tag = "triggers", params(ProjectPath), request_body = wire::NewTrigger, responses((status = 201, body = wire::Trigger)))]
#[post("/projects/{ns}/{name}/triggers")]
pub(crate) async fn create_trigger(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    body: Json<wire::NewTrigger>,
) -> Answer<HttpResponse> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    let access = access.await?;
    let made = farm.create_trigger(&caller.0, &access, &body.description);
    Ok(HttpResponse::Created().json(shown(&farm, &made.await?)))
}

/// `DELETE /v1/projects/{ns}/{name}/triggers/{id}`: revokes a trigger; builds that it started go
/// on.
///
/// 204; 400 for an id that is none; 401; 403 to lower roles than maintainer; 404 without such a
/// project or trigger.
#[utoipa::path(tag = "triggers", params(TriggerPath), responses((status = 204)))]
#[delete("/projects/{ns}/{name}/triggers/{id}")]
pub(crate) async fn revoke_trigger(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<TriggerPath>,
) -> Answer<HttpResponse> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    farm.revoke_trigger(&access.await?, path.id).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn shown(farm: &Farm, trigger: &Trigger) -> wire::Trigger {
    wire::Trigger {
        id: trigger.id.0,
        description: trigger.description.clone(),
        token: farm.trigger_token(trigger.id).expose().to_owned(),
        created_at: trigger.created_at,
        last_used_at: trigger.last_used_at,
    }
}
