//! Authentication of runners and jobs.

use actix_web::HttpRequest;
use slipway_domain::{JobId, JobToken, RunnerToken};
use slipway_farm::{Farm, FarmError, Runner};
use slipway_http::note_known_sender;

use super::error::RunnerV4Error;
use super::{JOB_TOKEN, RUNNER_TOKEN};
use crate::params::non_empty;

/// The runner with the token of a request, and that token. The parameter `token` takes precedence
/// over the header.
///
/// # Errors
/// `MissingParameter` if the token is missing; `BadToken` if it is unknown.
pub(crate) async fn authenticated(
    farm: &Farm,
    http: &HttpRequest,
    parameter: Option<String>,
) -> Result<(Runner, RunnerToken), RunnerV4Error> {
    let token = non_empty(parameter).or_else(|| header(http, RUNNER_TOKEN));
    let token = RunnerToken::presented(token.ok_or(RunnerV4Error::MissingParameter("token"))?);
    let runner = farm.runner_by_token(&token).await?;
    note_known_sender(http, &runner);
    Ok((runner, token))
}

/// The job token of a request, from a parameter or from the header.
pub(crate) fn job_token(http: &HttpRequest, parameter: Option<String>) -> Option<JobToken> {
    let token = non_empty(parameter).or_else(|| header(http, JOB_TOKEN));
    token.map(JobToken::presented)
}

/// The value of a header; `None` if it is missing, empty or not text.
pub(crate) fn header(http: &HttpRequest, name: &str) -> Option<String> {
    non_empty(slipway_http::header(http, name).map(str::to_owned))
}

/// The job id in a path.
///
/// # Errors
/// `BadToken` if it is invalid: this protocol answers 403 for unknown jobs, so that runners abort
/// them.
pub(crate) fn job_id(segment: &str) -> Result<JobId, RunnerV4Error> {
    let id = segment.parse().ok().filter(|id: &JobId| id.0 > 0);
    id.ok_or_else(|| FarmError::BadToken.into())
}

/// The job token in the `JOB-TOKEN` header.
///
/// # Errors
/// `MissingJobToken`.
pub(crate) fn job_token_header(http: &HttpRequest) -> Result<JobToken, RunnerV4Error> {
    job_token(http, None).ok_or(RunnerV4Error::MissingJobToken)
}
