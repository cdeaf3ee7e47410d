//! GitLab's words: the runner protocol v1, as stock runners of 0.5 to 1.11 and our own speak it, the
//! runner protocol v4 of those from 10 on, and the consumer API v3.
//!
//! Translation and nothing else. Every rule about jobs is the farm's; what an old client needs to
//! be humoured is an extractor or a small type with a name.

mod address;
mod agent;
mod bad_input;
mod builds_v3;
mod commands;
mod convert;
mod error;
mod forms;
mod params;
mod runner_v1;
mod runner_v4;

use actix_web::web;

/// The prefixes under which stock runners look for the protocol: what is typed as the address of
/// the coordinator, and which version asks, decides between them.
const RUNNER_V1_PREFIXES: [&str; 2] = ["/ci/api/v1", "/api/v1"];

/// Adds the routes. The application's data must hold a [`slipway_farm::Farm`].
pub fn configure(config: &mut web::ServiceConfig) {
    for prefix in RUNNER_V1_PREFIXES {
        runner_v1::configure(config, prefix);
    }
    builds_v3::configure(config);
    runner_v4::configure(config);
}
