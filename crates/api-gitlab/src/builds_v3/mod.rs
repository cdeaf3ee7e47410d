//! GitLab's consumer API v3, as clients of GitLab 8.4 to 8.17 expect it. On the wire:
//! `docs/protocols/gitlab-builds-v3.md`.

mod auth;
mod convert;
mod error;
mod page;
mod params;
mod routes;
mod wire;

use actix_web::{HttpResponse, Resource, Route, web};
use serde_json::json;
use slipway_http::get_or_head;

use self::auth::Call;
use self::error::V3Error;
use crate::error::method_not_allowed;

type Answer = Result<HttpResponse, V3Error>;

/// Adds the routes below `/api/v3`.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    let scope = web::scope("/api/v3")
        .service(at("/version", "GET, HEAD").route(read().to(version)))
        .configure(routes::configure)
        .default_service(web::to(no_such_route));
    config.service(scope);
}

/// A path, with or without `.json` at its end. It answers other methods than `methods` with 405.
fn at(path: &str, methods: &'static str) -> Resource {
    web::resource([format!("{path}.json"), path.to_owned()])
        .default_service(method_not_allowed(methods))
}

/// A route for GET and HEAD.
fn read() -> Route {
    web::route().guard(get_or_head())
}

async fn no_such_route() -> HttpResponse {
    HttpResponse::NotFound().json(json!({ "error": "404 Not Found" }))
}

/// `GET /version`: the version of GitLab whose API this is.
///
/// 200; 401.
async fn version(_call: Call) -> Answer {
    Ok(HttpResponse::Ok().json(json!({
        "version": "8.17.0",
        "revision": env!("CARGO_PKG_VERSION"),
    })))
}
