//! Parameters of requests.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;
use slipway_domain::RunnerToken;
use slipway_farm::Farm;
use slipway_http::{UnreadBody, app_state};

use super::RUNNER_TOKEN;
use super::auth::header;
use super::error::RunnerV4Error;
use crate::params::{read_known_params, read_params, token_in_query};

/// The parameters of a request with a runner's token, in its body or query. A token in the query or
/// the header is checked before the body is read; the handler checks the one that takes precedence.
pub(crate) struct Params<T>(pub(crate) T);

/// The parameters of a request whose token is not a runner's.
pub(crate) struct OpenParams<T>(pub(crate) T);

impl<T: DeserializeOwned + Send + 'static> FromRequest for OpenParams<T> {
    type Error = RunnerV4Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, RunnerV4Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let Ok(body) = UnreadBody::from_request(&request, payload).into_inner();
        Box::pin(async move { Ok(OpenParams(read_params(&request, body).await?)) })
    }
}

impl<T: DeserializeOwned + Send + 'static> FromRequest for Params<T> {
    type Error = RunnerV4Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, RunnerV4Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let Ok(body) = UnreadBody::from_request(&request, payload).into_inner();
        Box::pin(async move {
            let early = token_in_query(&request).or_else(|| header(&request, RUNNER_TOKEN));
            let params = match early {
                Some(token) => {
                    let farm: Farm = app_state(&request);
                    let runner = farm.runner_by_token(&RunnerToken::presented(token)).await?;
                    read_known_params(&request, body, &runner).await?
                }
                None => read_params(&request, body).await?,
            };
            Ok(Params(params))
        })
    }
}
