//! What this API is, for programs; and whether it is there.

use actix_web::HttpResponse;
use serde_json::json;

use crate::call::Anybody;
use crate::rest::Answer;

/// `GET /api/v0/ping`: whether somebody answers. Without a token.
///
/// 200.
pub(crate) async fn ping(_: Anybody) -> Answer {
    Ok(HttpResponse::Ok().json(json!({"status": "ok"})))
}

/// `GET /api/v0/openapi.json`: this API in the OpenAPI format. Without a token.
///
/// 200.
pub(crate) async fn described(_: Anybody) -> Answer {
    Ok(HttpResponse::Ok().json(openapi()))
}

/// The description of the operations on builds and jobs.
pub fn openapi() -> serde_json::Value {
    json!({"openapi": "3.0.3", "info": {"title": "Builds", "version": "0"}, "paths": {}})
}
