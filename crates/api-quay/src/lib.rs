//! The repository build API as clients of Quay speak it, with uploads of packages and archived logs.
//!
//! Translation and nothing else: what a build goes through, who may do what with it and what
//! becomes of an upload is the farm's.

mod body;
mod builds;
mod call;
mod convert;
mod described;
mod error;
mod files;
mod frame;
mod kinds;
mod logs;
mod query;
mod wire;

use actix_web::http::header::LOCATION;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, Resource, Scope, web};
use slipway_http::get_or_head;

use crate::error::QuayError;

/// What a handler answers.
type Answer = Result<HttpResponse, QuayError>;

/// Adds the routes. The application's data must hold a [`slipway_farm::Farm`].
pub fn configure(config: &mut web::ServiceConfig) {
    // A repository has a namespace and a name, which may have slashes of its own.
    let builds = "/{repository:[^/]+/.+}/build";
    let repository = scope("/api/v1/repository")
        .service(slashless(builds, "GET, HEAD, POST, OPTIONS"))
        .service(
            at(&format!("{builds}/"), "GET, HEAD, POST, OPTIONS")
                .route(web::route().guard(get_or_head()).to(builds::list))
                .route(web::post().to(builds::create)),
        )
        .service(
            at(&format!("{builds}/{{uuid}}/status"), "GET, HEAD, OPTIONS")
                .route(web::route().guard(get_or_head()).to(builds::status)),
        )
        .service(
            at(&format!("{builds}/{{uuid}}/logs"), "GET, HEAD, OPTIONS")
                .route(web::route().guard(get_or_head()).to(logs::entries)),
        )
        .service(
            at(&format!("{builds}/{{uuid}}"), "DELETE, GET, HEAD, OPTIONS")
                .route(web::route().guard(get_or_head()).to(builds::get))
                .route(web::delete().to(builds::cancel)),
        );
    let files = scope("/api/v1/filedrop")
        .service(slashless("", "POST, OPTIONS"))
        .service(
            at("/", "POST, OPTIONS")
                .route(web::post().to(files::place))
                // There is nothing to read, and so no such route for readers.
                .route(web::route().guard(get_or_head()).to(no_such_route)),
        );
    let kinds = scope(kinds::DESCRIPTIONS).service(
        at("/{kind}", "GET, HEAD, OPTIONS")
            .route(web::route().guard(get_or_head()).to(described::describe)),
    );
    let content = scope("/userfiles").service(
        at("/{file}", "GET, HEAD, OPTIONS, PUT")
            .route(web::put().to(files::upload))
            .route(web::route().guard(get_or_head()).to(files::download)),
    );
    let archive = scope("/logarchive").service(
        at("/{uuid}", "GET, HEAD, OPTIONS")
            .route(web::route().guard(get_or_head()).to(logs::archived)),
    );
    config.service(repository.wrap(from_fn(frame::finished)));
    config.service(files.wrap(from_fn(frame::finished)));
    config.service(kinds.wrap(from_fn(frame::finished)));
    config.service(content.wrap(from_fn(frame::finished)));
    config.service(archive.wrap(from_fn(frame::finished)));
}

fn scope(path: &str) -> Scope {
    web::scope(path).default_service(web::to(no_such_route))
}

/// A path that knows which methods it has.
fn at(path: &str, methods: &'static str) -> Resource {
    web::resource(path)
        .route(web::method(actix_web::http::Method::OPTIONS).to(options))
        .default_service(web::to(move || no_such_method(methods)))
}

/// A path that lacks the slash at its end: it leads to the one that has it.
fn slashless(path: &str, methods: &'static str) -> Resource {
    let redirected = match methods.contains("GET") {
        true => at(path, methods).route(web::route().guard(get_or_head()).to(with_slash)),
        false => at(path, methods),
    };
    redirected.route(web::post().to(with_slash))
}

async fn with_slash(request: HttpRequest) -> HttpResponse {
    let uri = request.uri();
    let query = uri.query().map(|query| format!("?{query}"));
    let base = frame::base(&request);
    let target = format!("{base}{}/{}", uri.path(), query.unwrap_or_default());
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, target))
        .finish()
}

async fn options() -> HttpResponse {
    HttpResponse::Ok().finish()
}

async fn no_such_method(methods: &'static str) -> Answer {
    Err(QuayError::Method(methods))
}

async fn no_such_route() -> Answer {
    Err(QuayError::not_found())
}
