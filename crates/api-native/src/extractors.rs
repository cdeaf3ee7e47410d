//! The extractor of JSON bodies, and the errors of the others in the format of this API.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::error::{PathError, QueryPayloadError};
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;
use slipway_http::{UnreadBody, is_json, media_type};

use crate::auth::Caller;
use crate::error::ApiError;

/// The largest accepted JSON body, in bytes.
const MAX_JSON: usize = 1 << 20;

/// Makes invalid paths and queries answer with an [`ApiError`].
pub(crate) fn configure(cfg: &mut web::ServiceConfig) {
    let path = web::PathConfig::default().error_handler(|error, _| {
        let why = match error {
            PathError::Deserialize(error) => error.to_string(),
            _ => "the path cannot be read".to_owned(),
        };
        ApiError::Malformed(why).into()
    });
    let query = web::QueryConfig::default().error_handler(|error, _| {
        let why = match error {
            QueryPayloadError::Deserialize(error) => format!("invalid query: {error}"),
            _ => "the query cannot be read".to_owned(),
        };
        ApiError::Malformed(why).into()
    });
    cfg.app_data(path).app_data(query);
}

/// The JSON body of an authenticated caller.
pub(crate) struct JsonBody<T>(T);

impl<T> JsonBody<T> {
    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for JsonBody<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for JsonBody<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: DeserializeOwned + Send + 'static> FromRequest for JsonBody<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let caller = Caller::from_request(request, payload).into_inner();
        let Ok(body) = UnreadBody::from_request(request, payload).into_inner();
        let is_json = media_type(request.headers()).is_some_and(|kind| is_json(&kind));
        Box::pin(async move {
            let caller = caller?;
            if !is_json {
                return Err(ApiError::NotJson);
            }
            let mut body = body.read(&caller.0, MAX_JSON).await?;
            match body.json().await? {
                Ok(value) => Ok(Self(value)),
                Err(error) => Err(ApiError::Malformed(format!("invalid body: {error}"))),
            }
        })
    }
}
