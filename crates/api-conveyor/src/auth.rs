//! Authentication. Extractors run before a handler looks at the path or the body.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest};
use slipway_domain::AccessToken;
use slipway_farm::{Actor, Farm, FarmError};
use slipway_http::{app_state, bearer_or_password};

use crate::error::ConveyorError;

/// The authenticated caller. Without credentials the request fails with 401.
pub(crate) struct Caller(pub(crate) Actor);

/// The caller, or `None` for a request without an `Authorization` header. Invalid credentials still
/// fail with 401.
pub(crate) struct OptionalCaller(pub(crate) Option<Actor>);

type Extracted<T> = Pin<Box<dyn Future<Output = Result<T, ConveyorError>>>>;

impl FromRequest for Caller {
    type Error = ConveyorError;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let actor = actor(request.clone());
        Box::pin(async move { Ok(Self(actor.await?.ok_or(FarmError::BadToken)?)) })
    }
}

impl FromRequest for OptionalCaller {
    type Error = ConveyorError;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let actor = actor(request.clone());
        Box::pin(async move { Ok(Self(actor.await?)) })
    }
}

async fn actor(request: HttpRequest) -> Result<Option<Actor>, FarmError> {
    let farm: Farm = app_state(&request);
    if !request.headers().contains_key(AUTHORIZATION) {
        return Ok(None);
    }
    // `curl -n` sends a login, so the token is a password and the user name does not matter.
    let token = bearer_or_password(request.headers()).filter(|token| !token.is_empty());
    let token = AccessToken::presented(token.ok_or(FarmError::BadToken)?);
    Ok(Some(farm.authenticate(&token).await?))
}
