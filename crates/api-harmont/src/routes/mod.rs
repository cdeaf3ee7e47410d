//! The routes below `/api/v0` and `/api/v1`, the log stream, and the methods that each of them takes.

mod builds;
mod jobs;
mod logins;
mod logs;
mod members;
pub(crate) mod openapi;
mod organizations;
mod pipelines;
mod source;
mod user;

use actix_web::middleware::from_fn;
use actix_web::{HttpResponse, Resource, Route, Scope, web};
use serde::Serialize;
use slipway_http::get_or_head;
use utoipa::IntoParams;

use crate::auth::{V0, V1};
use crate::error::HarmontError;
use crate::middleware::{finish, finish_stream};

/// What a handler returns.
type Answer = Result<HttpResponse, HarmontError>;

/// The largest JSON body on routes that are not configured, in bytes.
const MAX_JSON: usize = 1 << 20;

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config.service(rest(V0, GET, |pipeline| pipeline).wrap(from_fn(finish)));
    let newer = rest(V1, "GET, HEAD, DELETE", |pipeline| {
        pipeline.route(web::delete().to(pipelines::archive))
    });
    let newer = newer
        .service(resource(&format!("{ORG}/members"), GET).route(get(members::list)))
        .service(
            resource(&format!("{ORG}/members/{{user_id}}"), "PATCH, DELETE")
                .route(web::patch().to(members::update))
                .route(web::delete().to(members::remove)),
        );
    config.service(newer.wrap(from_fn(finish)));
    // Outside of the REST paths, as in the hosted service.
    for path in ["/v0/jobs/{job_id}/logs", "/v1/jobs/{job_id}/logs"] {
        let stream = resource(path, "GET").route(web::get().to(logs::follow));
        config.service(stream.wrap(from_fn(finish_stream)));
    }
}

const ORG: &str = "/organizations/{org}";
const PIPELINE: &str = "/organizations/{org}/pipelines/{pipeline}";

/// The routes that both generations have. `more` adds methods to the resource of a pipeline.
fn rest(
    prefix: &str,
    pipeline_methods: &'static str,
    more: impl FnOnce(Resource) -> Resource,
) -> Scope {
    let build = |below: &str| format!("{PIPELINE}/builds/{{number}}{below}");
    web::scope(prefix)
        .service(resource("/ping", GET).route(get(openapi::ping)))
        .service(resource("/openapi.json", GET).route(get(openapi::document)))
        .service(
            resource("/organizations", GET_POST)
                .route(get(organizations::list))
                .route(web::post().to(organizations::create)),
        )
        .service(resource(ORG, GET).route(get(organizations::read)))
        .service(
            resource(&format!("{ORG}/builds"), POST)
                .route(web::post().to(builds::create_by_source)),
        )
        .service(
            resource(&format!("{ORG}/pipelines"), GET_POST)
                .route(get(pipelines::list))
                .route(web::post().to(pipelines::create)),
        )
        .service(more(
            resource(PIPELINE, pipeline_methods).route(get(pipelines::read)),
        ))
        .service(
            resource(&format!("{PIPELINE}/builds"), GET_POST)
                .route(get(builds::list))
                .route(web::post().to(builds::create)),
        )
        .service(resource(&build(""), GET).route(get(builds::read)))
        .service(resource(&build("/cancel"), "PUT").route(web::put().to(builds::cancel)))
        .service(resource(&build("/log-token"), GET).route(get(builds::log_token)))
        .service(resource(&build("/jobs"), GET).route(get(jobs::list)))
        .service(resource(&build("/jobs/{job_id}"), GET).route(get(jobs::read)))
        .service(resource("/user", GET).route(get(user::read)))
        .service(
            resource("/user/api-tokens", GET_POST)
                .route(get(user::list_tokens))
                .route(web::post().to(user::create_token)),
        )
        .service(
            resource("/user/api-tokens/{id}", "DELETE").route(web::delete().to(user::revoke_token)),
        )
        .service(resource("/auth/logout", POST).route(web::post().to(logins::log_out)))
        .service(resource("/auth/cli/code", POST).route(web::post().to(logins::create_code)))
        .service(resource("/auth/cli/transfer", POST).route(web::post().to(logins::transfer)))
        .service(resource("/auth/cli/redeem", POST).route(web::post().to(logins::redeem)))
        .service(resource("/auth/cli/claim", POST).route(web::post().to(logins::claim)))
        .service(resource("/internal/builds/{uuid}/source.tar.gz", GET).route(get(source::archive)))
        .default_service(web::to(no_such_route))
}

const GET: &str = "GET, HEAD";
const GET_POST: &str = "GET, HEAD, POST";
const POST: &str = "POST";

/// A resource that answers other methods than `methods` with 405.
fn resource(path: &str, methods: &'static str) -> Resource {
    web::resource(path).default_service(web::to(move || method_not_allowed(methods)))
}

/// A route for GET and HEAD.
fn get<F, Args>(handler: F) -> Route
where
    F: actix_web::Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: actix_web::Responder + 'static,
{
    web::route().guard(get_or_head()).to(handler)
}

async fn method_not_allowed(methods: &'static str) -> Answer {
    Err(HarmontError::Method(methods))
}

async fn no_such_route() -> Answer {
    Err(HarmontError::NoRoute)
}

// The parameters of paths, for the OpenAPI document. Handlers read them through `Call`, because the
// order of the lookups decides which error a client sees.

#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct OrganizationPath {
    /// The slug of the organization.
    org: String,
}

#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct PipelinePath {
    /// The slug of the organization.
    org: String,
    /// The slug of the pipeline.
    pipeline: String,
}

#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct BuildPath {
    /// The slug of the organization.
    org: String,
    /// The slug of the pipeline.
    pipeline: String,
    /// The number of the build in its pipeline.
    number: i64,
}
