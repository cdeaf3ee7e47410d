//! Logout, and logins that are handed over from a browser to a command line.

use actix_web::HttpResponse;
use serde_json::json;
use slipway_domain::AccessToken;
use slipway_domain::tokens::LoginCode;
use slipway_farm::FarmError;
use slipway_http::UnreadBody;

use super::user::token_invalid;
use super::{Answer, MAX_JSON};
use crate::auth::{Call, PublicCall};
use crate::error::HarmontError;
use crate::wire::Fields;

/// `POST /api/v0/auth/logout`: revokes the token that is used.
///
/// 204; 401.
pub(super) async fn log_out(call: Call) -> Answer {
    let token = call.actor.token();
    call.farm.revoke_token(&call.actor, token).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /api/v0/auth/cli/code`: creates a code with which a command line can log in as the caller.
///
/// 200; 401; 403 if the token lacks the scope.
pub(super) async fn create_code(call: Call) -> Answer {
    let code = call.farm.create_login_code(&call.actor).await?;
    Ok(HttpResponse::Ok().json(json!({ "code": code.expose() })))
}

/// `POST /api/v0/auth/cli/transfer`: lets the command line that chose a nonce log in as the caller.
///
/// 204; 400, 413 and 415 if the body is invalid; 401; 403 if the token lacks the scope; 422.
pub(super) async fn transfer(call: Call, body: UnreadBody) -> Answer {
    let fields = Fields::read(&call, body, MAX_JSON, HarmontError::TokenInvalid).await?;
    let nonce = fields.required("nonce")?;
    let transferred = call.farm.offer_login(&call.actor, nonce).await;
    transferred.map_err(token_invalid)?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /api/v0/auth/cli/redeem`: exchanges a code for the token of a new session. Without a token.
///
/// 200; 400 if the code is invalid or the body cannot be parsed; 413 and 415.
pub(super) async fn redeem(public: PublicCall, body: UnreadBody) -> Answer {
    let code = field(&public, body, "code").await?;
    let token = public.farm.redeem_login(&LoginCode::presented(code)).await;
    session_token(token)
}

/// `POST /api/v0/auth/cli/claim`: exchanges a nonce that a command line chose for the token of a new
/// session. Without a token.
///
/// Answers like [`redeem`].
pub(super) async fn claim(public: PublicCall, body: UnreadBody) -> Answer {
    let nonce = field(&public, body, "nonce").await?;
    session_token(public.farm.claim_login(&nonce).await)
}

async fn field(public: &PublicCall, body: UnreadBody, name: &str) -> Result<String, HarmontError> {
    // Clients know one error here, whether the code is malformed or wrong.
    let invalid = |_| HarmontError::CodeInvalid;
    let fields = Fields::read_public(public, body, invalid).await?;
    Ok(fields.required(name)?.to_owned())
}

fn session_token(token: Result<AccessToken, FarmError>) -> Answer {
    match token {
        Ok(token) => Ok(HttpResponse::Ok().json(json!({ "token": token.expose() }))),
        Err(FarmError::BadToken) => Err(HarmontError::CodeInvalid),
        Err(error) => Err(error.into()),
    }
}
