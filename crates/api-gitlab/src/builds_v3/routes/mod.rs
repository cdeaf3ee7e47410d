//! The handlers of the consumer API v3, one file for each resource.

mod artifacts;
mod builds;
mod commits;
mod members;
mod pipelines;
mod projects;
mod runners;
mod triggers;
mod users;
mod variables;

use actix_web::web;

/// Adds the routes of all resources.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .configure(users::configure)
        .configure(projects::configure)
        .configure(members::configure)
        .configure(triggers::configure)
        .configure(variables::configure)
        .configure(runners::configure)
        .configure(artifacts::configure)
        .configure(builds::configure)
        .configure(commits::configure)
        .configure(pipelines::configure);
}
