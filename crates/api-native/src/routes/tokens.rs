//! Personal access tokens.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, delete, get, post};
use slipway_domain::{AccessToken, ScopeSet};
use slipway_farm::{Farm, FarmError, Token, TokenRequest};

use crate::error::ApiError;
use crate::extract::Caller;
use crate::paths::{TokenPath, UserPath};
use crate::wire::{self, PageQuery};

type Answer<T> = Result<T, ApiError>;

/// `GET /v1/tokens`: the caller's own tokens, without their secrets.
///
/// 200; 400 for a page that is none; 401.
#[utoipa::path(tag = "tokens", params(PageQuery), responses((status = 200, body = wire::Listing<wire::Token>)))]
#[get("/tokens")]
pub(crate) async fn list_tokens(
    farm: Data<Farm>,
    caller: Caller,
    query: Query<PageQuery>,
) -> Answer<Json<wire::Listing<wire::Token>>> {
    let tokens = farm.tokens(&caller.0, query.page()).await?;
    let list = wire::Listing::page(tokens, &query, |token| token.id.0, wire::Token::from);
    Ok(Json(list))
}

/// `POST /v1/tokens`: makes a token for the caller. Its secret is told this once.
///
/// 201; 400 for a body that is none; 401; 403 to a token without the scope `admin`.
#[utoipa::path(tag = "tokens", request_body = wire::NewToken, responses((status = 201, body = wire::CreatedToken)))]
#[post("/tokens")]
pub(crate) async fn create_token(
    farm: Data<Farm>,
    caller: Caller,
    body: Json<wire::NewToken>,
) -> Answer<HttpResponse> {
    let request = request(body.into_inner())?;
    let made = farm.create_token(&caller.0, request).await?;
    Ok(created(made))
}

/// `POST /v1/users/{user}/tokens`: makes a token for a user. Its secret is told this once.
///
/// 201; 400 for a body that is none; 401; 403 to everybody but administrators; 404 without such a
/// user.
#[utoipa::path(tag = "tokens", params(UserPath), request_body = wire::NewToken, responses((status = 201, body = wire::CreatedToken)))]
#[post("/users/{user}/tokens")]
pub(crate) async fn create_user_token(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<UserPath>,
    body: Json<wire::NewToken>,
) -> Answer<HttpResponse> {
    let request = request(body.into_inner())?;
    let made = farm.create_token_for(&caller.0, &path.user, request);
    Ok(created(made.await?))
}

/// `DELETE /v1/tokens/{id}`: revokes a token of the caller, or of anybody for administrators.
///
/// 204; 400 for an id that is none; 401; 403 to a token that is another one and has not the scope
/// `admin`; 404 without such a token.
#[utoipa::path(tag = "tokens", params(TokenPath), responses((status = 204)))]
#[delete("/tokens/{id}")]
pub(crate) async fn revoke_token(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<TokenPath>,
) -> Answer<HttpResponse> {
    farm.revoke_token(&caller.0, path.id).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn request(body: wire::NewToken) -> Answer<TokenRequest> {
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
