//! The tokens that requests show.

use slipway_domain::RunnerToken;
use slipway_farm::{Farm, FarmError, Runner};

use super::error::RunnerV1Error;
use crate::params::given;

pub(crate) async fn authenticated(
    farm: &Farm,
    token: Option<String>,
) -> Result<Runner, RunnerV1Error> {
    let token = given(token).ok_or(FarmError::BadToken)?;
    Ok(farm.runner_by_token(&RunnerToken::presented(token)).await?)
}
