//! The life of a runner: made, verified, given another token, removed; and that of its processes.

use actix_web::{HttpRequest, HttpResponse, web};
use slipway_domain::{AccessToken, RegistrationToken, Role, RunnerId, TagSet};
use slipway_farm::{Farm, FarmError, Process, Registering};

use crate::params::given;
use crate::runner_v4::Answer;
use crate::runner_v4::auth::{Params, authenticated, header};
use crate::runner_v4::convert::about;
use crate::runner_v4::error::RunnerV4Error;
use crate::runner_v4::wire::{NewToken, Proof, Registered, Registration};

/// `POST /api/v4/runners`: makes a runner.
///
/// 201 with its id and token; 400 without a token, for tags or texts that are none, or a runner that
/// could never take a job; 403 for an unknown token.
pub(crate) async fn register(
    farm: web::Data<Farm>,
    Params(request): Params<Registration>,
) -> Answer {
    let token = given(request.token).ok_or(RunnerV4Error::Missing("token"))?;
    let tags = TagSet::from_list(request.tag_list.as_deref().unwrap_or_default())
        .map_err(FarmError::from)?;
    let paused = request
        .paused
        .or(request.active.map(|active| !active))
        .unwrap_or(false);
    let registering = Registering {
        description: request.description.unwrap_or_default(),
        tags,
        run_untagged: request.run_untagged.unwrap_or(true),
        locked: request.locked.unwrap_or(true),
        heartbeat: false,
        paused,
        about: about(&request.info.unwrap_or_default()),
    };
    let (runner, token) = farm
        .register_runner(&RegistrationToken::presented(token), registering)
        .await?;
    Ok(HttpResponse::Created().json(Registered {
        id: runner.id.0,
        token: token.expose().to_owned(),
        token_expires_at: None,
    }))
}

/// `POST /api/v4/runners/verify`: tells a runner that it is one, and learns of its process.
///
/// 200 with its id and token; 400 without a token; 403 for an unknown one.
pub(crate) async fn verify(
    farm: web::Data<Farm>,
    http: HttpRequest,
    Params(request): Params<Proof>,
) -> Answer {
    let (runner, token) = authenticated(&farm, &http, request.token).await?;
    let process = Process {
        system_id: given(request.system_id),
        graceful: false,
    };
    farm.note_process(&runner, &process, None).await?;
    Ok(HttpResponse::Ok().json(Registered {
        id: runner.id.0,
        token: token.expose().to_owned(),
        token_expires_at: None,
    }))
}

/// `DELETE /api/v4/runners`: removes the runner whose token is given.
///
/// 204; 400 without a token; 403 for an unknown one.
pub(crate) async fn unregister(
    farm: web::Data<Farm>,
    http: HttpRequest,
    Params(request): Params<Proof>,
) -> Answer {
    let (runner, _) = authenticated(&farm, &http, request.token).await?;
    farm.unregister_runner(&runner).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `DELETE /api/v4/runners/managers`: forgets one process of a runner, which stays.
///
/// 204; 400 without a token or the name of a process; 403 for an unknown token; 404 when the runner
/// has no such process.
pub(crate) async fn remove_manager(
    farm: web::Data<Farm>,
    http: HttpRequest,
    Params(request): Params<Proof>,
) -> Answer {
    let (runner, _) = authenticated(&farm, &http, request.token).await?;
    let system_id = given(request.system_id).ok_or(RunnerV4Error::Missing("system_id"))?;
    farm.remove_manager(&runner, &system_id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /api/v4/runners/reset_authentication_token`: another token in the place of the one shown.
///
/// 201 with it; 400 without a token; 403 for an unknown one.
pub(crate) async fn reset_token(
    farm: web::Data<Farm>,
    http: HttpRequest,
    Params(request): Params<Proof>,
) -> Answer {
    let (runner, old) = authenticated(&farm, &http, request.token).await?;
    let token = farm.renew_runner_token(&runner, &old).await?;
    Ok(created(token.expose()))
}

/// `POST /api/v4/runners/:id/reset_authentication_token`: the same by the token of a user who may
/// change the runner.
///
/// 201 with the new token; 403 for everybody else, and every other id.
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
        FarmError::NotFound(_) => FarmError::BadToken,
        other => other,
    })?;
    let token = farm.replace_runner_token(&runner).await?;
    Ok(created(token.expose()))
}

/// `GET /api/v4/runners/router/discovery`: there is no router here.
///
/// 501, which runners take for that.
pub(crate) async fn discover() -> HttpResponse {
    HttpResponse::NotImplemented().json(crate::error::message("501 Not Implemented"))
}

fn created(token: &str) -> HttpResponse {
    HttpResponse::Created().json(NewToken {
        token: token.to_owned(),
        token_expires_at: None,
    })
}
