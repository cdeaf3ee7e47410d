//! The builds API as clients of Harmont speak it, and the live stream of a job's log.
//!
//! Translation and nothing else: who may do what, what a build goes through, what becomes of the
//! sources that are handed in and what a log token opens is the farm's.

mod body;
mod call;
mod convert;
mod described;
mod frame;
mod ir;
mod logs;
mod paging;
mod problem;
mod rest;
mod routes;
mod shapes;
mod states;
mod wire;

use actix_web::web;

pub use routes::docs::openapi;

/// Adds the routes. The application's data must hold a [`slipway_farm::Farm`].
pub fn configure(config: &mut web::ServiceConfig) {
    rest::configure(config);
}
