//! The routes, the methods that each of them takes, and redirects to paths with a slash.

mod builds;
mod error_types;
mod files;
mod logs;

use actix_web::http::Method;
use actix_web::http::header::LOCATION;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, Resource, Scope, web};
use slipway_http::get_or_head;

use crate::base_url::farm_base_url;
use crate::error::{ERROR_TYPES, QuayError};
use crate::middleware::finish;

/// What a handler returns.
type Answer = Result<HttpResponse, QuayError>;

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    // The first segment is the namespace; the name may contain slashes.
    let builds = "/{repository:[^/]+/.+}/build";
    let repository = scope("/api/v1/repository")
        .service(redirect_to_slash(builds, "GET, HEAD, POST, OPTIONS"))
        .service(
            resource(&format!("{builds}/"), "GET, HEAD, POST, OPTIONS")
                .route(web::route().guard(get_or_head()).to(builds::list))
                .route(web::post().to(builds::create)),
        )
        .service(
            resource(&format!("{builds}/{{uuid}}/status"), "GET, HEAD, OPTIONS")
                .route(web::route().guard(get_or_head()).to(builds::status)),
        )
        .service(
            resource(&format!("{builds}/{{uuid}}/logs"), "GET, HEAD, OPTIONS")
                .route(web::route().guard(get_or_head()).to(logs::entries)),
        )
        .service(
            resource(&format!("{builds}/{{uuid}}"), "DELETE, GET, HEAD, OPTIONS")
                .route(web::route().guard(get_or_head()).to(builds::get))
                .route(web::delete().to(builds::cancel)),
        );
    let uploads = scope("/api/v1/filedrop")
        .service(redirect_to_slash("", "POST, OPTIONS"))
        .service(
            resource("/", "POST, OPTIONS")
                .route(web::post().to(files::create))
                // Quay answers 404 here, and not 405 as for other methods.
                .route(web::route().guard(get_or_head()).to(no_such_route)),
        );
    let error_types = scope(ERROR_TYPES).service(
        resource("/{type}", "GET, HEAD, OPTIONS")
            .route(web::route().guard(get_or_head()).to(error_types::describe)),
    );
    let contents = scope("/userfiles").service(
        resource("/{file}", "GET, HEAD, OPTIONS, PUT")
            .route(web::put().to(files::upload))
            .route(web::route().guard(get_or_head()).to(files::download)),
    );
    let archive = scope("/logarchive").service(
        resource("/{uuid}", "GET, HEAD, OPTIONS")
            .route(web::route().guard(get_or_head()).to(logs::archived)),
    );
    for scope in [repository, uploads, error_types, contents, archive] {
        config.service(scope.wrap(from_fn(finish)));
    }
}

fn scope(path: &str) -> Scope {
    web::scope(path).default_service(web::to(no_such_route))
}

/// A resource that answers OPTIONS, and other methods than `methods` with 405.
fn resource(path: &str, methods: &'static str) -> Resource {
    web::resource(path)
        .route(web::method(Method::OPTIONS).to(options))
        .default_service(web::to(move || method_not_allowed(methods)))
}

/// A resource without the final slash, which redirects to the one that has it.
fn redirect_to_slash(path: &str, methods: &'static str) -> Resource {
    let resource = resource(path, methods).route(web::post().to(with_slash));
    if methods.contains("GET") {
        resource.route(web::route().guard(get_or_head()).to(with_slash))
    } else {
        resource
    }
}

async fn with_slash(request: HttpRequest) -> HttpResponse {
    let uri = request.uri();
    let query = uri.query().map(|query| format!("?{query}"));
    let base = farm_base_url(&request);
    let target = format!("{base}{}/{}", uri.path(), query.unwrap_or_default());
    // 308, because clients must send the same method and body again.
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, target))
        .finish()
}

async fn options() -> HttpResponse {
    HttpResponse::Ok().finish()
}

async fn method_not_allowed(methods: &'static str) -> Answer {
    Err(QuayError::Method(methods))
}

async fn no_such_route() -> Answer {
    Err(QuayError::not_found())
}
