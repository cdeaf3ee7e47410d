//! Authentication of every request, before anything else of it is looked at: without a valid token a
//! client does not even learn that its body is malformed.

use std::future::{Ready, ready};

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::HeaderMap;
use actix_web::middleware::Next;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use slipway_domain::AccessToken;
use slipway_farm::{Actor, Farm, FarmError};
use slipway_http::{Query, app_data, bearer_or_password};

use crate::error::ApiError;

/// Paths that need no token.
const PUBLIC_PATHS: [&str; 3] = [
    "/v1/openapi.json",
    "/v1/docs",
    "/v1/schemas/slipway.yml.json",
];

/// The caller of a request that [`require_token`] let through.
pub(crate) struct Caller(pub(crate) Actor);

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let actor = request.extensions().get::<Actor>().cloned();
        ready(actor.map(Caller).ok_or(ApiError::Farm(FarmError::BadToken)))
    }
}

/// Middleware that answers 401 to every request without a valid token, except to public paths.
pub(crate) async fn require_token(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    if !PUBLIC_PATHS.contains(&request.path()) {
        match actor(&request).await {
            Ok(actor) => request.extensions_mut().insert(actor),
            // A response and not an error: the middleware around this one completes responses.
            Err(error) => return Ok(request.error_response(error).map_into_right_body()),
        };
    }
    Ok(next.call(request).await?.map_into_left_body())
}

async fn actor(request: &ServiceRequest) -> Result<Actor, ApiError> {
    let token = find_token(request.headers(), request.query_string());
    let token = token.ok_or(FarmError::BadToken)?;
    let farm: &Farm = app_data(request.request());
    Ok(farm.authenticate(&token).await?)
}

/// The token of a request: the header `Private-Token`, a bearer token, the password of a basic
/// login, or the query parameter `private_token`.
fn find_token(headers: &HeaderMap, query: &str) -> Option<AccessToken> {
    let from_header = || {
        let value = headers.get("private-token")?.to_str().ok()?;
        Some(value.to_owned())
    };
    let from_query = || {
        Query::parse(query)
            .first("private_token")
            .map(str::to_owned)
    };
    // The first of these places counts, even if the token in it is empty.
    from_header()
        .or_else(|| bearer_or_password(headers))
        .or_else(from_query)
        .filter(|token| !token.is_empty())
        .map(AccessToken::presented)
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
        find_token(&map, query).map(|token| token.expose().to_owned())
    }

    #[test]
    fn tokens_are_found_in_headers_and_in_the_query() {
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
