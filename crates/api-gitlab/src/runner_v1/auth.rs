//! Authentication of runners and jobs.

use actix_web::HttpRequest;
use slipway_domain::{JobToken, RunnerToken};
use slipway_farm::{Farm, FarmError, Runner};
use slipway_http::{UnreadBody, note_known_sender};
use slipway_protocol::{JOB_TOKEN_HEADER, TokenRequest};

use super::error::RunnerV1Error;
use crate::params::{non_empty, read_params, token_in_query};

/// The runner with this token.
///
/// # Errors
/// `BadToken` if the token is missing, empty or unknown. A missing one is 403 in this protocol, not
/// 400.
pub(crate) async fn authenticated(
    farm: &Farm,
    http: &HttpRequest,
    token: Option<String>,
) -> Result<Runner, RunnerV1Error> {
    let token = non_empty(token).ok_or(FarmError::BadToken)?;
    let runner = farm.runner_by_token(&RunnerToken::presented(token)).await?;
    note_known_sender(http, &runner);
    Ok(runner)
}

/// The job token of a request whose body may be parameters: JSON, a form or a multipart form.
pub(crate) async fn job_token_in(http: &HttpRequest, body: UnreadBody) -> JobToken {
    if let Some(token) = job_token_outside(http) {
        return token;
    }
    // A body that cannot be read has no token, but the header may have one.
    let params = read_params::<TokenRequest>(http, body).await;
    job_token(http, params.ok().and_then(|params| params.token))
}

/// The job token of a request. The query takes precedence over `field`, a field of the form, and
/// both over the header. A missing token is empty, which is no job's token.
pub(crate) fn job_token(http: &HttpRequest, field: Option<String>) -> JobToken {
    let header = http
        .headers()
        .get(JOB_TOKEN_HEADER)
        .and_then(|value| value.to_str().ok());
    // GitLab looks at parameters before headers.
    let text = token_in_query(http)
        .or_else(|| non_empty(field))
        .or_else(|| header.map(str::to_owned));
    JobToken::presented(text.unwrap_or_default())
}

/// The job token in the query or the header, if there is one: it is checked before the body is read.
pub(crate) fn job_token_outside(http: &HttpRequest) -> Option<JobToken> {
    let token = job_token(http, None);
    (!token.expose().is_empty()).then_some(token)
}
