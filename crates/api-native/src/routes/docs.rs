//! The description of this API, for programs and for people, and the schema of what repositories
//! bring along. All are served to everybody.

use actix_web::http::header;
use actix_web::{HttpResponse, get, web};
use slipway_farm::Farm;

/// `GET /v1/openapi.json`: this API in the OpenAPI format.
///
/// 200.
#[get("/openapi.json")]
pub(crate) async fn openapi(farm: web::Data<Farm>) -> HttpResponse {
    let mut described = crate::openapi();
    let public = farm.settings().public_url.as_ref();
    described.servers = public.map(|url| vec![utoipa::openapi::Server::new(url)]);
    HttpResponse::Ok().json(described)
}

/// `GET /v1/schemas/slipway.yml.json`: what `.slipway.yml` may be, as a JSON schema for editors.
///
/// 200.
#[get("/schemas/slipway.yml.json")]
pub(crate) async fn definition_schema() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/schema+json")
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .body(slipway_farm::DEFINITION_SCHEMA)
}

/// `GET /v1/docs`: a page that shows `/v1/openapi.json`.
///
/// 200.
#[get("/docs")]
pub(crate) async fn page() -> HttpResponse {
    let policy = "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; \
                  script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                  frame-ancestors 'none'";
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(include_str!("../docs.html"))
}
