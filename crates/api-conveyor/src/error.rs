//! Errors in Conveyor's format: `{"id":…,"message":…}`.

use actix_web::http::StatusCode;
use actix_web::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use slipway_farm::{FarmError, HookRefused, RequestError};
use slipway_http::BodyError;

use crate::wire::ErrorBody;

/// The generated client compares with this text to decide that something does not exist.
const NOT_FOUND: &str = "resource was not found";

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum ConveyorError {
    Farm(FarmError),
    /// The farm refused to build a commit.
    Request(RequestError),
    /// The request is malformed; the text says what was expected.
    BadRequest(String),
    /// The request is well-formed but incomplete or invalid.
    Invalid(&'static str),
    /// The signature or token of a webhook delivery is missing or wrong.
    Hook(HookRefused),
    /// The route does not exist, or the path cannot name anything.
    NotFound,
    /// The body was not read.
    Body(BodyError),
}

impl From<FarmError> for ConveyorError {
    fn from(error: FarmError) -> Self {
        ConveyorError::Farm(error)
    }
}

impl From<RequestError> for ConveyorError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Farm(error) => ConveyorError::Farm(error),
            other @ (RequestError::NoSuchBranch { .. } | RequestError::Upstream { .. }) => {
                ConveyorError::Request(other)
            }
        }
    }
}

impl From<HookRefused> for ConveyorError {
    fn from(error: HookRefused) -> Self {
        ConveyorError::Hook(error)
    }
}

impl From<BodyError> for ConveyorError {
    fn from(error: BodyError) -> Self {
        ConveyorError::Body(error)
    }
}

impl ConveyorError {
    fn status_and_id(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Farm(error) => of_farm(error),
            Self::Request(error) => match error {
                RequestError::Farm(error) => of_farm(error),
                RequestError::NoSuchBranch { .. } => {
                    (StatusCode::UNPROCESSABLE_ENTITY, "ref_not_found")
                }
                RequestError::Upstream { .. } => (StatusCode::BAD_GATEWAY, "upstream_error"),
            },
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Self::Hook(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::Body(error) => of_body(error),
        }
    }
}

fn of_body(error: &BodyError) -> (StatusCode, &'static str) {
    match error {
        BodyError::TooLarge { .. } | BodyError::UnknownSender { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "too_large")
        }
        BodyError::TimedOut => (StatusCode::REQUEST_TIMEOUT, "bad_request"),
        BodyError::NoMemory => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        BodyError::TooManyValues { .. } | BodyError::Unreadable(_) => {
            (StatusCode::BAD_REQUEST, "bad_request")
        }
    }
}

fn of_farm(error: &FarmError) -> (StatusCode, &'static str) {
    match error {
        FarmError::BadToken | FarmError::EndedToken => (StatusCode::UNAUTHORIZED, "unauthorized"),
        FarmError::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
        FarmError::NotFound(_) | FarmError::Erased => (StatusCode::NOT_FOUND, "not_found"),
        FarmError::Invalid(_) | FarmError::IdleForEver => {
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid")
        }
        // The only conflict in this API: a build of the same commit is not finished.
        FarmError::Conflict(_) | FarmError::Refused(_) => (StatusCode::CONFLICT, "duplicate_build"),
        FarmError::SourcesGone => (StatusCode::CONFLICT, "sources_gone"),
        FarmError::TooManyBuilds => (StatusCode::TOO_MANY_REQUESTS, "too_many_builds"),
        FarmError::TooManyAttempts { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_attempts"),
        FarmError::ReadOnly => (StatusCode::FORBIDDEN, "forbidden"),
        FarmError::TraceGap { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "bad_request"),
        FarmError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        FarmError::StorageFull { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "storage_full"),
        FarmError::SourceUnavailable(_) => (StatusCode::BAD_GATEWAY, "upstream_error"),
        FarmError::ContentMissing { .. } => (StatusCode::SERVICE_UNAVAILABLE, "content_missing"),
        FarmError::DiskFull => (StatusCode::SERVICE_UNAVAILABLE, "disk_full"),
        FarmError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        FarmError::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
    }
}

impl std::fmt::Display for ConveyorError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Farm(FarmError::NotFound(_) | FarmError::Erased) | Self::NotFound => {
                f.write_str(NOT_FOUND)
            }
            Self::Farm(error) => error.fmt(f),
            Self::Request(error) => error.fmt(f),
            Self::BadRequest(why) => f.write_str(why),
            Self::Invalid(why) => f.write_str(why),
            Self::Hook(error) => error.fmt(f),
            Self::Body(BodyError::Unreadable(_)) => f.write_str("the body could not be read"),
            Self::Body(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConveyorError {}

impl ResponseError for ConveyorError {
    fn status_code(&self) -> StatusCode {
        self.status_and_id().0
    }

    fn error_response(&self) -> HttpResponse {
        let (status, id) = self.status_and_id();
        let mut answer = HttpResponse::build(status);
        if let Self::Farm(error) = self {
            error.log();
            match error {
                FarmError::BadToken | FarmError::EndedToken => {
                    answer.insert_header((WWW_AUTHENTICATE, "Basic realm=\"slipway\""));
                }
                FarmError::Unavailable(_)
                | FarmError::ContentMissing { .. }
                | FarmError::DiskFull => {
                    answer.insert_header((RETRY_AFTER, "3"));
                }
                // A build has to end first.
                FarmError::TooManyBuilds => {
                    answer.insert_header((RETRY_AFTER, "30"));
                }
                FarmError::TooManyAttempts { retry_after } => {
                    answer.insert_header((RETRY_AFTER, retry_after.as_secs()));
                }
                _ => {}
            }
        }
        answer.json(ErrorBody {
            id,
            message: self.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_status_and_hides_internal_details() {
        let upstream = RequestError::Upstream {
            repository: "acme/api".to_owned(),
            why: "GitHub did not answer".to_owned(),
        };
        let errors: [(ConveyorError, u16, &str); 9] = [
            (FarmError::BadToken.into(), 401, "unauthorized"),
            (FarmError::Forbidden("no").into(), 403, "forbidden"),
            (FarmError::NotFound("build").into(), 404, "not_found"),
            (
                FarmError::Conflict("it exists".to_owned()).into(),
                409,
                "duplicate_build",
            ),
            (FarmError::TooManyBuilds.into(), 429, "too_many_builds"),
            (
                FarmError::Unavailable("hunter2".to_owned()).into(),
                503,
                "unavailable",
            ),
            (
                FarmError::Internal("hunter2".into()).into(),
                500,
                "internal_error",
            ),
            (upstream.into(), 502, "upstream_error"),
            (HookRefused.into(), 403, "forbidden"),
        ];
        for (error, status, id) in errors {
            let found = error.status_and_id();
            assert_eq!((found.0.as_u16(), found.1), (status, id), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
            let response = error.error_response();
            assert_eq!(response.status().as_u16(), status);
            let retry = response.headers().contains_key(RETRY_AFTER);
            assert_eq!(retry, matches!(status, 429 | 503), "{error}");
        }
        let missing = ConveyorError::from(FarmError::NotFound("project"));
        assert_eq!(missing.to_string(), NOT_FOUND);
    }
}
