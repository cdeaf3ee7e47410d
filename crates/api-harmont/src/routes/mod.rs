//! Which path leads where: below `/api/v0`, and to the live streams.

use actix_web::middleware::from_fn;
use actix_web::{Resource, Route, web};
use slipway_http::get_or_head;

use crate::problem::{Answer, Problem};
use crate::routes::{builds, docs, jobs, organizations, people, pipelines, source};
use crate::{frame, logs};

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    const ORG: &str = "/organizations/{org}";
    const PIPELINE: &str = "/organizations/{org}/pipelines/{pipeline}";
    let build = |below: &str| format!("{PIPELINE}/builds/{{number}}{below}");
    let scope = web::scope("/api/v0")
        .service(at("/ping", GET).route(get(docs::ping)))
        .service(at("/openapi.json", GET).route(get(docs::described)))
        .service(
            at("/organizations", GET_POST)
                .route(get(organizations::list))
                .route(web::post().to(organizations::create)),
        )
        .service(at(ORG, GET).route(get(organizations::read)))
        .service(
            at(&format!("{ORG}/builds"), "POST").route(web::post().to(builds::create_by_source)),
        )
        .service(
            at(&format!("{ORG}/pipelines"), GET_POST)
                .route(get(pipelines::list))
                .route(web::post().to(pipelines::create)),
        )
        .service(at(PIPELINE, GET).route(get(pipelines::read)))
        .service(
            at(&format!("{PIPELINE}/builds"), GET_POST)
                .route(get(builds::list))
                .route(web::post().to(builds::create)),
        )
        .service(at(&build(""), GET).route(get(builds::read)))
        .service(at(&build("/cancel"), "PUT").route(web::put().to(builds::cancel)))
        .service(at(&build("/log-token"), GET).route(get(builds::log_token)))
        .service(at(&build("/jobs"), GET).route(get(jobs::list)))
        .service(at(&build("/jobs/{job_id}"), GET).route(get(jobs::read)))
        .service(at("/user", GET).route(get(people::read)))
        .service(
            at("/user/api-tokens", GET_POST)
                .route(get(people::list_tokens))
                .route(web::post().to(people::create_token)),
        )
        .service(
            at("/user/api-tokens/{id}", "DELETE").route(web::delete().to(people::revoke_token)),
        )
        .service(at("/auth/logout", "POST").route(web::post().to(people::log_out)))
        .service(at("/auth/cli/code", "POST").route(web::post().to(people::make_code)))
        .service(at("/auth/cli/transfer", "POST").route(web::post().to(people::transfer)))
        .service(at("/auth/cli/redeem", "POST").route(web::post().to(people::redeem)))
        .service(at("/auth/cli/claim", "POST").route(web::post().to(people::claim)))
        .service(at("/internal/builds/{uuid}/source.tar.gz", GET).route(get(source::archive)))
        .default_service(web::to(no_such_route));
    config.service(scope.wrap(from_fn(frame::finished)));
    let stream = at("/v0/jobs/{job_id}/logs", "GET").route(web::get().to(logs::follow));
    config.service(stream.wrap(from_fn(frame::named)));
}

const GET: &str = "GET, HEAD";
const GET_POST: &str = "GET, HEAD, POST";

/// A path that knows which methods it has.
fn at(path: &str, methods: &'static str) -> Resource {
    web::resource(path).default_service(web::to(move || no_such_method(methods)))
}

/// GET, or HEAD, which is the same without a body.
fn get<F, Args>(handler: F) -> Route
where
    F: actix_web::Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: actix_web::Responder + 'static,
{
    web::route().guard(get_or_head()).to(handler)
}

async fn no_such_method(methods: &'static str) -> Answer {
    Err(Problem::Method(methods))
}

async fn no_such_route() -> Answer {
    Err(Problem::NoRoute)
}
