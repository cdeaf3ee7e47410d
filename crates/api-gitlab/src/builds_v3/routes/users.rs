//! Users and sessions.

use actix_web::{HttpResponse, web};
use slipway_domain::{Scope, UserId};
use slipway_farm::{Farm, FarmError};
use slipway_http::UNKNOWN_SENDER_BYTES;

use crate::builds_v3::auth::{Call, OpenCall};
use crate::builds_v3::error::V3Error;
use crate::builds_v3::page::PageRequest;
use crate::builds_v3::wire::Session;
use crate::builds_v3::{Answer, at, convert, read};

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(at("/user", "GET, HEAD").route(read().to(current)))
        .service(at("/users", "GET, HEAD").route(read().to(list)))
        .service(at("/users/{id}", "GET, HEAD").route(read().to(get)))
        .service(at("/session", "POST").route(web::post().to(sign_in)));
}

/// `GET /user`: the user who calls.
///
/// 200; 401.
async fn current(farm: web::Data<Farm>, call: Call) -> Answer {
    let user = farm.user(&call.actor).await?;
    let may_create = call.actor.scope == Scope::Admin;
    Ok(HttpResponse::Ok().json(convert::current_user(&call.base_url(), &user, may_create)))
}

/// `GET /users[?username=|search=]`: lists the users that the caller may see: only the caller,
/// or everyone for administrators.
///
/// 200; 400 if `page` is invalid; 401.
async fn list(farm: web::Data<Farm>, call: Call) -> Answer {
    let page = PageRequest::from_call(&call)?;
    let mut users = farm.users_seen_by(&call.actor).await?;
    if let Some(name) = call.params.non_empty("username") {
        users.retain(|user| user.name.as_str().eq_ignore_ascii_case(name));
    }
    if let Some(part) = call.params.non_empty("search") {
        let part = part.to_ascii_lowercase();
        users.retain(|user| user.name.as_str().to_ascii_lowercase().contains(&part));
    }
    let base_url = call.base_url();
    let list: Vec<_> = users
        .iter()
        .map(|user| convert::user(&base_url, user))
        .collect();
    Ok(page.answer_part(&call, &list))
}

/// `GET /users/:id`: one user. Users see themselves, administrators see everyone.
///
/// 200; 400 if the id is invalid; 401; 404 if the user does not exist.
async fn get(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let id: UserId = path.parse().map_err(|_| V3Error::BadParameter("id"))?;
    let user = farm.user_by_id(&call.actor, id).await?;
    Ok(HttpResponse::Ok().json(convert::user(&call.base_url(), &user)))
}

/// `POST /session`: signs a user in with `login` and `password`. `email` is read as a user name,
/// too, because the farm stores no email addresses.
///
/// 201 with the user and the `private_token` of a session of 30 days; 401 in all other cases.
async fn sign_in(farm: web::Data<Farm>, call: OpenCall) -> Answer {
    let (base_url, from) = (call.base_url.clone(), call.address());
    let params = call.params(UNKNOWN_SENDER_BYTES).await?;
    let login = params.non_empty("login");
    let login = login.or_else(|| params.non_empty("email"));
    let (Some(login), Some(password)) = (login, params.non_empty("password")) else {
        // GitLab answers missing and wrong credentials alike.
        return Err(FarmError::BadToken.into());
    };
    let (user, token) = farm.sign_in(login, password, from).await?;
    Ok(HttpResponse::Created().json(Session {
        user: convert::current_user(&base_url, &user, true),
        private_token: token.expose().to_owned(),
    }))
}
