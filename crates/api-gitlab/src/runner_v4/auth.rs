//! What requests say, wherever they say it, and the tokens they show.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;
use slipway_domain::{JobId, JobToken, RunnerToken};
use slipway_farm::{Farm, FarmError, Runner};

use super::error::RunnerV4Error;
use super::{JOB_TOKEN, RUNNER_TOKEN};
use crate::params::given;
use crate::params::read_params;

/// The parameters of a request: the body's first, and those of the query that it lacks.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned + 'static> FromRequest for Params<T> {
    type Error = RunnerV4Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, RunnerV4Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move { Ok(Params(read_params(&request, payload).await?)) })
    }
}

/// The runner whose token a request shows, and that token.
///
/// # Errors
/// A missing parameter without one; `BadToken` for an unknown one.
pub(crate) async fn authenticated(
    farm: &Farm,
    http: &HttpRequest,
    member: Option<String>,
) -> Result<(Runner, RunnerToken), RunnerV4Error> {
    let token = given(member).or_else(|| header(http, RUNNER_TOKEN));
    let token = RunnerToken::presented(token.ok_or(RunnerV4Error::Missing("token"))?);
    Ok((farm.runner_by_token(&token).await?, token))
}

/// The token of a job that a request shows, in a member or in the header.
pub(crate) fn job_token(http: &HttpRequest, member: Option<String>) -> Option<JobToken> {
    let token = given(member).or_else(|| header(http, JOB_TOKEN));
    token.map(JobToken::presented)
}

/// A header with something in it.
pub(crate) fn header(http: &HttpRequest, name: &str) -> Option<String> {
    given(slipway_http::header(http, name).map(str::to_owned))
}

/// The job of a path. No token is good for what cannot be one.
pub(crate) fn job_id(segment: &str) -> Result<JobId, RunnerV4Error> {
    let id = segment.parse().ok().filter(|id: &JobId| id.0 > 0);
    id.ok_or_else(|| FarmError::BadToken.into())
}

/// The token of a job that must be shown in the header.
pub(crate) fn shown_token(http: &HttpRequest) -> Result<JobToken, RunnerV4Error> {
    job_token(http, None).ok_or(RunnerV4Error::NoToken)
}
