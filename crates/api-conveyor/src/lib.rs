//! Conveyor's builds API at the root of the port, and the push hooks of forges.
//!
//! Translation and nothing else: which builds there may be, who may ask for them and which hooks
//! are believed is the farm's.

mod convert;
mod error;
mod extract;
mod hooks;
mod logs;
mod routes;
mod wire;

use actix_web::web;
use slipway_http::get_or_head;

/// Adds the routes. The application's data must hold a [`slipway_farm::Farm`].
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/builds")
                .route(web::post().to(routes::create_build))
                .default_service(web::to(routes::not_there)),
        )
        .service(
            web::resource("/builds/{identity:.+}")
                .route(web::route().guard(get_or_head()).to(routes::get_build))
                .default_service(web::to(routes::not_there)),
        )
        .service(
            web::resource("/artifacts/{identity:.+}")
                .route(web::route().guard(get_or_head()).to(routes::get_artifact))
                .default_service(web::to(routes::not_there)),
        )
        .service(
            web::resource("/logs/{identity:.+}")
                .route(web::get().to(logs::follow))
                .route(web::head().to(logs::head))
                .default_service(web::to(routes::not_there)),
        );
    hooks::configure(config);
}
