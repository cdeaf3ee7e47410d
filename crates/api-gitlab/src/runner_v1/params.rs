//! Parameters and ids of requests.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;
use slipway_domain::JobId;
use slipway_farm::{Farm, Runner};
use slipway_http::{Body, UNKNOWN_SENDER_BYTES, UnreadBody, app_state};
use slipway_protocol::UpdateRequest;

use super::auth::authenticated;
use super::error::RunnerV1Error;
use crate::params::{
    parse_params, read_body, read_known_params, read_params, token_in_query, token_in_start,
};

/// The parameters of a request with a runner's token, in its body or query. A token in the query is
/// checked before the body is read; the handler checks the one that takes precedence.
pub(crate) struct Params<T>(pub(crate) T);

/// The parameters of a request whose token is not a runner's.
pub(crate) struct OpenParams<T>(pub(crate) T);

type Extracted<T> = Pin<Box<dyn Future<Output = Result<T, RunnerV1Error>>>>;

impl<T: DeserializeOwned + Send + 'static> FromRequest for Params<T> {
    type Error = RunnerV1Error;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let Ok(body) = UnreadBody::from_request(&request, payload).into_inner();
        Box::pin(async move {
            let farm: Farm = app_state(&request);
            let params = match token_in_query(&request) {
                Some(token) => {
                    let runner = authenticated(&farm, &request, Some(token)).await?;
                    read_known_params(&request, body, &runner).await?
                }
                None => read_params(&request, body).await?,
            };
            Ok(Params(params))
        })
    }
}

impl<T: DeserializeOwned + Send + 'static> FromRequest for OpenParams<T> {
    type Error = RunnerV1Error;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let Ok(body) = UnreadBody::from_request(&request, payload).into_inner();
        Box::pin(async move { Ok(OpenParams(read_params(&request, body).await?)) })
    }
}

/// A report and its sender.
pub(crate) struct SentReport {
    pub(crate) runner: Runner,
    pub(crate) request: UpdateRequest,
    /// The body, whose memory is counted until the report is stored: a report has the whole trace.
    pub(crate) body: Body,
}

/// Reads a report. It may be large, because it may have the whole trace. Its token is in the query or in
/// the beginning of the body, so that the rest is read only from a known runner.
///
/// # Errors
/// `BadToken`; those of reading a body.
pub(crate) async fn read_report(
    farm: &Farm,
    http: &HttpRequest,
    mut body: UnreadBody,
) -> Result<SentReport, RunnerV1Error> {
    let token = match token_in_query(http) {
        Some(token) => Some(token),
        None => token_in_start(http, body.read_start().await?),
    };
    let (known, mut body) = match token {
        Some(token) => {
            let runner = authenticated(farm, http, Some(token.clone())).await?;
            let body = read_body(body, &runner).await?;
            (Some((runner, token)), body)
        }
        // The token may be in a form that is read only as a whole, such as a multipart form.
        None => (None, body.read_unknown(UNKNOWN_SENDER_BYTES).await?),
    };
    let request: UpdateRequest = parse_params(http, &mut body).await?;
    let runner = match known {
        Some((runner, token)) if request.token.as_ref() == Some(&token) => runner,
        // The token in the body takes precedence over the one in the query.
        _ => authenticated(farm, http, request.token.clone()).await?,
    };
    Ok(SentReport {
        runner,
        request,
        body,
    })
}

/// The job id in a path, with or without `.json`; `None` if it is invalid. Runners send `-1` as a
/// probe.
pub(crate) fn job_id(segment: &str) -> Option<JobId> {
    let id: JobId = segment
        .strip_suffix(".json")
        .unwrap_or(segment)
        .parse()
        .ok()?;
    (id.0 > 0).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_ids_are_read_with_and_without_a_suffix() {
        assert_eq!(job_id("42.json"), Some(JobId(42)));
        assert_eq!(job_id("42"), Some(JobId(42)));
        for bad in ["-1", "0", "x", "", "4.2", "99999999999999999999"] {
            assert_eq!(job_id(bad), None, "{bad}");
        }
    }
}
