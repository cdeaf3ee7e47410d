//! The repository build API as clients of Quay speak it, with uploads of packages and archived
//! logs.
//!
//! This crate only translates: which states a build passes through, who may do what with it and how
//! long an upload is kept is decided by the farm.

mod auth;
mod base_url;
mod convert;
mod error;
mod faults;
mod log;
mod middleware;
mod phases;
mod routes;
mod settings;
mod wire;

use actix_web::web;

pub use phases::QuayPhase;
pub use settings::Settings;

/// Adds the routes. The application's data must hold a [`slipway_farm::Farm`].
pub fn configure(config: &mut web::ServiceConfig, settings: Settings) {
    config.app_data(web::Data::new(settings));
    routes::configure(config);
}
