//! The documentation of this API for programs and for people, and the schema of `.slipway.yml`. All
//! of it is public.

use actix_web::http::header;
use actix_web::{HttpResponse, get, web};
use serde_json::json;
use slipway_farm::Farm;

/// `GET /v1/openapi.json`: this API in the OpenAPI format. Public.
///
/// Status: 200.
#[get("/openapi.json")]
pub(crate) async fn openapi(farm: web::Data<Farm>) -> HttpResponse {
    let mut document = crate::openapi();
    if let Some(url) = &farm.settings().public_url {
        document["servers"] = json!([{"url": url}]);
    }
    HttpResponse::Ok().json(document)
}

/// `GET /v1/schemas/slipway.yml.json`: the JSON schema of `.slipway.yml`, for editors. Public.
///
/// Status: 200.
#[get("/schemas/slipway.yml.json")]
pub(crate) async fn definition_schema() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/schema+json")
        // Editors that run in a browser load the schema from another origin.
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .body(slipway_farm::DEFINITION_SCHEMA)
}

/// `GET /v1/docs`: a page that shows `/v1/openapi.json`. Public.
///
/// Status: 200.
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
