//! Registration tokens, with which runners are added.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, delete, get, post};
use slipway_domain::{RegistrationToken, Role};
use slipway_farm::{Farm, Registration, RegistrationRequest};

use crate::error::ApiError;
use crate::extract::Caller;
use crate::paths::{ProjectPath, TokenPath};
use crate::wire::{self, PageQuery};

type Answer<T> = Result<T, ApiError>;
type Tokens = wire::Listing<wire::RegistrationToken>;

/// `GET /v1/registration-tokens`: the tokens for shared runners, without their secrets.
///
/// 200; 400 for a page that is none; 401; 403 to everybody but administrators.
#[utoipa::path(tag = "registration", params(PageQuery), responses((status = 200, body = wire::Listing<wire::RegistrationToken>)))]
#[get("/registration-tokens")]
pub(crate) async fn list_shared(
    farm: Data<Farm>,
    caller: Caller,
    query: Query<PageQuery>,
) -> Answer<Json<Tokens>> {
    let tokens = farm.shared_registrations(&caller.0, query.page()).await?;
    Ok(Json(listed(tokens, &query)))
}

/// `POST /v1/registration-tokens`: makes a token for shared runners. Its secret is told this once.
///
/// 201; 400 for a body that is none; 401; 403 to everybody but administrators.
#[utoipa::path(tag = "registration", request_body = wire::NewRegistrationToken, responses((status = 201, body = wire::CreatedRegistrationToken)))]
#[post("/registration-tokens")]
pub(crate) async fn create_shared(
    farm: Data<Farm>,
    caller: Caller,
    body: Json<wire::NewRegistrationToken>,
) -> Answer<HttpResponse> {
    let made = farm.create_shared_registration(&caller.0, request(body.into_inner()));
    Ok(created(made.await?))
}

/// `GET /v1/projects/{ns}/{name}/registration-tokens`: the tokens for runners of one project.
///
/// 200; 400 for a page that is none; 401; 403 to lower roles than maintainer; 404 without such a
/// project.
#[utoipa::path(tag = "registration", params(ProjectPath, PageQuery), responses((status = 200, body = wire::Listing<wire::RegistrationToken>)))]
#[get("/projects/{ns}/{name}/registration-tokens")]
pub(crate) async fn list_of_project(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    query: Query<PageQuery>,
) -> Answer<Json<Tokens>> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    let access = access.await?;
    let tokens = farm.project_registrations(&access, query.page()).await?;
    Ok(Json(listed(tokens, &query)))
}

/// `POST /v1/projects/{ns}/{name}/registration-tokens`: makes a token for runners of one project.
/// Its secret is told this once.
///
/// 201; 400 for a body that is none; 401; 403 to lower roles than maintainer; 404 without such a
/// project.
#[utoipa::path(tag = "registration", params(ProjectPath), request_body = wire::NewRegistrationToken, responses((status = 201, body = wire::CreatedRegistrationToken)))]
#[post("/projects/{ns}/{name}/registration-tokens")]
pub(crate) async fn create_of_project(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<ProjectPath>,
    body: Json<wire::NewRegistrationToken>,
) -> Answer<HttpResponse> {
    let access = farm.project(&caller.0, &path.ns, &path.name, Role::Maintainer);
    let access = access.await?;
    let request = request(body.into_inner());
    let made = farm.create_project_registration(&caller.0, &access, request);
    Ok(created(made.await?))
}

/// `DELETE /v1/registration-tokens/{id}`: revokes a registration token; its runners stay.
///
/// 204; 400 for an id that is none; 401; 403 to those who may see it and not make one like it; 404
/// without such a token.
#[utoipa::path(tag = "registration", params(TokenPath), responses((status = 204)))]
#[delete("/registration-tokens/{id}")]
pub(crate) async fn revoke(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<TokenPath>,
) -> Answer<HttpResponse> {
    farm.revoke_registration(&caller.0, path.id).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn listed(tokens: Vec<Registration>, query: &PageQuery) -> Tokens {
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
