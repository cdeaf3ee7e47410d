//! The runner protocol v4, as stock runners of 10 to 18 speak it.
//!
//! It is a second voice of what v1 says: what differs is how things are named, who proves itself by
//! which token, and which status tells a runner that a job is over.

mod auth;
mod convert;
mod error;
mod routes;
mod wire;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::HeaderName;
use actix_web::middleware::{Next, from_fn};
use actix_web::{HttpResponse, web};

use self::error::RunnerV4Error;
use self::routes::{artifacts, jobs, runners};

type Answer = Result<HttpResponse, RunnerV4Error>;

/// The header that carries a job's token.
const JOB_TOKEN: &str = "JOB-TOKEN";
/// The header in which newer runners repeat their own token.
const RUNNER_TOKEN: &str = "RUNNER-TOKEN";
/// The header that tells a runner the state of its job.
const JOB_STATUS: &str = "Job-Status";
/// The header that tells a runner in how many seconds to send what is new.
const UPDATE_INTERVAL: &str = "X-GitLab-Trace-Update-Interval";
/// Those seconds.
const INTERVAL_S: u32 = 3;
/// The header by which a request is found again.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    let scope = web::scope("/api/v4")
        .service(
            web::resource("/runners")
                .route(web::post().to(runners::register))
                .route(web::delete().to(runners::unregister)),
        )
        .route("/runners/verify", web::post().to(runners::verify))
        .route(
            "/runners/managers",
            web::delete().to(runners::remove_manager),
        )
        .route(
            "/runners/reset_authentication_token",
            web::post().to(runners::reset_token),
        )
        .route(
            "/runners/router/discovery",
            web::get().to(runners::discover),
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
                .route(web::get().to(artifacts::download)),
        )
        .route("/jobs/{id}", web::put().to(jobs::update))
        .default_service(web::to(no_such_route));
    config.service(scope.wrap(from_fn(with_request_id)));
}

/// Any other path of the API, of which the runners' part alone is here.
async fn no_such_route() -> Answer {
    Err(RunnerV4Error::NotFound)
}

/// Gives a request's name back with its answer, as runners log it.
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
