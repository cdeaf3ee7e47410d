//! Errors of the consumer API v3: statuses, and the exact strings of GitLab 8.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_RANGE, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Value, json};
use slipway_domain::byte_range::UnsatisfiableRange;
use slipway_farm::FarmError;
use slipway_http::BodyError;

use crate::error::{self, message, status_line};

/// An error of the consumer API v3.
#[derive(Debug)]
pub(crate) enum V3Error {
    Farm(FarmError),
    /// A required parameter is missing.
    Missing(&'static str),
    /// A parameter has the wrong type.
    BadParameter(&'static str),
    /// A parameter has none of its allowed values.
    BadValue(&'static str),
    /// The request is invalid; the text says why.
    BadRequest(String),
    /// The caller has the right, but the state of the resource forbids the action. GitLab fixes the
    /// text.
    Forbidden(&'static str),
    /// The values of these parameters are already in use.
    Taken(&'static [&'static str]),
    /// A trigger created no build.
    NoBuilds,
    /// A resource of the project does not exist.
    NotFound,
    /// As `NotFound`, with the text that GitLab uses for lookups by ref and name.
    NotFoundByName,
    BodyTooLarge,
    /// The body is too large to be read before its sender is known; the text says what to do.
    UnknownSender(String),
    /// The body did not arrive in time.
    TimedOut,
    /// The memory for bodies is used up.
    NoMemory,
    /// The token was sent as an OAuth token, and has expired or was revoked.
    ExpiredOAuthToken,
    /// The requested range starts at or after the end.
    UnsatisfiableRange(UnsatisfiableRange),
}

/// The description of [`V3Error::ExpiredOAuthToken`], in the body and the header.
const EXPIRED: &str = "The token has expired or was revoked. Authorize again.";

impl From<UnsatisfiableRange> for V3Error {
    fn from(error: UnsatisfiableRange) -> Self {
        V3Error::UnsatisfiableRange(error)
    }
}

impl From<FarmError> for V3Error {
    fn from(error: FarmError) -> Self {
        V3Error::Farm(error)
    }
}

impl From<BodyError> for V3Error {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { .. } => Self::BodyTooLarge,
            BodyError::UnknownSender { .. } => Self::UnknownSender(error.to_string()),
            BodyError::TimedOut => Self::TimedOut,
            BodyError::NoMemory => Self::NoMemory,
            BodyError::TooManyValues { .. } | BodyError::Unreadable(_) => {
                Self::BadRequest(error.to_string())
            }
        }
    }
}

impl V3Error {
    pub(crate) fn bad_request(why: impl Into<String>) -> Self {
        Self::BadRequest(why.into())
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
            Self::Taken(names) => {
                let why = |name: &&str| ((*name).to_owned(), json!(["has already been taken"]));
                let why: serde_json::Map<String, Value> = names.iter().map(why).collect();
                json!({ "message": why })
            }
            Self::NoBuilds => message("No builds created"),
            Self::NotFoundByName => message("404 Not found"),
            Self::ExpiredOAuthToken => {
                json!({ "error": "invalid_token", "error_description": EXPIRED })
            }
            Self::Farm(FarmError::NotFound("project")) => message("404 Project Not Found"),
            Self::Farm(FarmError::Invalid(why)) => bad(why),
            Self::Farm(error @ FarmError::IdleForEver) => bad(&error.to_string()),
            Self::Farm(FarmError::Conflict(why)) => message(&format!("409 Conflict: {why}")),
            Self::Farm(error @ (FarmError::Refused(_) | FarmError::SourcesGone)) => {
                message(&format!("409 Conflict: {error}"))
            }
            Self::Farm(FarmError::SourceUnavailable(why)) => {
                message(&format!("503 Service Unavailable: {why}"))
            }
            Self::Farm(error @ (FarmError::ContentMissing { .. } | FarmError::DiskFull)) => {
                message(&format!("503 Service Unavailable: {error}"))
            }
            Self::UnknownSender(why) => {
                message(&format!("{} - {why}", status_line(self.status_code())))
            }
            Self::NotFound
            | Self::BodyTooLarge
            | Self::TimedOut
            | Self::NoMemory
            | Self::UnsatisfiableRange(_)
            | Self::Farm(_) => message(&status_line(self.status_code())),
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
            Self::Missing(_)
            | Self::BadParameter(_)
            | Self::BadValue(_)
            | Self::BadRequest(_)
            | Self::Taken(_)
            | Self::NoBuilds => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound | Self::NotFoundByName => StatusCode::NOT_FOUND,
            Self::ExpiredOAuthToken => StatusCode::UNAUTHORIZED,
            Self::BodyTooLarge | Self::UnknownSender(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::NoMemory => StatusCode::SERVICE_UNAVAILABLE,
            Self::UnsatisfiableRange(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            // The runner protocols answer 403 to these; this API has a status for failed
            // authentication.
            Self::Farm(FarmError::BadToken | FarmError::EndedToken) => StatusCode::UNAUTHORIZED,
            Self::Farm(FarmError::Erased) => StatusCode::NOT_FOUND,
            Self::Farm(error) => error::status(error),
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut builder = HttpResponse::build(self.status_code());
        match self {
            Self::Farm(error) => error::log_and_add_headers(error, &mut builder),
            Self::ExpiredOAuthToken => {
                let challenge = format!(
                    "Bearer realm=\"slipway\", error=\"invalid_token\", error_description=\"{EXPIRED}\""
                );
                builder.insert_header((WWW_AUTHENTICATE, challenge));
            }
            Self::UnsatisfiableRange(UnsatisfiableRange { size }) => {
                builder.insert_header((CONTENT_RANGE, format!("bytes */{size}")));
            }
            _ => {}
        }
        builder.json(self.body())
    }
}
