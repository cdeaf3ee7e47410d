//! Personal access tokens.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, delete, get, post};
use slipway_domain::{AccessToken, ScopeSet};
use slipway_farm::{Farm, FarmError, Token, TokenRequest};

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
