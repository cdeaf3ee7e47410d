//! The builds API as clients of Harmont speak it; so far the live stream of a job's log.
//!
//! Translation and nothing else: what a log token opens, and what comes when, is the farm's.

mod error;
mod logs;
mod wire;

use actix_web::{HttpResponse, web};

use crate::error::HarmontError;

/// What a handler answers.
type Answer = Result<HttpResponse, HarmontError>;

/// Adds the routes. The application's data must hold a [`slipway_farm::Farm`].
pub fn configure(config: &mut web::ServiceConfig) {
    config.route("/v0/jobs/{job_id}/logs", web::get().to(logs::follow));
}
