//! Runners and their managers: registration, verification, token resets and deletion.

use actix_web::{HttpRequest, HttpResponse, web};
use slipway_domain::{AccessToken, RegistrationToken, Role, RunnerId, TagSet};
use slipway_farm::{Farm, FarmError, ManagerInfo, RunnerRequest};

use crate::params::non_empty;
use crate::runner_v4::Answer;
use crate::runner_v4::auth::{authenticated, header};
use crate::runner_v4::convert::about;
use crate::runner_v4::error::RunnerV4Error;
use crate::runner_v4::params::{OpenParams, Params};
use crate::runner_v4::wire::{NewToken, RegisterRequest, RegisteredRunner, RunnerIdentity};

/// `POST /api/v4/runners`: registers a runner.
///
/// 201 with its id and token; 400 if the token is missing, if a tag or the description is invalid,
/// or if the runner could never take a job; 403 if the registration token is unknown.
pub(crate) async fn register(
    farm: web::Data<Farm>,
    OpenParams(request): OpenParams<RegisterRequest>,
) -> Answer {
    let token = non_empty(request.token).ok_or(RunnerV4Error::MissingParameter("token"))?;
    let tags = TagSet::from_list(request.tag_list.as_deref().unwrap_or_default())
        .map_err(FarmError::from)?;
    let paused = request
        .paused
        .or(request.active.map(|active| !active))
        .unwrap_or(false);
    let registering = RunnerRequest {
        description: request.description.unwrap_or_default(),
        tags,
        run_untagged: request.run_untagged.unwrap_or(true),
        // The default of GitLab; in v1 it is false.
        locked: request.locked.unwrap_or(true),
        heartbeat: false,
        paused,
        about: about(&request.info.unwrap_or_default()),
    };
    let (runner, token) = farm
        .register_runner(&RegistrationToken::presented(token), registering)
        .await?;
    Ok(HttpResponse::Created().json(RegisteredRunner {
        id: runner.id.0,
        token: token.expose().to_owned(),
        token_expires_at: None,
    }))
}

/// `POST /api/v4/runners/verify`: checks a runner's token, and records the manager that sent it.
///
/// 200 with the runner's id and token; 400 if the token is missing; 403 if it is unknown.
pub(crate) async fn verify(
    farm: web::Data<Farm>,
    http: HttpRequest,
    Params(request): Params<RunnerIdentity>,
) -> Answer {
    let (runner, token) = authenticated(&farm, &http, request.token).await?;
    let process = ManagerInfo {
        // Runners before 15.8 do not send it.
        system_id: non_empty(request.system_id),
        graceful: false,
    };
    farm.record_manager_contact(&runner, &process, None).await?;
    Ok(HttpResponse::Ok().json(RegisteredRunner {
        id: runner.id.0,
        token: token.expose().to_owned(),
        token_expires_at: None,
    }))
}

/// `DELETE /api/v4/runners`: deletes the runner with this token.
///
/// 204; 400 if the token is missing; 403 if it is unknown.
pub(crate) async fn unregister(
    farm: web::Data<Farm>,
    http: HttpRequest,
    Params(request): Params<RunnerIdentity>,
) -> Answer {
    let (runner, _) = authenticated(&farm, &http, request.token).await?;
    farm.unregister_runner(&runner).await?;
    // Not 200, which `gitlab-runner unregister` reports as a failure.
    Ok(HttpResponse::NoContent().finish())
}

/// `DELETE /api/v4/runners/managers`: deletes one manager of a runner, and keeps the runner.
///
/// 204; 400 if the token or `system_id` is missing; 403 if the token is unknown; 404 if the runner
/// has no such manager.
pub(crate) async fn delete_manager(
    farm: web::Data<Farm>,
    http: HttpRequest,
    Params(request): Params<RunnerIdentity>,
) -> Answer {
    let (runner, _) = authenticated(&farm, &http, request.token).await?;
    let system_id =
        non_empty(request.system_id).ok_or(RunnerV4Error::MissingParameter("system_id"))?;
    farm.remove_manager(&runner, &system_id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /api/v4/runners/reset_authentication_token`: replaces the runner's token. The old
/// one stops working at once.
///
/// 201 with the new token; 400 if the token is missing; 403 if it is unknown.
pub(crate) async fn reset_token(
    farm: web::Data<Farm>,
    http: HttpRequest,
    Params(request): Params<RunnerIdentity>,
) -> Answer {
    let (runner, old) = authenticated(&farm, &http, request.token).await?;
    let token = farm.renew_runner_token(&runner, &old).await?;
    Ok(new_token(token.expose()))
}

/// `POST /api/v4/runners/:id/reset_authentication_token`: replaces a runner's token, for a user who
/// maintains it.
///
/// 201 with the new token; 403 if the user's token or the id is invalid, or the user does not
/// maintain the runner.
pub(crate) async fn reset_token_as_user(
    farm: web::Data<Farm>,
    http: HttpRequest,
    id: web::Path<String>,
) -> Answer {
    let token = header(&http, "PRIVATE-TOKEN").ok_or(FarmError::BadToken)?;
    let actor = farm.authenticate(&AccessToken::presented(token)).await?;
    let id: RunnerId = id.parse().map_err(|_| FarmError::BadToken)?;
    let found = farm.runner(&actor, id, Role::Maintainer).await;
    let runner = found.map_err(|error| match error {
        // Users must not learn which ids exist.
        FarmError::NotFound(_) => FarmError::BadToken,
        other => other,
    })?;
    let token = farm.replace_runner_token(&runner).await?;
    Ok(new_token(token.expose()))
}

/// `GET /api/v4/runners/router/discovery`: the job router is not supported.
///
/// 501, which runners read as "not available".
pub(crate) async fn discover_router() -> HttpResponse {
    HttpResponse::NotImplemented().json(crate::error::message("501 Not Implemented"))
}

fn new_token(token: &str) -> HttpResponse {
    HttpResponse::Created().json(NewToken {
        token: token.to_owned(),
        token_expires_at: None,
    })
}
