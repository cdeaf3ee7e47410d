//! The caller and the caller's API tokens.

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use slipway_domain::{Role, Scope};
use slipway_farm::{FarmError, MAX_ROWS, Page, Token, TokenRequest, is_session_token};
use slipway_http::UnreadBody;
use uuid::Uuid;

use super::{Answer, MAX_JSON};
use crate::auth::{Call, Generation, TOKEN_PREFIX};
use crate::convert;
use crate::error::HarmontError;
use crate::wire::Fields;

/// The only scope that clients know: a token with it may do everything.
const FULL_SCOPE: &str = "full";

/// `GET /api/v0/user`: the caller.
///
/// 200; 401.
pub(super) async fn read(call: Call) -> Answer {
    let name = call.actor.name();
    let personal = call.farm.namespace(&call.actor, name, Role::Owner).await;
    let personal = personal
        .ok()
        .map(|access| access.namespace().name.to_string());
    let id = match call.generation() {
        Generation::V0 => "uuid",
        Generation::V1 => "id",
    };
    Ok(HttpResponse::Ok().json(json!({
        id: call.farm.user_uuid(call.actor.user),
        // The farm stores no email addresses, and clients require one.
        "email": format!("{name}@users.invalid"),
        "name": name,
        "personal_org_slug": personal,
    })))
}

/// `GET /api/v0/user/api-tokens`: the caller's tokens, newest first, without those of sessions.
///
/// 200; 401.
pub(super) async fn list_tokens(call: Call) -> Answer {
    let tokens = api_tokens(&call).await?;
    let tokens: Vec<_> = tokens.iter().map(|token| shown(&call, token)).collect();
    Ok(HttpResponse::Ok().json(match call.generation() {
        Generation::V0 => json!({ "api_tokens": tokens }),
        Generation::V1 => json!({ "data": tokens, "next_cursor": null }),
    }))
}

async fn api_tokens(call: &Call) -> Result<Vec<Token>, HarmontError> {
    let page = Page {
        before: None,
        limit: MAX_ROWS,
    };
    let mut tokens = call.farm.tokens(&call.actor, page).await?;
    tokens.retain(|token| !is_session_token(token));
    Ok(tokens)
}

/// `POST /api/v0/user/api-tokens`: creates a token with the scopes of the one that is used. The
/// response is the only one that contains the token.
///
/// 201; 400, 413 and 415 if the body is invalid; 401; 403 if the token lacks the scope; 422.
pub(super) async fn create_token(call: Call, body: UnreadBody) -> Answer {
    let fields = Fields::read(&call, body, MAX_JSON, HarmontError::TokenInvalid).await?;
    let expires_at: Option<DateTime<Utc>> = match fields.text("expires_at")? {
        None => None,
        Some(text) => {
            let time = text.parse();
            Some(time.map_err(|_| fields.error("expires_at is not a time with an offset"))?)
        }
    };
    match fields.value("scopes") {
        None => {}
        Some(scopes) if *scopes == json!([FULL_SCOPE]) => {}
        Some(_) => return Err(fields.error("scopes is not [\"full\"]")),
    }
    let request = TokenRequest {
        name: fields.required("description")?.to_owned(),
        scopes: call.actor.scopes().clone(),
        expires_at,
    };
    let created = call.farm.create_token(&call.actor, request).await;
    let (token, plain) = created.map_err(token_invalid)?;
    Ok(HttpResponse::Created().json(json!({
        "token": format!("{TOKEN_PREFIX}{}", plain.expose()),
        "api_token": shown(&call, &token),
    })))
}

/// `DELETE /api/v0/user/api-tokens/{id}`: revokes one of the caller's tokens.
///
/// 204; 401; 403 if the token lacks the scope; 404.
pub(super) async fn revoke_token(call: Call) -> Answer {
    let id = call.http.match_info().get("id").unwrap_or_default();
    let id: Uuid = id.parse().map_err(|_| HarmontError::NoToken)?;
    // A session's token is not in the list, and ends with `logout` only.
    let tokens = api_tokens(&call).await?;
    let named = |token: &&Token| call.farm.token_uuid(token.id) == id;
    let token = tokens.iter().find(named).ok_or(HarmontError::NoToken)?;
    let revoked = call.farm.revoke_token(&call.actor, token.id).await;
    revoked.map_err(|error| match error {
        FarmError::NotFound(_) => HarmontError::NoToken,
        error => error.into(),
    })?;
    Ok(HttpResponse::NoContent().finish())
}

/// A token as the caller's generation shows it, without its secret.
fn shown(call: &Call, token: &Token) -> Value {
    let mut shown = json!(convert::token(token, call.farm.token_uuid(token.id)));
    if call.generation() == Generation::V1 {
        let all: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
        let is_full = token.scopes.includes(Scope::Admin);
        shown["scopes"] = if is_full {
            json!([FULL_SCOPE])
        } else {
            json!(all)
        };
    }
    shown
}

pub(super) fn token_invalid(error: FarmError) -> HarmontError {
    match error {
        FarmError::Invalid(why) => HarmontError::TokenInvalid(why),
        error => error.into(),
    }
}
