//! What handlers are given: who calls, and bodies that were read.
//!
//! Who calls is settled before anything else is looked at: a stranger learns nothing, not even that a
//! body is malformed.

use std::future::{Ready, ready};

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::{JsonPayloadError, PathError, QueryPayloadError};
use actix_web::http::header::HeaderMap;
use actix_web::middleware::Next;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use slipway_domain::AccessToken;
use slipway_farm::{Actor, Farm, FarmError};
use slipway_http::{Query, bearer_or_password};

use crate::error::ApiError;

/// The largest body of JSON that is read, in bytes.
const MAX_JSON: usize = 1 << 20;
/// What is served to everybody.
const OPEN: [&str; 3] = [
    "/v1/openapi.json",
    "/v1/docs",
    "/v1/schemas/slipway.yml.json",
];

/// Who is calling.
pub(crate) struct Caller(pub(crate) Actor);

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let actor = request.extensions().get::<Actor>().cloned();
        ready(actor.map(Caller).ok_or(ApiError::Farm(FarmError::BadToken)))
    }
}

/// Lets nobody past without a token that works, whatever the route.
pub(crate) async fn authenticated(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    if !OPEN.contains(&request.path()) {
        let token = presented(request.headers(), request.query_string());
        let token = token.ok_or(ApiError::Farm(FarmError::BadToken))?;
        let farm = request.app_data::<web::Data<Farm>>();
        let farm = farm.ok_or_else(|| unavailable("the farm is not there"))?;
        let actor = farm.authenticate(&token).await.map_err(ApiError::from)?;
        request.extensions_mut().insert(actor);
    }
    next.call(request).await
}

fn unavailable(why: &str) -> ApiError {
    ApiError::Farm(FarmError::Unavailable(why.to_owned()))
}

/// The token of a request, in any of the places where clients put one.
fn presented(headers: &HeaderMap, query: &str) -> Option<AccessToken> {
    let private = headers.get("private-token");
    let private = private.and_then(|value| value.to_str().ok());
    let from_query = || {
        Query::parse(query)
            .first("private_token")
            .map(str::to_owned)
    };
    private
        .map(str::to_owned)
        .or_else(|| bearer_or_password(headers))
        .or_else(from_query)
        .filter(|token| !token.is_empty())
        .map(AccessToken::presented)
}

/// How what cannot be read is answered: in the shape of all errors.
pub(crate) fn configure_extractors(cfg: &mut web::ServiceConfig) {
    let json = web::JsonConfig::default()
        .limit(MAX_JSON)
        .error_handler(|error, _| bad_json(&error).into());
    let path = web::PathConfig::default().error_handler(|error, _| {
        let why = match error {
            PathError::Deserialize(error) => error.to_string(),
            _ => "the path cannot be read".to_owned(),
        };
        ApiError::Malformed(why).into()
    });
    let query = web::QueryConfig::default().error_handler(|error, _| {
        let why = match error {
            QueryPayloadError::Deserialize(error) => format!("in the query, {error}"),
            _ => "the query cannot be read".to_owned(),
        };
        ApiError::Malformed(why).into()
    });
    cfg.app_data(json).app_data(path).app_data(query);
}

fn bad_json(error: &JsonPayloadError) -> ApiError {
    match error {
        JsonPayloadError::ContentType => ApiError::NotJson,
        JsonPayloadError::Overflow { limit }
        | JsonPayloadError::OverflowKnownLength { limit, .. } => {
            ApiError::BodyTooLarge { limit: *limit }
        }
        JsonPayloadError::Deserialize(error) => {
            ApiError::Malformed(format!("the body is not what is expected: {error}"))
        }
        _ => ApiError::Malformed("the body cannot be read".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header;

    use super::*;

    fn token(headers: &[(&'static str, &'static str)], query: &str) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = header::HeaderName::from_static(name);
            map.insert(name, header::HeaderValue::from_static(value));
        }
        presented(&map, query).map(|token| token.expose().to_owned())
    }

    #[test]
    fn a_token_is_found_wherever_clients_put_it() {
        let found = Some("slpat-1".to_owned());
        assert_eq!(token(&[("private-token", "slpat-1")], ""), found);
        assert_eq!(token(&[("authorization", "bearer slpat-1")], ""), found);
        // "me:slpat-1"
        let basic = ("authorization", "Basic bWU6c2xwYXQtMQ==");
        assert_eq!(token(&[basic], ""), found);
        assert_eq!(token(&[], "a=b&private_token=slpat-1"), found);
        for (name, value) in [
            ("authorization", "Basic ???"),
            ("authorization", "Digest slpat-1"),
            ("authorization", "slpat-1"),
            ("private-token", ""),
        ] {
            assert_eq!(token(&[(name, value)], ""), None, "{value}");
        }
        assert_eq!(token(&[], "private_token="), None);
    }
}
