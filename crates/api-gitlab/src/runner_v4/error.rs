//! What goes wrong, as runners of this protocol read it.

use actix_web::http::StatusCode;
use actix_web::http::header::{RANGE, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Value, json};
use slipway_farm::FarmError;

use super::JOB_STATUS;
use crate::bad_input::BadInput;
use crate::convert;
use crate::error::message;

/// An error of the runner protocol v4.
#[derive(Debug)]
pub(crate) enum RunnerV4Error {
    /// What the farm says.
    Farm(FarmError),
    /// A parameter that is required is not there.
    Missing(&'static str),
    /// The request cannot be read; the sentence says what was expected.
    BadRequest(String),
    /// The request shows no token where it must.
    NoToken,
    /// There is nothing at this path.
    NotFound,
    /// The body is longer than is read.
    BodyTooLarge,
}

impl From<FarmError> for RunnerV4Error {
    fn from(error: FarmError) -> Self {
        RunnerV4Error::Farm(error)
    }
}

impl From<BadInput> for RunnerV4Error {
    fn from(error: BadInput) -> Self {
        match error {
            BadInput::Unreadable(why) => RunnerV4Error::BadRequest(why),
            BadInput::TooLarge => RunnerV4Error::BodyTooLarge,
            BadInput::NoForm => RunnerV4Error::Missing("file"),
        }
    }
}

impl std::fmt::Display for RunnerV4Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.body())
    }
}

impl RunnerV4Error {
    fn body(&self) -> Value {
        let error = |text: &str| json!({ "error": text });
        match self {
            Self::Missing(name) => error(&format!("{name} is missing")),
            Self::BadRequest(why) | Self::Farm(FarmError::Invalid(why)) => {
                message(&format!("400 Bad request - {why}"))
            }
            Self::NoToken => message("401 Unauthorized"),
            Self::NotFound => error("404 Not Found"),
            Self::BodyTooLarge => message("413 Request Entity Too Large"),
            Self::Farm(failed) => match failed {
                FarmError::BadToken
                | FarmError::EndedToken
                | FarmError::Forbidden(_)
                | FarmError::ReadOnly => message("403 Forbidden"),
                FarmError::Erased => message("403 Forbidden - Job has been erased!"),
                FarmError::Refused(_) => message("403 Forbidden - Job is not processing on runner"),
                FarmError::Conflict(_) | FarmError::SourcesGone => message("409 Conflict"),
                FarmError::NotFound(_) => message("404 Not found"),
                FarmError::IdleForEver => {
                    let why = "can not be empty when runner is not allowed to pick untagged jobs";
                    json!({ "message": { "tags_list": [why] } })
                }
                FarmError::Invalid(why) => message(&format!("400 Bad request - {why}")),
                FarmError::TooManyBuilds => message("429 Too Many Requests"),
                FarmError::TraceGap { .. } => error("416 Range Not Satisfiable"),
                FarmError::TooLarge { .. } => message("413 Request Entity Too Large"),
                FarmError::Unavailable(_) => message("503 Service Unavailable"),
                FarmError::Internal(_) => message("500 Internal Server Error"),
            },
        }
    }
}

impl ResponseError for RunnerV4Error {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Missing(_) | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NoToken => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Farm(error) => match error {
                // A job that is over or was taken away is forbidden ground to its runner, which
                // stops then.
                FarmError::BadToken
                | FarmError::EndedToken
                | FarmError::Forbidden(_)
                | FarmError::ReadOnly
                | FarmError::Erased
                | FarmError::Refused(_) => StatusCode::FORBIDDEN,
                FarmError::Conflict(_) | FarmError::SourcesGone => StatusCode::CONFLICT,
                FarmError::NotFound(_) => StatusCode::NOT_FOUND,
                FarmError::Invalid(_) | FarmError::IdleForEver => StatusCode::BAD_REQUEST,
                FarmError::TooManyBuilds => StatusCode::TOO_MANY_REQUESTS,
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
            match error {
                FarmError::TraceGap { held } => {
                    builder.insert_header((RANGE, format!("0-{held}")));
                }
                FarmError::Refused(refused) => {
                    builder.insert_header((JOB_STATUS, convert::status(&refused.from)));
                }
                FarmError::Unavailable(_) => {
                    builder.insert_header((RETRY_AFTER, "3"));
                }
                _ => {}
            }
        }
        builder.json(self.body())
    }
}
