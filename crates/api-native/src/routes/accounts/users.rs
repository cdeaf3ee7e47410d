//! Users and their passwords.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, get, patch, post, put};
use slipway_farm::{Farm, UserUpdate};

use crate::auth::Caller;
use crate::convert;
use crate::error::ApiResult;
use crate::extractors::JsonBody;
use crate::wire::paths::UserPath;
use crate::wire::{self, PageQuery};

/// Shows the calling user and the scopes of its token.
///
/// Status: 200; 401 without a valid token.
#[utoipa::path(tag = "users", responses((status = 200, body = wire::CurrentUser)))]
#[get("/user")]
pub(crate) async fn current_user(
    farm: Data<Farm>,
    caller: Caller,
) -> ApiResult<Json<wire::CurrentUser>> {
    let user = farm.user(&caller.0).await?;
    Ok(Json(wire::CurrentUser {
        user: user.into(),
        scopes: convert::scopes(caller.0.scopes()),
        has_password: farm.has_password(&caller.0).await?,
    }))
}

/// Lists all users, newest first.
///
/// Status: 200; 400 if a paging parameter is invalid; 401 without a valid token; 403 if the caller
/// is not an administrator.
#[utoipa::path(
    tag = "users",
    params(PageQuery),
    responses((status = 200, body = wire::Listing<wire::User>))
)]
#[get("/users")]
pub(crate) async fn list_users(
    farm: Data<Farm>,
    caller: Caller,
    query: Query<PageQuery>,
) -> ApiResult<Json<wire::Listing<wire::User>>> {
    let users = farm.users(&caller.0, query.page()).await?;
    let list = wire::Listing::page(users, &query, |user| user.id.0, wire::User::from);
    Ok(Json(list))
}

/// Creates a user.
///
/// The user has no password and no tokens yet.
///
/// Status: 201; 400 if the body is invalid; 401 without a valid token; 403 if the caller is not an
/// administrator; 409 if the name is taken.
#[utoipa::path(
    tag = "users",
    request_body = wire::NewUser,
    responses((status = 201, body = wire::User))
)]
#[post("/users")]
pub(crate) async fn create_user(
    farm: Data<Farm>,
    caller: Caller,
    body: JsonBody<wire::NewUser>,
) -> ApiResult<HttpResponse> {
    let user = farm.create_user(&caller.0, &body.name, body.admin).await?;
    Ok(HttpResponse::Created().json(wire::User::from(user)))
}

/// Blocks or unblocks a user, or changes whether it is an administrator.
///
/// The tokens of a blocked user stop working until it is unblocked.
///
/// Status: 200; 400 if the body is invalid; 401 without a valid token; 403 if the caller is not an
/// administrator; 404 if the user does not exist; 409 if administrators try to block or demote
/// themselves.
#[utoipa::path(
    tag = "users",
    params(UserPath),
    request_body = wire::UserChange,
    responses((status = 200, body = wire::User))
)]
#[patch("/users/{user}")]
pub(crate) async fn update_user(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<UserPath>,
    body: JsonBody<wire::UserChange>,
) -> ApiResult<Json<wire::User>> {
    let change = UserUpdate {
        active: body.active,
        admin: body.admin,
    };
    let user = farm.update_user(&caller.0, &path.user, change).await?;
    Ok(Json(user.into()))
}

/// Sets the password of the calling user.
///
/// Sessions that were opened with an earlier password end.
///
/// Status: 204; 400 if the body is invalid or the password is too short; 401 without a valid
/// token; 403 if `old` is not the current password, or if the token lacks the scope `admin`.
#[utoipa::path(tag = "users", request_body = wire::NewPassword, responses((status = 204)))]
#[put("/user/password")]
pub(crate) async fn change_password(
    farm: Data<Farm>,
    caller: Caller,
    body: JsonBody<wire::NewPassword>,
) -> ApiResult<HttpResponse> {
    farm.change_password(&caller.0, body.old.as_deref(), &body.new)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Sets the password of another user.
///
/// Sessions that the user opened with an earlier password end.
///
/// Status: 204; 400 if the body is invalid or the password is too short; 401 without a valid
/// token; 403 if the caller is not an administrator, or names itself; 404 if the user does not
/// exist.
#[utoipa::path(
    tag = "users",
    params(UserPath),
    request_body = wire::PasswordOfUser,
    responses((status = 204))
)]
#[put("/users/{user}/password")]
pub(crate) async fn set_password(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<UserPath>,
    body: JsonBody<wire::PasswordOfUser>,
) -> ApiResult<HttpResponse> {
    farm.set_password_of(&caller.0, &path.user, &body.new)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
