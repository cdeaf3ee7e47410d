//! Personal access tokens.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, delete, get, post};
use chrono::TimeDelta;
use slipway_domain::{AccessToken, ScopeSet};
use slipway_farm::{Farm, FarmError, Rotation, Token, TokenRequest};

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extractors::JsonBody;
use crate::wire::paths::{TokenPath, UserPath};
use crate::wire::{self, PageQuery};

/// Lists the personal access tokens of the calling user, without their secrets.
///
/// Status: 200; 400 if a paging parameter is invalid; 401 without a valid token.
#[utoipa::path(
    tag = "tokens",
    params(PageQuery),
    responses((status = 200, body = wire::Listing<wire::Token>))
)]
#[get("/tokens")]
pub(crate) async fn list_tokens(
    farm: Data<Farm>,
    caller: Caller,
    query: Query<PageQuery>,
) -> ApiResult<Json<wire::Listing<wire::Token>>> {
    let tokens = farm.tokens(&caller.0, query.page()).await?;
    let list = wire::Listing::page(tokens, &query, |token| token.id.0, wire::Token::from);
    Ok(Json(list))
}

/// Creates a personal access token for the calling user.
///
/// The response is the only one that contains the secret.
///
/// Status: 201; 400 if the body is invalid; 401 without a valid token; 403 if the token lacks the
/// scope `admin`.
#[utoipa::path(
    tag = "tokens",
    request_body = wire::NewToken,
    responses((status = 201, body = wire::CreatedToken))
)]
#[post("/tokens")]
pub(crate) async fn create_token(
    farm: Data<Farm>,
    caller: Caller,
    body: JsonBody<wire::NewToken>,
) -> ApiResult<HttpResponse> {
    let request = request(body.into_inner())?;
    let token_and_secret = farm.create_token(&caller.0, request).await?;
    Ok(created(token_and_secret))
}

/// Creates a personal access token for any user.
///
/// The response is the only one that contains the secret.
///
/// Status: 201; 400 if the body is invalid; 401 without a valid token; 403 if the caller is not an
/// administrator; 404 if the user does not exist.
#[utoipa::path(
    tag = "tokens",
    params(UserPath),
    request_body = wire::NewToken,
    responses((status = 201, body = wire::CreatedToken))
)]
#[post("/users/{user}/tokens")]
pub(crate) async fn create_user_token(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<UserPath>,
    body: JsonBody<wire::NewToken>,
) -> ApiResult<HttpResponse> {
    let request = request(body.into_inner())?;
    let token_and_secret = farm
        .create_token_for(&caller.0, &path.user, request)
        .await?;
    Ok(created(token_and_secret))
}

/// Revokes a personal access token.
///
/// Users can revoke their own tokens, administrators those of all users. A token without the scope
/// `admin` can revoke only itself.
///
/// Status: 204; 400 if the id is invalid; 401 without a valid token; 403 if the token lacks the
/// scope `admin` and is not the one to revoke; 404 if the token does not exist.
#[utoipa::path(tag = "tokens", params(TokenPath), responses((status = 204)))]
#[delete("/tokens/{id}")]
pub(crate) async fn revoke_token(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<TokenPath>,
) -> ApiResult<HttpResponse> {
    farm.revoke_token(&caller.0, path.id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Replaces a personal access token by a new one with the same name and scopes.
///
/// The old token stays valid for `overlap_s` seconds, so that its users can change to the new one.
/// Every token can replace itself; without the scope `admin`, the new token expires no later than the
/// old one. The response is the only one that contains the secret.
///
/// Status: 201; 400 if the body is invalid or the token belongs to a sign-in; 401 without a valid
/// token; 403 if the token lacks the scope `admin` and is not the one to replace, or the new token
/// would outlive it; 404 if the token does not exist or is not valid any more.
#[utoipa::path(
    tag = "tokens",
    params(TokenPath),
    request_body = wire::TokenRotation,
    responses((status = 201, body = wire::CreatedToken))
)]
#[post("/tokens/{id}/rotate")]
pub(crate) async fn rotate_token(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<TokenPath>,
    body: JsonBody<wire::TokenRotation>,
) -> ApiResult<HttpResponse> {
    let rotation = Rotation {
        overlap: TimeDelta::seconds(body.overlap_s.into()),
        expires_at: body.expires_at,
    };
    let token_and_secret = farm.rotate_token(&caller.0, path.id, rotation).await?;
    Ok(created(token_and_secret))
}

/// Revokes all credentials of the calling user.
///
/// These are its access tokens, including the one that is used, its sign-ins, logins of the command
/// line that nobody has claimed yet, and the triggers and registration tokens that it created. The
/// runners tokens of the projects that it maintains are reset. The password stays: set another one if
/// it is known to others.
///
/// Status: 204; 401 without a valid token; 403 if the token lacks the scope `admin`.
#[utoipa::path(tag = "tokens", responses((status = 204)))]
#[delete("/tokens")]
pub(crate) async fn revoke_own_credentials(
    farm: Data<Farm>,
    caller: Caller,
) -> ApiResult<HttpResponse> {
    farm.revoke_own_credentials(&caller.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Revokes all credentials of another user.
///
/// The password of the user is deleted as well, so that only an administrator can let the user in
/// again.
///
/// Status: 204; 400 if the name is invalid; 401 without a valid token; 403 if the caller is not an
/// administrator, or names itself; 404 if the user does not exist.
#[utoipa::path(tag = "tokens", params(UserPath), responses((status = 204)))]
#[delete("/users/{user}/tokens")]
pub(crate) async fn revoke_user_credentials(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<UserPath>,
) -> ApiResult<HttpResponse> {
    farm.revoke_credentials_of(&caller.0, &path.user).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn request(body: wire::NewToken) -> ApiResult<TokenRequest> {
    let scopes = ScopeSet::new(body.scopes.into_iter().map(|word| word.0));
    Ok(TokenRequest {
        name: body.name,
        scopes: scopes.map_err(FarmError::from)?,
        expires_at: body.expires_at,
    })
}

fn created((token, secret): (Token, AccessToken)) -> HttpResponse {
    HttpResponse::Created().json(wire::CreatedToken {
        about: token.into(),
        token: secret.expose().to_owned(),
    })
}
