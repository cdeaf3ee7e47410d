//! How the three APIs answer a [`FarmError`] where they agree. Each API's own `error` module lists
//! what it answers differently.

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RANGE, RETRY_AFTER};
use actix_web::{HttpResponse, HttpResponseBuilder, Route, web};
use serde_json::{Value, json};
use slipway_farm::FarmError;

/// Seconds after which a client should repeat a request that was answered 503.
const RETRY_AFTER_S: &str = "3";
/// Seconds after which a client should repeat a request that was answered 429: a build has to end
/// first.
const TOO_MANY_RETRY_AFTER_S: &str = "30";

/// The body `{"message": …}`.
pub(crate) fn message(text: &str) -> Value {
    json!({ "message": text })
}

/// The status of `error`, unless the API has a status of its own for it.
pub(crate) fn status(error: &FarmError) -> StatusCode {
    match error {
        FarmError::BadToken
        | FarmError::EndedToken
        | FarmError::Forbidden(_)
        | FarmError::ReadOnly
        | FarmError::Erased => StatusCode::FORBIDDEN,
        FarmError::NotFound(_) => StatusCode::NOT_FOUND,
        FarmError::Invalid(_) | FarmError::IdleForEver => StatusCode::BAD_REQUEST,
        FarmError::Conflict(_) | FarmError::Refused(_) | FarmError::SourcesGone => {
            StatusCode::CONFLICT
        }
        FarmError::TooManyBuilds | FarmError::TooManyAttempts { .. } => {
            StatusCode::TOO_MANY_REQUESTS
        }
        FarmError::TraceGap { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
        FarmError::TooLarge { .. } | FarmError::StorageFull { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        FarmError::Unavailable(_)
        | FarmError::SourceUnavailable(_)
        | FarmError::ContentMissing { .. }
        | FarmError::DiskFull => StatusCode::SERVICE_UNAVAILABLE,
        FarmError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// GitLab's message for a status without a more specific one: `403 Forbidden`.
pub(crate) fn status_line(status: StatusCode) -> String {
    // GitLab of that time uses the older reason phrase.
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        return "413 Request Entity Too Large".to_owned();
    }
    status.to_string()
}

/// Logs `error` if operators should see it, and adds the headers that go with it.
pub(crate) fn log_and_add_headers(error: &FarmError, builder: &mut HttpResponseBuilder) {
    error.log();
    match error {
        // Runners continue the trace at this length. Every v1 client from 1.3 on crashes if a 416
        // lacks the header.
        FarmError::TraceGap { held } => {
            builder.insert_header((RANGE, format!("0-{held}")));
        }
        FarmError::Unavailable(_)
        | FarmError::SourceUnavailable(_)
        | FarmError::ContentMissing { .. }
        | FarmError::DiskFull => {
            builder.insert_header((RETRY_AFTER, RETRY_AFTER_S));
        }
        FarmError::TooManyBuilds => {
            builder.insert_header((RETRY_AFTER, TOO_MANY_RETRY_AFTER_S));
        }
        FarmError::TooManyAttempts { retry_after } => {
            builder.insert_header((RETRY_AFTER, retry_after.as_secs()));
        }
        _ => {}
    }
}

/// The default of a resource that has only `methods`: 405, with the header `Allow`.
pub(crate) fn method_not_allowed(methods: &'static str) -> Route {
    web::to(move || async move {
        HttpResponse::MethodNotAllowed()
            .insert_header((ALLOW, methods))
            .json(json!({ "error": "405 Not Allowed" }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines_use_the_reason_phrases_of_gitlab() {
        for (status, line) in [
            (StatusCode::FORBIDDEN, "403 Forbidden"),
            (StatusCode::NOT_FOUND, "404 Not Found"),
            (StatusCode::CONFLICT, "409 Conflict"),
            (
                StatusCode::PAYLOAD_TOO_LARGE,
                "413 Request Entity Too Large",
            ),
            (
                StatusCode::RANGE_NOT_SATISFIABLE,
                "416 Range Not Satisfiable",
            ),
            (StatusCode::TOO_MANY_REQUESTS, "429 Too Many Requests"),
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "500 Internal Server Error",
            ),
            (StatusCode::SERVICE_UNAVAILABLE, "503 Service Unavailable"),
        ] {
            assert_eq!(status_line(status), line);
        }
    }
}
