//! GitLab's APIs: the runner protocol v1 (stock runners 0.5 to 1.11, and our own runner), the
//! runner protocol v4 (stock runners 10 and later), and the consumer API v3.
//!
//! This crate only translates: every rule about jobs is in `farm`. A workaround for an old client
//! is an extractor or a small named type here. What the APIs do on the wire is described in
//! `docs/protocols/`.

mod artifacts;
mod bad_input;
mod base_url;
mod builds_v3;
mod commands;
mod convert;
mod error;
mod params;
mod runner_v1;
mod runner_v4;
mod upload_form;

use actix_web::web;

/// The prefixes of the runner protocol v1. Runners from 1.6 on append `/ci` to the configured URL;
/// older ones send requests to whatever the operator typed.
const RUNNER_V1_PREFIXES: [&str; 2] = ["/ci/api/v1", "/api/v1"];

/// Adds the routes of all three APIs. The application's data must contain a [`slipway_farm::Farm`].
pub fn configure(config: &mut web::ServiceConfig) {
    for prefix in RUNNER_V1_PREFIXES {
        runner_v1::configure(config, prefix);
    }
    builds_v3::configure(config);
    runner_v4::configure(config);
}
