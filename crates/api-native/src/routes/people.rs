//! Users.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, get, patch, post, put};
use slipway_farm::{Farm, UserUpdate};

use crate::convert;
use crate::error::ApiError;
use crate::extract::Caller;
use crate::paths::UserPath;
use crate::wire::{self, PageQuery};

type Answer<T> = Result<T, ApiError>;

/// `GET /v1/user`: who is calling.
///
/// 200; 401 without a token that works.
#[utoipa::path(tag = "users", responses((status = 200, body = wire::CurrentUser)))]
#[get("/user")]
pub(crate) async fn current_user(
    farm: Data<Farm>,
    caller: Caller,
) -> Answer<Json<wire::CurrentUser>> {
    let user = farm.user(&caller.0).await?;
    Ok(Json(wire::CurrentUser {
        user: user.into(),
        scopes: convert::scopes(caller.0.scopes()),
        has_password: farm.has_password(&caller.0).await?,
    }))
}

/// `GET /v1/users`: the users.
///
/// 200; 400 for a page that is none; 401; 403 to everybody but administrators.
#[utoipa::path(tag = "users", params(PageQuery), responses((status = 200, body = wire::Listing<wire::User>)))]
#[get("/users")]
pub(crate) async fn list_users(
    farm: Data<Farm>,
    caller: Caller,
    query: Query<PageQuery>,
) -> Answer<Json<wire::Listing<wire::User>>> {
    let users = farm.users(&caller.0, query.page()).await?;
    let list = wire::Listing::page(users, &query, |user| user.id.0, wire::User::from);
    Ok(Json(list))
}

/// `POST /v1/users`: makes a user.
///
/// 201; 400 for a body that is none; 401; 403 to everybody but administrators; 409 when the name
/// is taken.
#[utoipa::path(tag = "users", request_body = wire::NewUser, responses((status = 201, body = wire::User)))]
#[post("/users")]
pub(crate) async fn create_user(
    farm: Data<Farm>,
    caller: Caller,
    body: Json<wire::NewUser>,
) -> Answer<HttpResponse> {
    let user = farm.create_user(&caller.0, &body.name, body.admin).await?;
    Ok(HttpResponse::Created().json(wire::User::from(user)))
}

/// `PATCH /v1/users/{user}`: blocks a user or lets it in again, makes it an administrator or not.
///
/// 200; 400 for a body that is none; 401; 403 to everybody but administrators; 404 without such a
/// user; 409 for those who would block or demote themselves.
#[utoipa::path(tag = "users", params(UserPath), request_body = wire::UserChange, responses((status = 200, body = wire::User)))]
#[patch("/users/{user}")]
pub(crate) async fn update_user(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<UserPath>,
    body: Json<wire::UserChange>,
) -> Answer<Json<wire::User>> {
    let change = UserUpdate {
        active: body.active,
        admin: body.admin,
    };
    let user = farm.update_user(&caller.0, &path.user, change).await?;
    Ok(Json(user.into()))
}

/// `PUT /v1/user/password`: gives the caller a new password, and ends the sessions that were begun
/// with another one.
///
/// 204; 400 for a body that is none, or a password that is too short; 401; 403 when `old` is not
/// the password that the caller has, and to a token without the scope `admin`.
#[utoipa::path(tag = "users", request_body = wire::NewPassword, responses((status = 204)))]
#[put("/user/password")]
pub(crate) async fn change_password(
    farm: Data<Farm>,
    caller: Caller,
    body: Json<wire::NewPassword>,
) -> Answer<HttpResponse> {
    farm.change_password(&caller.0, body.old.as_deref(), &body.new)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `PUT /v1/users/{user}/password`: gives another user a password, and ends the sessions that were
/// begun with another one.
///
/// 204; 400 for a body that is none, or a password that is too short; 401; 403 to everybody but
/// administrators, and for oneself; 404 without such a user.
#[utoipa::path(tag = "users", params(UserPath), request_body = wire::PasswordOfUser, responses((status = 204)))]
#[put("/users/{user}/password")]
pub(crate) async fn set_password(
    farm: Data<Farm>,
    caller: Caller,
    path: Path<UserPath>,
    body: Json<wire::PasswordOfUser>,
) -> Answer<HttpResponse> {
    farm.set_password_of(&caller.0, &path.user, &body.new)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
