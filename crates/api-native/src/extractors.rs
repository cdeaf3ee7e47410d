//! Configuration of the extractors: limits, and errors in the format of this API.

use actix_web::error::{JsonPayloadError, PathError, QueryPayloadError};
use actix_web::web;

use crate::error::ApiError;

/// The largest accepted JSON body, in bytes.
const MAX_JSON: usize = 1 << 20;

/// Makes invalid paths, queries and bodies answer with an [`ApiError`].
pub(crate) fn configure(cfg: &mut web::ServiceConfig) {
    let json = web::JsonConfig::default()
        .limit(MAX_JSON)
        .error_handler(|error, _| json_error(&error).into());
    let path = web::PathConfig::default().error_handler(|error, _| {
        let why = match error {
            PathError::Deserialize(error) => error.to_string(),
            _ => "the path cannot be read".to_owned(),
        };
        ApiError::Malformed(why).into()
    });
    let query = web::QueryConfig::default().error_handler(|error, _| {
        let why = match error {
            QueryPayloadError::Deserialize(error) => format!("invalid query: {error}"),
            _ => "the query cannot be read".to_owned(),
        };
        ApiError::Malformed(why).into()
    });
    cfg.app_data(json).app_data(path).app_data(query);
}

fn json_error(error: &JsonPayloadError) -> ApiError {
    match error {
        JsonPayloadError::ContentType => ApiError::NotJson,
        JsonPayloadError::Overflow { limit }
        | JsonPayloadError::OverflowKnownLength { limit, .. } => {
            ApiError::BodyTooLarge { limit: *limit }
        }
        JsonPayloadError::Deserialize(error) => {
            ApiError::Malformed(format!("invalid body: {error}"))
        }
        _ => ApiError::Malformed("the body cannot be read".to_owned()),
    }
}
