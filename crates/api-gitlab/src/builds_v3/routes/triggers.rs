//! Triggers of projects, and starting builds with them.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use serde_json::json;
use slipway_domain::{RefName, Role, TriggerToken};
use slipway_farm::{BuildVariables, Farm, FarmError, ProjectAccess, Trigger, TriggerAccess};

use crate::builds_v3::auth::{Call, OpenCall, project_key};
use crate::builds_v3::error::V3Error;
use crate::builds_v3::page::PageRequest;
use crate::builds_v3::params::Params;
use crate::builds_v3::{Answer, at, convert, read, wire};

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            at("/projects/{id}/triggers", "GET, HEAD, POST")
                .route(read().to(list))
                .route(web::post().to(create)),
        )
        .service(
            at("/projects/{id}/triggers/{token}", "GET, HEAD, DELETE")
                .route(read().to(get))
                .route(web::delete().to(delete)),
        )
        .service(at("/projects/{id}/trigger/builds", "POST").route(web::post().to(fire)))
        .service(
            at("/projects/{id}/ref/{ref:.+}/trigger/builds", "POST")
                .route(web::post().to(fire_ref)),
        );
}

/// A trigger, with its token.
fn with_token(farm: &Farm, trigger: &Trigger) -> wire::Trigger {
    convert::trigger(trigger, &farm.trigger_token(trigger))
}

/// `GET /projects/:id/triggers`: lists the triggers of a project.
///
/// 200; 400 if `page` is invalid; 401; 403 for roles below master; 404 if the project does not
/// exist.
async fn list(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let page = PageRequest::from_call(&call)?;
    let access = call.project(&path, Role::Maintainer).await?;
    let triggers = farm.triggers(&access).await?;
    let list: Vec<_> = triggers
        .iter()
        .map(|trigger| with_token(&farm, trigger))
        .collect();
    Ok(page.answer_part(&call, &list))
}

/// `POST /projects/:id/triggers`: creates a trigger.
///
/// 201; 401; 403 for roles below master; 404 if the project does not exist.
async fn create(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let access = call.project(&path, Role::Maintainer).await?;
    let description = call.params.non_empty("description").unwrap_or_default();
    let created = farm.create_trigger(&call.actor, &access, description);
    Ok(HttpResponse::Created().json(with_token(&farm, &created.await?)))
}

/// `GET /projects/:id/triggers/:token`: one trigger.
///
/// 200; 401; 403 for roles below master; 404 if the project or trigger does not exist.
async fn get(farm: web::Data<Farm>, call: Call, path: web::Path<(String, String)>) -> Answer {
    let (_, trigger) = find_trigger(&farm, &call, path).await?;
    Ok(HttpResponse::Ok().json(with_token(&farm, &trigger)))
}

/// `DELETE /projects/:id/triggers/:token`: revokes a trigger.
///
/// 200 with the trigger; 401; 403 for roles below master; 404 if the project or trigger does not
/// exist.
async fn delete(farm: web::Data<Farm>, call: Call, path: web::Path<(String, String)>) -> Answer {
    let (access, trigger) = find_trigger(&farm, &call, path).await?;
    let revoked = farm.revoke_trigger(&access, trigger.id).await?;
    Ok(HttpResponse::Ok().json(with_token(&farm, &revoked)))
}

/// The trigger in a path, for a master of its project.
async fn find_trigger(
    farm: &Farm,
    call: &Call,
    path: web::Path<(String, String)>,
) -> Result<(ProjectAccess, Trigger), V3Error> {
    let (id, token) = path.into_inner();
    let access = call.project(&id, Role::Maintainer).await?;
    let token = TriggerToken::presented(token);
    let trigger = farm.trigger_by_token(&access, &token).await?;
    Ok((access, trigger))
}

/// `POST /projects/:id/trigger/builds`: builds the branch or tag `ref`. `variables[K]=V` are
/// variables for this build only. The trigger's `token` is the only authentication.
///
/// 201 with the pipeline's id and the variables; 400 if a variable is invalid, or the token or the
/// ref is missing; 400 `No builds created` if the ref does not exist or builds are disabled; 401 if
/// the trigger belongs to another project; 404 if the project or token is unknown.
async fn fire(farm: web::Data<Farm>, call: OpenCall, path: web::Path<String>) -> Answer {
    start(&farm, call, &path, None).await
}

/// `POST /projects/:id/ref/:ref/trigger/builds`: builds the branch or tag in the path.
///
/// Answers as `POST /projects/:id/trigger/builds`.
async fn fire_ref(
    farm: web::Data<Farm>,
    call: OpenCall,
    path: web::Path<(String, String)>,
) -> Answer {
    let (id, git_ref) = path.into_inner();
    start(&farm, call, &id, Some(&git_ref)).await
}

/// The largest body with the token inside, in bytes: all variables that a build may have, in the longest
/// notation.
const MAX_UNKNOWN_BYTES: usize = 512 << 10;

async fn start(farm: &Farm, call: OpenCall, id: &str, git_ref: Option<&str>) -> Answer {
    // A token in the query is checked before the body is read.
    let params = match call.query.non_empty("token") {
        Some(token) => {
            let triggering = triggering(farm, id, token).await?;
            call.params_of(&triggering).await?
        }
        None => call.params(MAX_UNKNOWN_BYTES).await?,
    };
    let git_ref = git_ref.map_or_else(|| params.required("ref"), Ok)?;
    let triggering = triggering(farm, id, params.required("token")?).await?;
    let variables = variables(&params)?;
    let git_ref: RefName = git_ref.parse().map_err(|_| V3Error::NoBuilds)?;
    let started = farm.fire(triggering, git_ref, variables.clone()).await;
    let build = started.map_err(|error| match error {
        FarmError::Invalid(_) | FarmError::Forbidden(_) | FarmError::NotFound(_) => {
            V3Error::NoBuilds
        }
        other => other.into(),
    })?;
    let answer = json!({ "id": build.id, "variables": variables.expose() });
    Ok(HttpResponse::Created().json(answer))
}

/// Checks a trigger's token for the project in a path.
///
/// # Errors
/// `NotFound` if either is unknown. A caller without a valid token must not learn whether the project
/// exists, so that this replaces `404 Project Not Found`.
async fn triggering(farm: &Farm, id: &str, token: &str) -> Result<TriggerAccess, V3Error> {
    let project = project_key(id).map_err(|_| V3Error::NotFound)?;
    let found = farm
        .triggering(project, &TriggerToken::presented(token))
        .await;
    found.map_err(|error| match error {
        FarmError::NotFound(_) => V3Error::NotFound,
        other => other.into(),
    })
}

/// The parameter `variables`, an object whose values are texts.
fn variables(params: &Params) -> Result<BuildVariables, V3Error> {
    // A plain value would otherwise be ignored, and the build would start without it.
    if params.non_empty("variables").is_some() {
        return Err(V3Error::bad_request("variables needs to be a hash"));
    }
    let variables: BTreeMap<String, String> = params
        .members("variables")
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    Ok(BuildVariables::new(variables)?)
}
