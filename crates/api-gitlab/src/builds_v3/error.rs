//! What goes wrong, in the words of GitLab's consumer API v3: statuses and the exact strings.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Value, json};
use slipway_domain::byte_range::UnsatisfiableRange;
use slipway_farm::FarmError;

use crate::bad_input::BadInput;
use crate::error::message;

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
    /// Something of these names is there already.
    Taken(&'static [&'static str]),
    /// A trigger made no build.
    NoBuilds,
    /// A thing of the project is not there.
    NotFound,
    /// The same, in the words of lookups by ref and name.
    NotFoundByName,
    /// The body is longer than is read.
    BodyTooLarge,
    /// The OAuth token has expired or was revoked.
    EndedBearer,
    /// The part that is wanted begins at or beyond the end.
    UnsatisfiableRange(UnsatisfiableRange),
}

/// What an OAuth token that works no more is told, in the body and the header.
const ENDED: &str = "The token has expired or was revoked. You have to authorize anew.";

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

impl V3Error {
    pub(crate) fn bad_request(why: impl Into<String>) -> Self {
        Self::BadRequest(why.into())
    }

    /// What went wrong while a body was read.
    pub(crate) fn from_reading(error: BadInput) -> Self {
        match error {
            BadInput::TooLarge => Self::BodyTooLarge,
            BadInput::Unreadable(why) => Self::bad_request(&why),
            BadInput::NoForm => Self::bad_request("expected a form"),
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
            Self::Taken(names) => {
                let why = |name: &&str| ((*name).to_owned(), json!(["has already been taken"]));
                let why: serde_json::Map<String, Value> = names.iter().map(why).collect();
                json!({ "message": why })
            }
            Self::NoBuilds => message("No builds created"),
            Self::NotFound => message("404 Not Found"),
            Self::NotFoundByName => message("404 Not found"),
            Self::BodyTooLarge => message("413 Request Entity Too Large"),
            Self::EndedBearer => json!({ "error": "invalid_token", "error_description": ENDED }),
            Self::UnsatisfiableRange(_) => message("416 Range Not Satisfiable"),
            Self::Farm(error) => match error {
                FarmError::BadToken | FarmError::EndedToken => message("401 Unauthorized"),
                FarmError::Forbidden(_) | FarmError::ReadOnly => message("403 Forbidden"),
                FarmError::TooManyBuilds => message("429 Too Many Requests"),
                FarmError::NotFound("project") => message("404 Project Not Found"),
                FarmError::NotFound(_) | FarmError::Erased => message("404 Not Found"),
                FarmError::Invalid(why) => bad(why),
                FarmError::IdleForEver => bad(&error.to_string()),
                FarmError::Conflict(why) => message(&format!("409 Conflict: {why}")),
                FarmError::Refused(_) | FarmError::SourcesGone => {
                    message(&format!("409 Conflict: {error}"))
                }
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
            Self::Missing(_)
            | Self::BadParameter(_)
            | Self::BadValue(_)
            | Self::BadRequest(_)
            | Self::Taken(_)
            | Self::NoBuilds => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound | Self::NotFoundByName => StatusCode::NOT_FOUND,
            Self::EndedBearer => StatusCode::UNAUTHORIZED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsatisfiableRange(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Farm(error) => match error {
                FarmError::BadToken | FarmError::EndedToken => StatusCode::UNAUTHORIZED,
                FarmError::Forbidden(_) | FarmError::ReadOnly => StatusCode::FORBIDDEN,
                FarmError::TooManyBuilds => StatusCode::TOO_MANY_REQUESTS,
                FarmError::NotFound(_) | FarmError::Erased => StatusCode::NOT_FOUND,
                FarmError::Invalid(_) | FarmError::IdleForEver => StatusCode::BAD_REQUEST,
                FarmError::Conflict(_) | FarmError::Refused(_) | FarmError::SourcesGone => {
                    StatusCode::CONFLICT
                }
                FarmError::TraceGap { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
                FarmError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                FarmError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
                FarmError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut builder = HttpResponse::build(self.status_code());
        match self {
            Self::Farm(error) => {
                error.log();
                if matches!(error, FarmError::Unavailable(_)) {
                    builder.insert_header((RETRY_AFTER, "3"));
                }
            }
            Self::EndedBearer => {
                let challenge = format!(
                    "Bearer realm=\"slipway\", error=\"invalid_token\", error_description=\"{ENDED}\""
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
