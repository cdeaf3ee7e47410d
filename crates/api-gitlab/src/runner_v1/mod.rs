//! The runner protocol v1 (GitLab 8): stock runners 0.5 to 1.11, and our own runner.
//!
//! On the wire: `docs/protocols/runner-v1.md`. The request and response types are shared with our
//! runner and live in `slipway-protocol`.

mod auth;
mod convert;
mod error;
mod params;
mod routes;
mod user_agent;

use actix_web::{HttpResponse, web};

use self::error::RunnerV1Error;
use self::routes::{artifacts, jobs, runners, uploads};
use crate::error::method_not_allowed;

type Answer = Result<HttpResponse, RunnerV1Error>;

/// Adds the routes below `prefix`.
///
/// Runners put `.json` after some paths, depending on their version. Handlers of `/builds/{id}`
/// strip it from the id themselves.
pub(crate) fn configure(config: &mut web::ServiceConfig, prefix: &str) {
    let at = |path: &str| format!("{prefix}{path}");
    config
        .route(&at("/runners/register"), web::post().to(runners::register))
        .route(
            &at("/runners/register.json"),
            web::post().to(runners::register),
        )
        .route(&at("/runners/delete"), web::delete().to(runners::delete))
        .route(
            &at("/runners/delete.json"),
            web::delete().to(runners::delete),
        )
        .route(&at("/builds/register"), web::post().to(jobs::request))
        .route(&at("/builds/register.json"), web::post().to(jobs::request))
        .route(&at("/builds/{id}"), web::put().to(jobs::update))
        .route(
            &at("/builds/{id}/trace.txt"),
            web::patch().to(jobs::append_trace),
        )
        .route(
            &at("/builds/{id}/package"),
            web::get().to(artifacts::package),
        )
        .service(
            web::resource(at("/builds/{id}/uploads/{upload}"))
                .route(web::get().to(uploads::offset))
                .route(web::patch().to(uploads::append))
                .route(web::post().to(uploads::finish))
                .default_service(method_not_allowed("GET, PATCH, POST")),
        )
        .service(
            web::resource(at("/builds/{id}/artifacts"))
                .route(web::post().to(artifacts::upload))
                .route(web::get().to(artifacts::download))
                // No runner calls this; it is part of GitLab's published API.
                .route(web::delete().to(artifacts::delete))
                .default_service(method_not_allowed("GET, POST, DELETE")),
        );
}
