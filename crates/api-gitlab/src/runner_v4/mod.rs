//! The runner protocol v4: stock runners 10 to 18.
//!
//! It calls the same use cases as v1. The differences are the names on the wire, which token
//! authenticates which request, and which status tells a runner that its job has finished. On the
//! wire: `docs/protocols/runner-v4.md`.

mod auth;
mod convert;
mod error;
mod params;
mod routes;
mod wire;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::HeaderName;
use actix_web::middleware::{Next, from_fn};
use actix_web::{HttpResponse, web};

use self::error::RunnerV4Error;
use self::routes::{artifacts, jobs, runners};
use crate::error::method_not_allowed;

type Answer = Result<HttpResponse, RunnerV4Error>;

/// Request header with a job's token.
const JOB_TOKEN: &str = "JOB-TOKEN";
/// Request header in which runners from 17.11 on repeat their own token.
const RUNNER_TOKEN: &str = "RUNNER-TOKEN";
/// Response header with the status of a job.
const JOB_STATUS: &str = "Job-Status";
/// Response header with the seconds until the runner's next update.
const UPDATE_INTERVAL_HEADER: &str = "X-GitLab-Trace-Update-Interval";
/// Seconds until the next update. GitLab sends 60 while nobody watches the log; a short interval
/// makes runners learn of a cancel sooner.
const UPDATE_INTERVAL_S: u32 = 3;
/// Names a request in the logs of both ends.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    let scope = web::scope("/api/v4")
        .service(
            web::resource("/runners")
                .route(web::post().to(runners::register))
                .route(web::delete().to(runners::unregister))
                .default_service(method_not_allowed("POST, DELETE")),
        )
        .route("/runners/verify", web::post().to(runners::verify))
        .route(
            "/runners/managers",
            web::delete().to(runners::delete_manager),
        )
        .route(
            "/runners/reset_authentication_token",
            web::post().to(runners::reset_token),
        )
        .route(
            "/runners/router/discovery",
            web::get().to(runners::discover_router),
        )
        .route(
            "/runners/{id}/reset_authentication_token",
            web::post().to(runners::reset_token_as_user),
        )
        .route("/jobs/request", web::post().to(jobs::request))
        .route("/jobs/{id}/trace", web::patch().to(jobs::append_trace))
        .service(
            web::resource("/jobs/{id}/artifacts")
                .route(web::post().to(artifacts::upload))
                .route(web::get().to(artifacts::download))
                .default_service(method_not_allowed("GET, POST")),
        )
        .route("/jobs/{id}", web::put().to(jobs::update))
        .default_service(web::to(no_such_route));
    config.service(scope.wrap(from_fn(with_request_id)));
}

/// Answers every other path of the API v4: only the endpoints for runners are supported.
async fn no_such_route() -> Answer {
    Err(RunnerV4Error::NotFound)
}

/// Repeats the request id in the response, because runners log the one they get back.
async fn with_request_id(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let id = request.headers().get(REQUEST_ID).cloned();
    let mut answer = next.call(request).await?;
    if let Some(id) = id {
        answer.headers_mut().insert(REQUEST_ID, id);
    }
    Ok(answer)
}
