//! What goes wrong, in the words of GitLab's consumer API v3: statuses and the exact strings.

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Value, json};
use slipway_farm::FarmError;

use crate::error::{RunnerV1Error, message};

/// An error of the consumer API v3.
#[derive(Debug)]
pub(crate) enum V3Error {
    /// What the farm says.
    Farm(FarmError),
    /// A parameter that is required is not there.
    Missing(&'static str),
    /// A parameter is not of its type.
    BadParameter(&'static str),
    /// A parameter is not one of the words it may be.
    BadValue(&'static str),
    /// The request makes no sense; the sentence says why.
    BadRequest(String),
    /// The right is there, but the thing's state forbids it; the reason is fixed by upstream.
    Forbidden(&'static str),
    /// A thing of the project is not there.
    NotFound,
    /// The same, in the words of lookups by ref and name.
    NotFoundByName,
    /// The token is not the one the path asks for.
    Unauthorized,
    /// The body is longer than is read.
    BodyTooLarge,
}

impl From<FarmError> for V3Error {
    fn from(error: FarmError) -> Self {
        V3Error::Farm(error)
    }
}

impl V3Error {
    pub(crate) fn bad_request(why: impl Into<String>) -> Self {
        Self::BadRequest(why.into())
    }

    /// What went wrong while a body was read.
    pub(crate) fn from_reading(error: RunnerV1Error) -> Self {
        match error {
            RunnerV1Error::BodyTooLarge => Self::BodyTooLarge,
            other => Self::BadRequest(other.to_string()),
        }
    }

    fn body(&self) -> Value {
        let bad = |why: &str| message(&format!("400 (Bad request) {why}"));
        match self {
            Self::Missing(name) => json!({ "error": format!("{name} is missing") }),
            Self::BadParameter(name) => json!({ "error": format!("{name} is invalid") }),
            Self::BadValue(name) => {
                json!({ "error": format!("{name} does not have a valid value") })
            }
            Self::BadRequest(why) => bad(why),
            Self::Forbidden(reason) => message(&format!("403 Forbidden  - {reason}")),
            Self::NotFound => message("404 Not Found"),
            Self::NotFoundByName => message("404 Not found"),
            Self::Unauthorized => message("401 Unauthorized"),
            Self::BodyTooLarge => message("413 Request Entity Too Large"),
            Self::Farm(error) => match error {
                FarmError::BadToken => message("401 Unauthorized"),
                FarmError::Forbidden(_) => message("403 Forbidden"),
                FarmError::NotFound("project") => message("404 Project Not Found"),
                FarmError::NotFound(_) | FarmError::Erased => message("404 Not Found"),
                FarmError::Invalid(why) => bad(why),
                FarmError::IdleForEver => bad(&error.to_string()),
                FarmError::Conflict(why) => message(&format!("409 Conflict: {why}")),
                FarmError::Refused(_) => message(&format!("409 Conflict: {error}")),
                FarmError::TraceGap { .. } => message("416 Range Not Satisfiable"),
                FarmError::TooLarge { .. } => message("413 Request Entity Too Large"),
                FarmError::Unavailable(_) => message("503 Service Unavailable"),
                FarmError::Internal(_) => message("500 Internal Server Error"),
            },
        }
    }
}

impl std::fmt::Display for V3Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.body().fmt(f)
    }
}

impl ResponseError for V3Error {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Missing(_) | Self::BadParameter(_) | Self::BadValue(_) | Self::BadRequest(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound | Self::NotFoundByName => StatusCode::NOT_FOUND,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Farm(error) => match error {
                FarmError::BadToken => StatusCode::UNAUTHORIZED,
                FarmError::Forbidden(_) => StatusCode::FORBIDDEN,
                FarmError::NotFound(_) | FarmError::Erased => StatusCode::NOT_FOUND,
                FarmError::Invalid(_) | FarmError::IdleForEver => StatusCode::BAD_REQUEST,
                FarmError::Conflict(_) | FarmError::Refused(_) => StatusCode::CONFLICT,
                FarmError::TraceGap { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
                FarmError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                FarmError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
                FarmError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut builder = HttpResponse::build(self.status_code());
        if let Self::Farm(error) = self {
            error.log();
            if matches!(error, FarmError::Unavailable(_)) {
                builder.insert_header((RETRY_AFTER, "3"));
            }
        }
        builder.json(self.body())
    }
}
