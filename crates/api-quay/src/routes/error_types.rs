//! The descriptions of error types, to which the `type` of every problem links.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::Answer;
use crate::auth::Call;
use crate::error::{ErrorType, QuayError};

/// `GET /api/v1/error/{error_type}`: describes an error type.
///
/// 200; 404 if the type does not exist.
pub(super) async fn describe(call: Call, name: web::Path<String>) -> Answer {
    let mut all = ErrorType::ALL.into_iter();
    let found = all.find(|error_type| error_type.as_str() == *name);
    let error_type = found.ok_or_else(QuayError::not_found)?;
    Ok(HttpResponse::Ok().json(json!({
        "type": error_type.url(call.base()),
        "title": error_type.as_str(),
        "description": error_type.description(),
    })))
}
