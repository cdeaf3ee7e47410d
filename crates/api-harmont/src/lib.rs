//! The builds API as clients of Harmont speak it, and the live stream of a job's log.
//!
//! This crate only translates: who may do what, which states a build passes through, how long
//! submitted sources are kept and what a log token permits is decided by the farm.

mod auth;
mod convert;
mod error;
mod ir;
mod middleware;
mod routes;
mod settings;
mod states;
mod wire;

use actix_web::web;

pub use routes::openapi::openapi;
pub use settings::Settings;

/// Adds the routes. The application's data must hold a [`slipway_farm::Farm`].
pub fn configure(config: &mut web::ServiceConfig, settings: Settings) {
    config.app_data(web::Data::new(settings));
    routes::configure(config);
}
