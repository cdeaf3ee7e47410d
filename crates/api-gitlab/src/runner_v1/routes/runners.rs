//! Runners: registering and removing them.

use actix_web::{HttpResponse, web};
use slipway_domain::{RegistrationToken, RunnerToken, TagSet};
use slipway_farm::{Farm, FarmError, Registering};
use slipway_protocol::{RegisterRequest, RegisteredRunner, TokenRequest};

use crate::params::{Params, given};
use crate::runner_v1::Answer;
use crate::runner_v1::convert::about;
use crate::runner_v1::error::RunnerV1Error;

/// `POST /ci/api/v1/runners/register[.json]`: makes a runner.
///
/// 201 with its id and token; 400 without a token, or with tags or texts that are none; 403 for an unknown
/// one; 404 for a runner that could never take a job.
pub(crate) async fn register(
    farm: web::Data<Farm>,
    Params(request): Params<RegisterRequest>,
) -> Answer {
    let token = given(request.token).ok_or(RunnerV1Error::NotGiven("token"))?;
    let tags = TagSet::from_list(request.tag_list.as_deref().unwrap_or_default())
        .map_err(FarmError::from)?;
    let (about, heartbeat) = about(request.info);
    let registering = Registering {
        description: request.description.unwrap_or_default(),
        tags,
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

/// `DELETE /ci/api/v1/runners/delete[.json]`: removes the runner whose token is given.
///
/// 200; 400 without a token; 403 for an unknown one.
pub(crate) async fn delete(farm: web::Data<Farm>, Params(request): Params<TokenRequest>) -> Answer {
    let token = given(request.token).ok_or(RunnerV1Error::NotGiven("token"))?;
    let runner = farm.runner_by_token(&RunnerToken::presented(token)).await?;
    farm.unregister_runner(&runner).await?;
    Ok(HttpResponse::Ok().finish())
}
