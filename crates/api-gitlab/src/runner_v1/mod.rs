//! The routes of the runner protocol v1.

mod auth;
mod convert;
pub(crate) mod error;
mod routes;

use actix_web::{HttpResponse, web};

use self::error::RunnerV1Error;
use self::routes::{artifacts, jobs, runners};

type Answer = Result<HttpResponse, RunnerV1Error>;

/// Adds the routes below `prefix`.
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
            web::resource(at("/builds/{id}/artifacts"))
                .route(web::post().to(artifacts::upload))
                .route(web::get().to(artifacts::download))
                .route(web::delete().to(artifacts::remove)),
        );
}
