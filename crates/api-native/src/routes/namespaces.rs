//! Namespaces and their members.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, delete, get, patch, post, put};
use slipway_domain::Role;
use slipway_farm::Farm;

use crate::error::ApiError;
use crate::extract::Caller;
use crate::paths::{NamespaceMemberPath, NamespacePath};
use crate::wire::{self, PageQuery};

type Answer<T> = Result<T, ApiError>;

/// `GET /v1/namespaces`: the namespaces that the caller is a member of; all for administrators.
///
/// 200; 400 for a page that is none; 401.
#[utoipa::path(tag = "namespaces", params(PageQuery), responses((status = 200, body = wire::Listing<wire::Namespace>)))]
#[get("/namespaces")]
pub(crate) async fn list_namespaces(
    farm: Data<Farm>,
    caller: Caller,
    query: Query<PageQuery>,
) -> Answer<Json<wire::Listing<wire::Namespace>>> {
    let rows = farm.namespaces(&caller.0, query.page()).await?;
    let list = wire::Listing::page(rows, &query, |row| row.id.0, wire::Namespace::from);
    Ok(Json(list))
}

/// `POST /v1/namespaces`: makes a namespace, of which the caller becomes the owner.
///
/// 201; 400 for a body that is none; 401; 403 to a token without the scope `admin`; 409 when the
/// name is taken.
#[utoipa::path(tag = "namespaces", request_body = wire::NewNamespace, responses((status = 201, body = wire::Namespace)))]
#[post("/namespaces")]
pub(crate) async fn create_namespace(
    farm: Data<Farm>,
    caller: Caller,
    body: Json<wire::NewNamespace>,
) -> Answer<HttpResponse> {
    let namespace = farm.create_namespace(&caller.0, &body.name).await?;
    Ok(HttpResponse::Created().json(wire::Namespace::from(namespace)))
}

/// `GET /v1/namespaces/{ns}`: one namespace.
///
/// 200; 400 for a name that is none; 401; 404 without such a namespace.
#[utoipa::path(tag = "namespaces", params(NamespacePath), responses((status = 200, body = wire::Namespace)))]
#[get("/namespaces/{ns}")]
pub(crate) async fn get_namespace(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<NamespacePath>,
) -> Answer<Json<wire::Namespace>> {
    let access = farm.namespace(&caller.0, &path.ns, Role::Reader).await?;
    Ok(Json(access.namespace().clone().into()))
}

/// `PATCH /v1/namespaces/{ns}`: changes what a namespace may use.
///
/// 200; 400 for a body that is none; 401; 403 to those who are no administrators; 404 without such
/// a namespace.
#[utoipa::path(tag = "namespaces", params(NamespacePath), request_body = wire::NamespaceChange, responses((status = 200, body = wire::Namespace)))]
#[patch("/namespaces/{ns}")]
pub(crate) async fn update_namespace(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<NamespacePath>,
    body: Json<wire::NamespaceChange>,
) -> Answer<Json<wire::Namespace>> {
    let access = farm.namespace(&caller.0, &path.ns, Role::Owner).await?;
    let namespace = match body.max_builds {
        Some(limit) => farm.set_max_builds(&caller.0, &access, limit).await?,
        None => access.namespace().clone(),
    };
    Ok(Json(namespace.into()))
}

/// `GET /v1/namespaces/{ns}/members`: the members of a namespace, newest user first.
///
/// 200; 400 for a page that is none; 401; 404 without such a namespace.
#[utoipa::path(tag = "namespaces", params(NamespacePath, PageQuery), responses((status = 200, body = wire::Listing<wire::Member>)))]
#[get("/namespaces/{ns}/members")]
pub(crate) async fn list_namespace_members(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<NamespacePath>,
    query: Query<PageQuery>,
) -> Answer<Json<wire::Listing<wire::Member>>> {
    let access = farm.namespace(&caller.0, &path.ns, Role::Reader).await?;
    let rows = farm.namespace_members(&access, query.page()).await?;
    let list = wire::Listing::page(rows, &query, |row| row.user.0, wire::Member::from);
    Ok(Json(list))
}

/// `PUT /v1/namespaces/{ns}/members/{user}`: gives a user a role in a namespace.
///
/// 200; 400 for a role that is none; 401; 403 to lower roles than owner; 404 without such a
/// namespace or user; 409 when no owner would be left.
#[utoipa::path(tag = "namespaces", params(NamespaceMemberPath), request_body = wire::NewRole, responses((status = 200, body = wire::Member)))]
#[put("/namespaces/{ns}/members/{user}")]
pub(crate) async fn set_namespace_member(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<NamespaceMemberPath>,
    body: Json<wire::NewRole>,
) -> Answer<Json<wire::Member>> {
    let access = farm.namespace(&caller.0, &path.ns, Role::Owner).await?;
    let member = farm.set_namespace_member(&access, &path.user, body.role);
    Ok(Json(member.await?.into()))
}

/// `DELETE /v1/namespaces/{ns}/members/{user}`: ends a user's membership of a namespace.
///
/// 204; 400 for a name that is none; 401; 403 to lower roles than owner; 404 without such a
/// namespace or member; 409 when no owner would be left.
#[utoipa::path(tag = "namespaces", params(NamespaceMemberPath), responses((status = 204)))]
#[delete("/namespaces/{ns}/members/{user}")]
pub(crate) async fn remove_namespace_member(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<NamespaceMemberPath>,
) -> Answer<HttpResponse> {
    let access = farm.namespace(&caller.0, &path.ns, Role::Owner).await?;
    farm.remove_namespace_member(&access, &path.user).await?;
    Ok(HttpResponse::NoContent().finish())
}
