//! Who calls, and what the path names. Who calls is settled before anything else is looked at.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest};
use percent_encoding::percent_decode_str;
use slipway_domain::AccessToken;
use slipway_farm::{Actor, BuildIdentity, Farm, FarmError};
use slipway_http::{app_state, bearer_or_password};
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
    let farm: Farm = app_state(&request);
    if !request.headers().contains_key(AUTHORIZATION) {
        return Ok(None);
    }
    let token = bearer_or_password(request.headers()).filter(|token| !token.is_empty());
    let token = AccessToken::presented(token.ok_or(FarmError::BadToken)?);
    Ok(Some(farm.authenticate(&token).await?))
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

#[cfg(test)]
mod tests {
    use super::*;

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
