//! Who calls, and what the path names. Who calls is settled before anything else is looked at.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap};
use actix_web::{FromRequest, HttpRequest, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use percent_encoding::percent_decode_str;
use slipway_domain::AccessToken;
use slipway_farm::{Actor, BuildIdentity, Farm, FarmError};
use uuid::Uuid;

use crate::error::ConveyorError;

/// Who is calling.
pub(crate) struct Caller(pub(crate) Actor);

/// Who is calling, if that one says so. A credential that does not work is refused all the same.
pub(crate) struct PerhapsCaller(pub(crate) Option<Actor>);

type Extracted<T> = Pin<Box<dyn Future<Output = Result<T, ConveyorError>>>>;

impl FromRequest for Caller {
    type Error = ConveyorError;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let actor = actor(request.clone());
        Box::pin(async move { Ok(Self(actor.await?.ok_or(FarmError::BadToken)?)) })
    }
}

impl FromRequest for PerhapsCaller {
    type Error = ConveyorError;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let actor = actor(request.clone());
        Box::pin(async move { Ok(Self(actor.await?)) })
    }
}

async fn actor(request: HttpRequest) -> Result<Option<Actor>, FarmError> {
    let Some(farm) = request.app_data::<web::Data<Farm>>() else {
        unreachable!("the routes are served with a farm");
    };
    if !request.headers().contains_key(AUTHORIZATION) {
        return Ok(None);
    }
    let token = presented(request.headers()).ok_or(FarmError::BadToken)?;
    let actor = farm.authenticate(&AccessToken::presented(token)).await?;
    Ok(Some(actor))
}

/// The token of a request: the password of a basic login, whoever it says it is, or a bearer.
fn presented(headers: &HeaderMap) -> Option<String> {
    let (scheme, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned()).filter(|token| !token.is_empty());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let login = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (_, password) = login.split_once(':')?;
    Some(password.to_owned()).filter(|token| !token.is_empty())
}

/// What the end of a path names: a UUID, or `owner/name@sha`, in which `@` and `/` may be encoded.
/// What is neither is the name of nothing.
pub(crate) fn identity(request: &HttpRequest) -> Result<BuildIdentity, ConveyorError> {
    let raw = request.match_info().get("identity").unwrap_or_default();
    read_identity(raw).ok_or(ConveyorError::NotThere)
}

fn read_identity(raw: &str) -> Option<BuildIdentity> {
    let text = percent_decode_str(raw).decode_utf8().ok()?;
    if let Ok(commit) = text.parse() {
        return Some(BuildIdentity::Commit(commit));
    }
    // Only the usual form, so that nothing has two names.
    let uuid = Uuid::try_parse(&text).ok()?;
    (text.len() == 36).then_some(BuildIdentity::Uuid(uuid))
}

/// Reads a whole body of at most `limit` bytes.
pub(crate) async fn read_body(
    headers: &HeaderMap,
    mut payload: web::Payload,
    limit: usize,
) -> Result<Bytes, ConveyorError> {
    let declared = headers.get(CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(ConveyorError::BodyTooLarge { limit });
    }
    let mut body = BytesMut::new();
    while let Some(piece) = payload.next().await {
        let piece = piece
            .map_err(|_| ConveyorError::BadRequest("the body could not be read".to_owned()))?;
        if body.len() + piece.len() > limit {
            return Err(ConveyorError::BodyTooLarge { limit });
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn a_token_is_a_password_or_a_bearer() {
        let token = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            presented(&headers)
        };
        // "me:slpat-1" and ":slpat-1"
        assert_eq!(token("Basic bWU6c2xwYXQtMQ==").as_deref(), Some("slpat-1"));
        assert_eq!(token("basic OnNscGF0LTE=").as_deref(), Some("slpat-1"));
        assert_eq!(token("bearer slpat-1").as_deref(), Some("slpat-1"));
        for bad in [
            "Basic ???",
            "Basic bWU=",
            "Basic bWU6",
            "Bearer ",
            "slpat-1",
            "Digest a",
        ] {
            assert_eq!(token(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_path_names_a_build_by_id_or_by_commit() {
        for same in [
            "acme/my.app@0123abc",
            "acme%2Fmy.app@0123abc",
            "acme/my.app%400123ABC",
        ] {
            let Some(BuildIdentity::Commit(commit)) = read_identity(same) else {
                panic!("{same}");
            };
            assert_eq!(commit.project.to_string(), "acme/my.app");
            assert_eq!(commit.sha.as_str(), "0123abc");
        }
        let uuid = "0190a6d0-0000-7000-8000-000000000001";
        assert!(matches!(read_identity(uuid), Some(BuildIdentity::Uuid(_))));
        for bad in [
            "notauuid",
            "",
            "a/b@short",
            "a%25",
            "0190a6d0000070008000000000000001",
            "%ff",
        ] {
            assert_eq!(read_identity(bad), None, "{bad}");
        }
    }
}
