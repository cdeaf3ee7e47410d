//! Namespaces and their members.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, delete, get, patch, post, put};
use slipway_domain::Role;
use slipway_farm::Farm;

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extractors::JsonBody;
use crate::wire::paths::{NamespaceMemberPath, NamespacePath};
use crate::wire::{self, PageQuery};

/// Lists the namespaces of which the caller is a member, newest first; for administrators, all
/// namespaces.
///
/// Status: 200; 400 if a paging parameter is invalid; 401 without a valid token.
#[utoipa::path(
    tag = "namespaces",
    params(PageQuery),
    responses((status = 200, body = wire::Listing<wire::Namespace>))
)]
#[get("/namespaces")]
pub(crate) async fn list_namespaces(
    farm: Data<Farm>,
    caller: Caller,
    query: Query<PageQuery>,
) -> ApiResult<Json<wire::Listing<wire::Namespace>>> {
    let rows = farm.namespaces(&caller.0, query.page()).await?;
    let list = wire::Listing::page(rows, &query, |row| row.id.0, wire::Namespace::from);
    Ok(Json(list))
}

/// Creates a namespace and makes the caller its owner.
///
/// Status: 201; 400 if the body is invalid; 401 without a valid token; 403 if the token lacks the
/// scope `admin`; 409 if the name is taken.
#[utoipa::path(
    tag = "namespaces",
    request_body = wire::NewNamespace,
    responses((status = 201, body = wire::Namespace))
)]
#[post("/namespaces")]
pub(crate) async fn create_namespace(
    farm: Data<Farm>,
    caller: Caller,
    body: JsonBody<wire::NewNamespace>,
) -> ApiResult<HttpResponse> {
    let namespace = farm.create_namespace(&caller.0, &body.name).await?;
    Ok(HttpResponse::Created().json(wire::Namespace::from(namespace)))
}

/// Shows a namespace.
///
/// Status: 200; 400 if a name in the path is invalid; 401 without a valid token; 404 if the
/// namespace does not exist.
#[utoipa::path(
    tag = "namespaces",
    params(NamespacePath),
    responses((status = 200, body = wire::Namespace))
)]
#[get("/namespaces/{ns}")]
pub(crate) async fn get_namespace(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<NamespacePath>,
) -> ApiResult<Json<wire::Namespace>> {
    let access = farm.namespace(&caller.0, &path.ns, Role::Reader).await?;
    Ok(Json(access.namespace().clone().into()))
}

/// Changes the limits of a namespace.
///
/// Status: 200; 400 if the body is invalid; 401 without a valid token; 403 if the caller is not an
/// administrator; 404 if the namespace does not exist.
#[utoipa::path(
    tag = "namespaces",
    params(NamespacePath),
    request_body = wire::NamespaceChange,
    responses((status = 200, body = wire::Namespace))
)]
#[patch("/namespaces/{ns}")]
pub(crate) async fn update_namespace(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<NamespacePath>,
    body: JsonBody<wire::NamespaceChange>,
) -> ApiResult<Json<wire::Namespace>> {
    let access = farm.namespace(&caller.0, &path.ns, Role::Owner).await?;
    let namespace = match body.max_builds {
        Some(limit) => farm.set_max_builds(&caller.0, &access, limit).await?,
        None => access.namespace().clone(),
    };
    Ok(Json(namespace.into()))
}

/// Lists the members of a namespace, newest user first.
///
/// Status: 200; 400 if a paging parameter is invalid; 401 without a valid token; 404 if the
/// namespace does not exist.
#[utoipa::path(
    tag = "namespaces",
    params(NamespacePath, PageQuery),
    responses((status = 200, body = wire::Listing<wire::Member>))
)]
#[get("/namespaces/{ns}/members")]
pub(crate) async fn list_namespace_members(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<NamespacePath>,
    query: Query<PageQuery>,
) -> ApiResult<Json<wire::Listing<wire::Member>>> {
    let access = farm.namespace(&caller.0, &path.ns, Role::Reader).await?;
    let rows = farm.namespace_members(&access, query.page()).await?;
    let list = wire::Listing::page(rows, &query, |row| row.user.0, wire::Member::from);
    Ok(Json(list))
}

/// Gives a user a role in a namespace.
///
/// The user has at least this role in all projects of the namespace.
///
/// Status: 200; 400 if the role is invalid; 401 without a valid token; 403 if the caller's role is
/// below owner; 404 if the namespace or the user does not exist; 409 if the namespace would have
/// no owner.
#[utoipa::path(
    tag = "namespaces",
    params(NamespaceMemberPath),
    request_body = wire::NewRole,
    responses((status = 200, body = wire::Member))
)]
#[put("/namespaces/{ns}/members/{user}")]
pub(crate) async fn set_namespace_member(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<NamespaceMemberPath>,
    body: JsonBody<wire::NewRole>,
) -> ApiResult<Json<wire::Member>> {
    let access = farm.namespace(&caller.0, &path.ns, Role::Owner).await?;
    let member = farm
        .set_namespace_member(&access, &path.user, body.role)
        .await?;
    Ok(Json(member.into()))
}

/// Removes a member from a namespace.
///
/// Status: 204; 400 if a name in the path is invalid; 401 without a valid token; 403 if the
/// caller's role is below owner; 404 if the namespace or the member does not exist; 409 if the
/// namespace would have no owner.
#[utoipa::path(tag = "namespaces", params(NamespaceMemberPath), responses((status = 204)))]
#[delete("/namespaces/{ns}/members/{user}")]
pub(crate) async fn remove_namespace_member(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<NamespaceMemberPath>,
) -> ApiResult<HttpResponse> {
    let access = farm.namespace(&caller.0, &path.ns, Role::Owner).await?;
    farm.remove_namespace_member(&access, &path.user).await?;
    Ok(HttpResponse::NoContent().finish())
}
