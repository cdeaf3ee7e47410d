//! The page that describes a kind of problem.

use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::Answer;
use crate::call::Call;
use crate::error::QuayError;
use crate::kinds::Kind;

/// `GET /api/v1/error/{error_type}`: what a kind of problem means.
///
/// 200; 404 for a kind that there is not.
pub(crate) async fn describe(call: Call, name: web::Path<String>) -> Answer {
    let found = Kind::ALL.into_iter().find(|kind| kind.as_str() == *name);
    let kind = found.ok_or_else(QuayError::not_found)?;
    Ok(HttpResponse::Ok().json(json!({
        "type": kind.url(call.base()),
        "title": kind.as_str(),
        "description": kind.description(),
    })))
}
