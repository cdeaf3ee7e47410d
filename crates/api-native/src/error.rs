//! Error responses: a status and the body `{"error":{"code":…,"message":…}}`.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use slipway_farm::FarmError;
use slipway_http::BodyError;

use crate::wire::{ErrorBody, ErrorDetail};

/// The `Retry-After` of a 503, in seconds.
const RETRY_AFTER_S: &str = "5";
/// The `Retry-After` of a 429, in seconds: a build has to end first.
const TOO_MANY_RETRY_AFTER_S: &str = "30";

/// The result of a handler.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error(transparent)]
    Farm(#[from] FarmError),
    /// The request is invalid. The text names the field and what was expected.
    #[error("{0}")]
    Malformed(String),
    /// The content type is not JSON.
    #[error("send the body as JSON, with the header Content-Type: application/json")]
    NotJson,
    /// The content type is not gzip.
    #[error("send a gzipped tar, with the header Content-Type: application/gzip")]
    NotGzip,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("route not found; /v1/docs lists all routes")]
    NoRoute,
    #[error("method not allowed; this route accepts {allowed}")]
    Method {
        /// The value of the header `Allow`.
        allowed: String,
    },
    #[error("the range starts at or after the end; there are only {size} bytes")]
    Range { size: u64 },
}

impl ApiError {
    /// The status, and the code by which programs distinguish errors.
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            ApiError::Farm(error) => farm_status_and_code(error),
            ApiError::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed"),
            ApiError::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json"),
            ApiError::NotGzip => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_gzip"),
            ApiError::Body(error) => body_status_and_code(error),
            ApiError::NoRoute => (StatusCode::NOT_FOUND, "no_route"),
            ApiError::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            ApiError::Range { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "range"),
        }
    }
}

fn body_status_and_code(error: &BodyError) -> (StatusCode, &'static str) {
    match error {
        BodyError::TooLarge { .. } | BodyError::UnknownSender { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "too_large")
        }
        BodyError::TimedOut => (StatusCode::REQUEST_TIMEOUT, "timed_out"),
        BodyError::NoMemory => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        BodyError::TooManyValues { .. } | BodyError::Unreadable(_) => {
            (StatusCode::BAD_REQUEST, "malformed")
        }
    }
}

fn farm_status_and_code(error: &FarmError) -> (StatusCode, &'static str) {
    match error {
        FarmError::BadToken | FarmError::EndedToken => (StatusCode::UNAUTHORIZED, "unauthorized"),
        FarmError::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
        FarmError::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
        FarmError::Invalid(_) | FarmError::IdleForEver => (StatusCode::BAD_REQUEST, "invalid"),
        FarmError::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
        FarmError::SourcesGone => (StatusCode::CONFLICT, "sources_gone"),
        FarmError::Refused(_) => (StatusCode::CONFLICT, "refused"),
        FarmError::TooManyBuilds => (StatusCode::TOO_MANY_REQUESTS, "too_many_builds"),
        FarmError::TooManyAttempts { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_attempts"),
        FarmError::ReadOnly => (StatusCode::FORBIDDEN, "read_only"),
        FarmError::Erased => (StatusCode::GONE, "erased"),
        FarmError::TraceGap { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "range"),
        FarmError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        FarmError::StorageFull { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "storage_full"),
        FarmError::ContentMissing { .. } => (StatusCode::SERVICE_UNAVAILABLE, "content_missing"),
        FarmError::DiskFull => (StatusCode::SERVICE_UNAVAILABLE, "disk_full"),
        FarmError::Unavailable(_) | FarmError::SourceUnavailable(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
        }
        FarmError::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status_and_code().0
    }

    fn error_response(&self) -> HttpResponse {
        if let ApiError::Farm(error) = self {
            error.log();
        }
        let (status, code) = self.status_and_code();
        let mut response = HttpResponseBuilder::new(status);
        match self {
            ApiError::Farm(FarmError::BadToken | FarmError::EndedToken) => {
                response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"slipway\""));
            }
            ApiError::Farm(
                FarmError::Unavailable(_)
                | FarmError::SourceUnavailable(_)
                | FarmError::ContentMissing { .. }
                | FarmError::DiskFull,
            ) => {
                response.insert_header((header::RETRY_AFTER, RETRY_AFTER_S));
            }
            ApiError::Farm(FarmError::TooManyBuilds) => {
                response.insert_header((header::RETRY_AFTER, TOO_MANY_RETRY_AFTER_S));
            }
            ApiError::Farm(FarmError::TooManyAttempts { retry_after }) => {
                response.insert_header((header::RETRY_AFTER, retry_after.as_secs()));
            }
            ApiError::Method { allowed } => {
                response.insert_header((header::ALLOW, allowed.as_str()));
            }
            ApiError::Range { size } => {
                response.insert_header((header::CONTENT_RANGE, format!("bytes */{size}")));
            }
            ApiError::Farm(_)
            | ApiError::Malformed(_)
            | ApiError::NotJson
            | ApiError::NotGzip
            | ApiError::Body(_)
            | ApiError::NoRoute => {}
        }
        response.json(ErrorBody {
            error: ErrorDetail {
                code: code.to_owned(),
                message: self.to_string(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_farm_error_has_a_status_and_hides_its_cause() {
        let failures = [
            (FarmError::BadToken, 401),
            (FarmError::EndedToken, 401),
            (FarmError::Forbidden("no"), 403),
            (FarmError::NotFound("job"), 404),
            (FarmError::Invalid("no".to_owned()), 400),
            (FarmError::Conflict("no".to_owned()), 409),
            (FarmError::SourcesGone, 409),
            (FarmError::TooManyBuilds, 429),
            (FarmError::ReadOnly, 403),
            (FarmError::Erased, 410),
            (FarmError::TraceGap { held: 1 }, 416),
            (FarmError::TooLarge { limit: 1 }, 413),
            (FarmError::Unavailable("secret".to_owned()), 503),
            (missing(), 503),
            (FarmError::DiskFull, 503),
            (FarmError::Internal("secret".into()), 500),
        ];
        for (failure, status) in failures {
            let error = ApiError::from(failure);
            assert_eq!(error.status_code().as_u16(), status, "{error}");
            let response = error.error_response();
            let retry = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(retry, matches!(status, 429 | 503), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        assert!(missing().to_string().contains("`a.zip` of job 7"));
    }

    fn missing() -> FarmError {
        FarmError::ContentMissing {
            what: "the file `a.zip` of job 7".to_owned(),
            why: "secret".to_owned(),
        }
    }
}
