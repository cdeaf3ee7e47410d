//! Users, and signing in.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use slipway_domain::{Scope, UserId};
use slipway_farm::{Farm, FarmError, User};

use crate::builds_v3::auth::{Call, OpenCall};
use crate::builds_v3::error::V3Error;
use crate::builds_v3::page::PageOf;
use crate::builds_v3::{Answer, at, read, wire};
use crate::convert::timestamp;

/// What is told where GitLab has a limit: its own number for "as many as you like".
const NO_LIMIT: u32 = 100_000;

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(at("/user").route(read().to(current)))
        .service(at("/users").route(read().to(list)))
        .service(at("/users/{id}").route(read().to(one)))
        .service(at("/session").route(web::post().to(sign_in)));
}

/// A user as it sees itself. The farm knows no mail addresses and has no looks to choose from.
#[derive(Serialize)]
struct Myself {
    #[serde(flatten)]
    user: wire::User,
    email: Option<String>,
    theme_id: Option<i64>,
    color_scheme_id: Option<i64>,
    projects_limit: u32,
    current_sign_in_at: Option<String>,
    last_sign_in_at: Option<String>,
    confirmed_at: String,
    identities: [(); 0],
    can_create_group: bool,
    can_create_project: bool,
    two_factor_enabled: bool,
    external: bool,
}

fn myself(base: &str, user: &User, may_create: bool) -> Myself {
    Myself {
        user: wire::user_at(base, user),
        email: None,
        theme_id: None,
        color_scheme_id: None,
        projects_limit: NO_LIMIT,
        current_sign_in_at: None,
        last_sign_in_at: None,
        confirmed_at: timestamp(user.created_at),
        identities: [],
        can_create_group: may_create,
        can_create_project: may_create,
        two_factor_enabled: false,
        external: false,
    }
}

/// `GET /user`: who is calling.
///
/// 200; 401.
async fn current(farm: web::Data<Farm>, call: Call) -> Answer {
    let user = farm.user(&call.actor).await?;
    let may_create = call.actor.scope == Scope::Admin;
    Ok(HttpResponse::Ok().json(myself(&call.base(), &user, may_create)))
}

/// `GET /users[?username=|search=]`: the users that the caller sees: oneself, or everybody for
/// administrators.
///
/// 200; 400 for a page that is none; 401.
async fn list(farm: web::Data<Farm>, call: Call) -> Answer {
    let page = PageOf::of(&call)?;
    let mut users = farm.users_seen_by(&call.actor).await?;
    if let Some(name) = call.params.given("username") {
        users.retain(|user| user.name.as_str().eq_ignore_ascii_case(name));
    }
    if let Some(part) = call.params.given("search") {
        let part = part.to_ascii_lowercase();
        users.retain(|user| user.name.as_str().to_ascii_lowercase().contains(&part));
    }
    let shown: Vec<wire::User> = users.iter().map(|user| wire::user(&call, user)).collect();
    Ok(page.cut(&call, &shown))
}

/// `GET /users/:id`: one user. Everybody sees oneself, administrators see all.
///
/// 200; 400 for an id that is none; 401; 404 without such a user.
async fn one(farm: web::Data<Farm>, call: Call, path: web::Path<String>) -> Answer {
    let id: UserId = path.parse().map_err(|_| V3Error::BadParameter("id"))?;
    let user = farm.user_by_id(&call.actor, id).await?;
    Ok(HttpResponse::Ok().json(wire::user(&call, &user)))
}

/// `POST /session`: signs a user in with `login` (or `email`, which is its name as well, since the
/// farm knows no addresses) and `password`.
///
/// 201 with the user and the `private_token` of a session of 30 days; 401 for everything else.
async fn sign_in(farm: web::Data<Farm>, call: OpenCall) -> Answer {
    let login = call.params.given("login");
    let login = login.or_else(|| call.params.given("email"));
    let (Some(login), Some(password)) = (login, call.params.given("password")) else {
        return Err(FarmError::BadToken.into());
    };
    let (user, token) = farm.sign_in(login, password).await?;

    #[derive(Serialize)]
    struct SignedIn<'a> {
        #[serde(flatten)]
        user: Myself,
        private_token: &'a str,
    }
    Ok(HttpResponse::Created().json(SignedIn {
        user: myself(&call.base, &user, true),
        private_token: token.expose(),
    }))
}
