//! The caller, the caller's tokens, and logins on their way to a command line.

use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use serde_json::json;
use slipway_domain::tokens::LoginCode;
use slipway_domain::{AccessToken, Role, TokenId};
use slipway_farm::{FarmError, Page, Token, TokenRequest, is_session_token};

use crate::body::Fields;
use crate::call::{Anybody, Call, PREFIX};
use crate::convert;
use crate::problem::{Answer, Problem};

/// The largest body of JSON that is read here, in bytes.
const MAX_JSON: usize = 1 << 20;
/// The most tokens that are listed.
const MAX_TOKENS: i64 = 10_000;

/// `GET /api/v0/user`: the caller.
///
/// 200; 401.
pub(crate) async fn read(call: Call) -> Answer {
    let name = call.actor.name();
    let personal = call.farm.namespace(&call.actor, name, Role::Owner).await;
    let personal = personal
        .ok()
        .map(|access| access.namespace().name.to_string());
    Ok(HttpResponse::Ok().json(json!({
        "uuid": call.farm.user_uuid(call.actor.user),
        // The farm knows no addresses of people, and clients expect one.
        "email": format!("{name}@users.invalid"),
        "name": name,
        "personal_org_slug": personal,
    })))
}

/// `GET /api/v0/user/api-tokens`: the caller's tokens, newest first, without those of sessions.
///
/// 200; 401.
pub(crate) async fn list_tokens(call: Call) -> Answer {
    let tokens = own_tokens(&call).await?;
    let tokens: Vec<_> = tokens.iter().map(convert::token).collect();
    Ok(HttpResponse::Ok().json(json!({ "api_tokens": tokens })))
}

async fn own_tokens(call: &Call) -> Result<Vec<Token>, Problem> {
    let page = Page {
        before: None,
        limit: MAX_TOKENS,
    };
    let mut tokens = call.farm.tokens(&call.actor, page).await?;
    tokens.retain(|token| !is_session_token(token));
    Ok(tokens)
}

/// `POST /api/v0/user/api-tokens`: makes a token that does what the one that is used does, and tells
/// it this once.
///
/// 201; 400, 413 and 415 for a body that is none; 401; 403 to tokens that may not; 422.
pub(crate) async fn create_token(call: Call, payload: web::Payload) -> Answer {
    let fields = Fields::read(&call.http, payload, MAX_JSON, Problem::TokenInvalid).await?;
    let expires_at: Option<DateTime<Utc>> = match fields.text("expires_at")? {
        None => None,
        Some(text) => {
            let time = text.parse();
            Some(time.map_err(|_| fields.wrong("expires_at is no time with an offset"))?)
        }
    };
    let request = TokenRequest {
        name: fields.needed("description")?.to_owned(),
        scopes: call.actor.scopes().clone(),
        expires_at,
    };
    let made = call.farm.create_token(&call.actor, request).await;
    let (token, plain) = made.map_err(token_invalid)?;
    Ok(HttpResponse::Created().json(json!({
        "token": format!("{PREFIX}{}", plain.expose()),
        "api_token": convert::token(&token),
    })))
}

/// `DELETE /api/v0/user/api-tokens/{id}`: revokes one of the caller's tokens.
///
/// 204; 401; 403 to tokens that may not; 404.
pub(crate) async fn revoke_token(call: Call) -> Answer {
    let id = call.http.match_info().get("id").unwrap_or_default();
    let id: TokenId = id.parse().map_err(|_| Problem::NoToken)?;
    let tokens = own_tokens(&call).await?;
    if !tokens.iter().any(|token| token.id == id) {
        return Err(Problem::NoToken);
    }
    let revoked = call.farm.revoke_token(&call.actor, id).await;
    revoked.map_err(|error| match error {
        FarmError::NotFound(_) => Problem::NoToken,
        error => error.into(),
    })?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /api/v0/auth/logout`: revokes the token that is used.
///
/// 204; 401.
pub(crate) async fn log_out(call: Call) -> Answer {
    let token = call.actor.token();
    call.farm.revoke_token(&call.actor, token).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /api/v0/auth/cli/code`: a code for the caller's login, to be carried to a command line.
///
/// 200; 401; 403 to tokens that may not.
pub(crate) async fn make_code(call: Call) -> Answer {
    let code = call.farm.create_login_code(&call.actor).await?;
    Ok(HttpResponse::Ok().json(json!({ "code": code.expose() })))
}

/// `POST /api/v0/auth/cli/transfer`: leaves the caller's login to a command line that waits for it.
///
/// 204; 400, 413 and 415 for a body that is none; 401; 403 to tokens that may not; 422.
pub(crate) async fn transfer(call: Call, payload: web::Payload) -> Answer {
    let fields = Fields::read(&call.http, payload, MAX_JSON, Problem::TokenInvalid).await?;
    let left = call.farm.offer_login(&call.actor, fields.needed("nonce")?);
    left.await.map_err(token_invalid)?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /api/v0/auth/cli/redeem`: the token of a new session for a code. Without a token.
///
/// 200; 400 when the code leads to no login, or for a body that is none; 413 and 415.
pub(crate) async fn redeem(anybody: Anybody, payload: web::Payload) -> Answer {
    let code = given(&anybody, payload, "code").await?;
    let token = anybody.farm.redeem_login(&LoginCode::presented(code)).await;
    opened(token)
}

/// `POST /api/v0/auth/cli/claim`: the token of a new session for the word that a command line made
/// up. Without a token.
///
/// As [`redeem`].
pub(crate) async fn claim(anybody: Anybody, payload: web::Payload) -> Answer {
    let nonce = given(&anybody, payload, "nonce").await?;
    opened(anybody.farm.claim_login(&nonce).await)
}

async fn given(anybody: &Anybody, payload: web::Payload, name: &str) -> Result<String, Problem> {
    let no_code = |_| Problem::CodeInvalid;
    let fields = Fields::read(&anybody.http, payload, MAX_JSON, no_code).await?;
    Ok(fields.needed(name)?.to_owned())
}

fn opened(token: Result<AccessToken, FarmError>) -> Answer {
    match token {
        Ok(token) => Ok(HttpResponse::Ok().json(json!({ "token": token.expose() }))),
        Err(FarmError::BadToken) => Err(Problem::CodeInvalid),
        Err(error) => Err(error.into()),
    }
}

fn token_invalid(error: FarmError) -> Problem {
    match error {
        FarmError::Invalid(why) => Problem::TokenInvalid(why),
        error => error.into(),
    }
}
