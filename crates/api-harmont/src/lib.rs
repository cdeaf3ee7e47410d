//! The builds API as clients of Harmont speak it.
//!
//! Translation and nothing else: who may do what, what a build goes through and what becomes of the
//! sources that are handed in is the farm's.

mod body;
mod call;
mod convert;
mod described;
mod frame;
mod ir;
mod paging;
mod problem;
mod rest;
mod routes;
mod shapes;
mod states;

use actix_web::web;

pub use routes::docs::openapi;

/// Adds the routes. The application's data must hold a [`slipway_farm::Farm`].
pub fn configure(config: &mut web::ServiceConfig) {
    rest::configure(config);
}
