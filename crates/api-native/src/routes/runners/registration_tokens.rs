//! Registration tokens, with which runners register.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, delete, get, post};
use slipway_domain::{RegistrationToken, Role};
use slipway_farm::{Farm, Registration, RegistrationRequest};

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extractors::JsonBody;
use crate::wire::paths::{ProjectPath, TokenPath};
use crate::wire::{self, PageQuery};

type Tokens = wire::Listing<wire::RegistrationToken>;

/// Lists the registration tokens for shared runners, without their secrets.
///
/// Status: 200; 400 if a paging parameter is invalid; 401 without a valid token; 403 if the caller
/// is not an administrator.
#[utoipa::path(
    operation_id = "list_shared_registration_tokens",
    tag = "registration",
    params(PageQuery),
    responses((status = 200, body = wire::Listing<wire::RegistrationToken>))
)]
#[get("/registration-tokens")]
pub(crate) async fn list_shared(
    farm: Data<Farm>,
    caller: Caller,
    query: Query<PageQuery>,
) -> ApiResult<Json<Tokens>> {
    let tokens = farm.shared_registrations(&caller.0, query.page()).await?;
    Ok(Json(listing(tokens, &query)))
}

/// Creates a registration token for shared runners.
///
/// The response is the only one that contains the secret.
///
/// Status: 201; 400 if the body is invalid; 401 without a valid token; 403 if the caller is not an
/// administrator.
#[utoipa::path(
    operation_id = "create_shared_registration_token",
    tag = "registration",
    request_body = wire::NewRegistrationToken,
    responses((status = 201, body = wire::CreatedRegistrationToken))
)]
#[post("/registration-tokens")]
pub(crate) async fn create_shared(
    farm: Data<Farm>,
    caller: Caller,
    body: JsonBody<wire::NewRegistrationToken>,
) -> ApiResult<HttpResponse> {
    let token_and_secret = farm
        .create_shared_registration(&caller.0, request(body.into_inner()))
        .await?;
    Ok(created(token_and_secret))
}

/// Lists the registration tokens for runners of one project, without their secrets.
///
/// Status: 200; 400 if a paging parameter is invalid; 401 without a valid token; 403 if the
/// caller's role is below maintainer; 404 if the project does not exist.
#[utoipa::path(
    operation_id = "list_project_registration_tokens",
    tag = "registration",
    params(ProjectPath, PageQuery),
    responses((status = 200, body = wire::Listing<wire::RegistrationToken>))
)]
#[get("/projects/{ns}/{name}/registration-tokens")]
pub(crate) async fn list_of_project(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    query: Query<PageQuery>,
) -> ApiResult<Json<Tokens>> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    let tokens = farm.project_registrations(&access, query.page()).await?;
    Ok(Json(listing(tokens, &query)))
}

/// Creates a registration token for runners of one project.
///
/// The response is the only one that contains the secret.
///
/// Status: 201; 400 if the body is invalid; 401 without a valid token; 403 if the caller's role is
/// below maintainer; 404 if the project does not exist.
#[utoipa::path(
    operation_id = "create_project_registration_token",
    tag = "registration",
    params(ProjectPath),
    request_body = wire::NewRegistrationToken,
    responses((status = 201, body = wire::CreatedRegistrationToken))
)]
#[post("/projects/{ns}/{name}/registration-tokens")]
pub(crate) async fn create_of_project(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    body: JsonBody<wire::NewRegistrationToken>,
) -> ApiResult<HttpResponse> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    let request = request(body.into_inner());
    let token_and_secret = farm
        .create_project_registration(&caller.0, &access, request)
        .await?;
    Ok(created(token_and_secret))
}

/// Resets the runners token of a project.
///
/// Every project has such a token, with which runners register for it. It is shown here and in
/// GitLab's Builds API. The old one stops working; runners that registered with it stay registered.
/// The farm itself resets the token when a maintainer leaves the project.
///
/// Status: 200; 400 if a name in the path is invalid; 401 without a valid token; 403 if the caller's
/// role is below maintainer; 404 if the project does not exist.
#[utoipa::path(
    tag = "registration",
    params(ProjectPath),
    responses((status = 200, body = wire::RunnersToken))
)]
#[post("/projects/{ns}/{name}/runners-token/reset")]
pub(crate) async fn reset_runners_token(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
) -> ApiResult<Json<wire::RunnersToken>> {
    let access = farm
        .project(&caller.0, &path.ns, &path.name, Role::Maintainer)
        .await?;
    let token = farm.reset_project_runners_token(&access).await?;
    Ok(Json(wire::RunnersToken {
        token: token.expose().to_owned(),
    }))
}

/// Revokes a registration token.
///
/// Runners that registered with it stay registered.
///
/// Status: 204; 400 if the id is invalid; 401 without a valid token; 403 if the caller may see the
/// token but not create one like it; 404 if the token does not exist.
#[utoipa::path(operation_id = "revoke_registration_token", tag = "registration", params(TokenPath), responses((status = 204)))]
#[delete("/registration-tokens/{id}")]
pub(crate) async fn revoke(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<TokenPath>,
) -> ApiResult<HttpResponse> {
    farm.revoke_registration(&caller.0, path.id).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn listing(tokens: Vec<Registration>, query: &PageQuery) -> Tokens {
    wire::Listing::page(
        tokens,
        query,
        |token| token.id.0,
        wire::RegistrationToken::from,
    )
}

fn request(body: wire::NewRegistrationToken) -> RegistrationRequest {
    RegistrationRequest {
        description: body.description,
        single_use: body.single_use,
        expires_at: body.expires_at,
    }
}

fn created((token, secret): (Registration, RegistrationToken)) -> HttpResponse {
    HttpResponse::Created().json(wire::CreatedRegistrationToken {
        about: token.into(),
        token: secret.expose().to_owned(),
    })
}
