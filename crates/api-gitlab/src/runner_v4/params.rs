//! Parameters of requests.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;

use super::error::RunnerV4Error;
use crate::params::read_params;

/// The parameters of a request, in its body or query.
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
