//! Registers and deletes runners.

use actix_web::{HttpResponse, web};
use slipway_domain::{RegistrationToken, RunnerToken, TagSet};
use slipway_farm::{Farm, FarmError, RunnerRequest};
use slipway_protocol::{RegisterRequest, RegisteredRunner, TokenRequest};

use crate::params::non_empty;
use crate::runner_v1::Answer;
use crate::runner_v1::convert::about;
use crate::runner_v1::error::RunnerV1Error;
use crate::runner_v1::params::{OpenParams, Params};

/// `POST /ci/api/v1/runners/register[.json]`: registers a runner.
///
/// 201 with its id and token; 400 if the token is missing, or a tag or the description is invalid;
/// 403 if the registration token is unknown; 404 if the runner could never take a job.
pub(crate) async fn register(
    farm: web::Data<Farm>,
    OpenParams(request): OpenParams<RegisterRequest>,
) -> Answer {
    let token = non_empty(request.token).ok_or(RunnerV1Error::MissingParameter("token"))?;
    let tags = TagSet::from_list(request.tag_list.as_deref().unwrap_or_default())
        .map_err(FarmError::from)?;
    let (about, heartbeat) = about(request.info);
    let registering = RunnerRequest {
        description: request.description.unwrap_or_default(),
        tags,
        // Runners before 1.10 do not send it, and take jobs without tags.
        run_untagged: request.run_untagged.unwrap_or(true),
        locked: request.locked.unwrap_or(false),
        heartbeat,
        paused: false,
        about,
    };
    let (runner, token) = farm
        .register_runner(&RegistrationToken::presented(token), registering)
        .await?;
    Ok(HttpResponse::Created().json(RegisteredRunner {
        id: runner.id.0,
        token: token.expose().to_owned(),
    }))
}

/// `DELETE /ci/api/v1/runners/delete[.json]`: deletes the runner with this token.
///
/// 200; 400 if the token is missing; 403 if it is unknown.
pub(crate) async fn delete(farm: web::Data<Farm>, Params(request): Params<TokenRequest>) -> Answer {
    let token = non_empty(request.token).ok_or(RunnerV1Error::MissingParameter("token"))?;
    let runner = farm.runner_by_token(&RunnerToken::presented(token)).await?;
    farm.unregister_runner(&runner).await?;
    // Not 204, which every v1 runner reports as a failure.
    Ok(HttpResponse::Ok().finish())
}
