//! Conveyor's builds API at the root of the port, and the push hooks of forges.
//!
//! This crate only translates: which builds may exist, who may request them and which hooks are
//! genuine is decided by the farm.

mod auth;
mod convert;
mod error;
mod hooks;
mod routes;
mod wire;

use actix_web::web;

/// Adds the routes. The application's data must hold a [`slipway_farm::Farm`].
pub fn configure(config: &mut web::ServiceConfig) {
    routes::configure(config);
    hooks::configure(config);
}
