//! Triggers of projects, and what they start.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use serde::Serialize;
use serde_json::json;
use slipway_domain::{GitRef, Role, TriggerToken};
use slipway_farm::{BuildVariables, Farm, FarmError, ProjectAccess, Trigger};

use crate::builds_v3::auth::{Call, OpenCall, project_key};
use crate::builds_v3::error::V3Error;
use crate::builds_v3::page::PageOf;
use crate::builds_v3::{Answer, at, read};
use crate::convert::timestamp;

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            at("/projects/{id}/triggers")
                .route(read().to(list))
                .route(web::post().to(create)),
        )
        .service(
            at("/projects/{id}/triggers/{token}")
                .route(read().to(one))
                .route(web::delete().to(remove)),
        )
        .service(at("/projects/{id}/trigger/builds").route(web::post().to(fire)))
        .service(at("/projects/{id}/ref/{ref:.+}/trigger/builds").route(web::post().to(fire_ref)));
}

/// A trigger with its token.
#[derive(Serialize)]
struct Shown {
    token: String,
    created_at: String,
    updated_at: String,
    deleted_at: Option<String>,
    last_used: Option<String>,
    id: i64,
}

fn shown(farm: &Farm, trigger: &Trigger) -> Shown {
    let changed = trigger.revoked_at.or(trigger.last_used_at);
    Shown {
        token: farm.trigger_token(trigger.id).expose().to_owned(),
        created_at: timestamp(trigger.created_at),
        updated_at: timestamp(changed.unwrap_or(trigger.created_at)),
        deleted_at: trigger.revoked_at.map(timestamp),
        last_used: trigger.last_used_at.map(timestamp),
        id: trigger.id.0,
    }
}

/// `GET /projects/:id/triggers`: the triggers of a project.
///
/// 200; 400 for a page that is none; 401; 403 to lower roles than master; 404 without such a
/// project.
async fn list(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let page = PageOf::of(&call)?;
    let access = call.project(&path, Role::Maintainer).await?;
    let triggers = farm.triggers(&access).await?;
    let shown: Vec<Shown> = triggers.iter().map(|row| shown(&farm, row)).collect();
    Ok(page.cut(&call, &shown))
}

/// `POST /projects/:id/triggers`: makes a trigger.
///
/// 201; 401; 403 to lower roles than master; 404 without such a project.
async fn create(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let access = call.project(&path, Role::Maintainer).await?;
    let description = call.params.given("description").unwrap_or_default();
    let made = farm.create_trigger(&call.actor, &access, description);
    Ok(HttpResponse::Created().json(shown(&farm, &made.await?)))
}

/// `GET /projects/:id/triggers/:token`: one trigger.
///
/// 200; 401; 403 to lower roles than master; 404 without such a project or trigger.
async fn one(farm: web::Data<Farm>, call: Call, path: web::Path<(String, String)>) -> Answer {
    let (_, trigger) = found(&farm, &call, path).await?;
    Ok(HttpResponse::Ok().json(shown(&farm, &trigger)))
}

/// `DELETE /projects/:id/triggers/:token`: revokes a trigger.
///
/// 200 with the trigger; 401; 403 to lower roles than master; 404 without such a project or
/// trigger.
async fn remove(farm: web::Data<Farm>, call: Call, path: web::Path<(String, String)>) -> Answer {
    let (access, trigger) = found(&farm, &call, path).await?;
    let revoked = farm.revoke_trigger(&access, trigger.id).await?;
    Ok(HttpResponse::Ok().json(shown(&farm, &revoked)))
}

async fn found(
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

/// `POST /projects/:id/trigger/builds`: builds the branch or tag `ref`, with `variables[K]=V` for
/// its jobs alone. Whoever has the trigger's `token` may; nobody is asked who that is.
///
/// 201 with the pipeline's id and the variables; 400 for variables that are none, without a token
/// or a ref, and `No builds created` when there is no such ref or builds are off; 401 for the
/// trigger of another project; 404 for an unknown project or token.
async fn fire(farm: web::Data<Farm>, call: OpenCall, path: web::Path<String>) -> Answer {
    let git_ref = call.params.required("ref")?;
    start(&farm, &call, &path, git_ref).await
}

/// `POST /projects/:id/ref/:ref/trigger/builds`: the same, with the ref in the path.
///
/// As the other.
async fn fire_ref(
    farm: web::Data<Farm>,
    call: OpenCall,
    path: web::Path<(String, String)>,
) -> Answer {
    let (id, git_ref) = path.into_inner();
    start(&farm, &call, &id, &git_ref).await
}

async fn start(farm: &Farm, call: &OpenCall, id: &str, git_ref: &str) -> Answer {
    let token = TriggerToken::presented(call.params.required("token")?);
    let missing = |error| match error {
        // A stranger learns nothing more of a project than of anything else that is not there.
        FarmError::NotFound(_) => V3Error::NotFound,
        other => other.into(),
    };
    let project = project_key(id).map_err(|_| V3Error::NotFound)?;
    let triggering = farm.triggering(project, &token).await.map_err(missing)?;
    let variables = variables(call)?;
    let git_ref: GitRef = git_ref.parse().map_err(|_| V3Error::NoBuilds)?;
    let fired = farm.fire(triggering, git_ref, variables.clone()).await;
    let build = fired.map_err(|error| match error {
        FarmError::Invalid(_) | FarmError::Forbidden(_) | FarmError::NotFound(_) => {
            V3Error::NoBuilds
        }
        other => other.into(),
    })?;
    let answer = json!({ "id": build.id, "variables": variables.expose() });
    Ok(HttpResponse::Created().json(answer))
}

/// The variables of a call, which are a map of texts.
fn variables(call: &OpenCall) -> Result<BuildVariables, V3Error> {
    if call.params.given("variables").is_some() {
        return Err(V3Error::bad_request("variables needs to be a hash"));
    }
    let given = call.params.members("variables");
    let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let given: BTreeMap<String, String> = given.into_iter().map(own).collect();
    Ok(BuildVariables::new(given)?)
}
