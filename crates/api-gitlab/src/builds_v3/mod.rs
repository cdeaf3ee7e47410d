//! GitLab's consumer API v3, as its clients of the time of GitLab 8.4 to 8.17 expect it.

mod auth;
mod error;
mod page;
mod params;
mod routes;
mod wire;

use actix_web::guard::{Any, Get, Head};
use actix_web::{HttpResponse, Resource, Route, web};
use serde_json::json;

use self::auth::Call;
use self::error::V3Error;

/// What a handler answers.
type Answer = Result<HttpResponse, V3Error>;

/// Adds the routes below `/api/v3`.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    let scope = web::scope("/api/v3")
        .service(at("/version").route(read().to(version)))
        .configure(routes::configure)
        .default_service(web::to(no_such_route));
    config.service(scope);
}

/// A path, with or without `.json` at its end, that knows which methods it has.
fn at(path: &str) -> Resource {
    web::resource([format!("{path}.json"), path.to_owned()])
        .default_service(web::to(no_such_method))
}

/// A route for reading: GET, or HEAD, which is the same without a body.
fn read() -> Route {
    web::route().guard(Any(Get()).or(Head()))
}

async fn no_such_route() -> HttpResponse {
    HttpResponse::NotFound().json(json!({ "error": "404 Not Found" }))
}

async fn no_such_method() -> HttpResponse {
    HttpResponse::MethodNotAllowed().json(json!({ "error": "405 Not Allowed" }))
}

/// `GET /version`: which GitLab this speaks like.
///
/// 200; 401.
async fn version(_call: Call) -> Answer {
    Ok(HttpResponse::Ok().json(json!({
        "version": "8.17.0",
        "revision": env!("CARGO_PKG_VERSION"),
    })))
}
