//! Errors of the runner protocol v4: statuses, bodies and headers.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Value, json};
use slipway_farm::FarmError;

use super::JOB_STATUS;
use crate::bad_input::BadInput;
use crate::convert;
use crate::error::{self, message, status_line};

/// An error of the runner protocol v4.
#[derive(Debug)]
pub(crate) enum RunnerV4Error {
    Farm(FarmError),
    /// A required parameter is missing.
    MissingParameter(&'static str),
    /// The request is invalid; the text says what was expected.
    BadRequest(String),
    /// The request has no `JOB-TOKEN` header.
    MissingJobToken,
    /// The route does not exist, or the job has no archive.
    NotFound,
    BodyTooLarge,
    /// The body is too large to be read before its sender is known; the text says what to do.
    UnknownSender(String),
    /// The body did not arrive in time.
    TimedOut,
    /// The memory for bodies is used up.
    NoMemory,
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
            BadInput::UnknownSender(why) => RunnerV4Error::UnknownSender(why),
            BadInput::TimedOut => RunnerV4Error::TimedOut,
            BadInput::NoMemory => RunnerV4Error::NoMemory,
            BadInput::NoForm => RunnerV4Error::MissingParameter("file"),
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
            Self::MissingParameter(name) => error(&format!("{name} is missing")),
            Self::BadRequest(why) | Self::Farm(FarmError::Invalid(why)) => {
                message(&format!("400 Bad request - {why}"))
            }
            Self::NotFound => error("404 Not Found"),
            Self::Farm(FarmError::Erased) => message("403 Forbidden - Job has been erased!"),
            Self::Farm(FarmError::Refused(_)) => {
                message("403 Forbidden - Job is not processing on runner")
            }
            Self::Farm(FarmError::NotFound(_)) => message("404 Not found"),
            Self::Farm(FarmError::IdleForEver) => {
                let why = "can not be empty when runner is not allowed to pick untagged jobs";
                json!({ "message": { "tags_list": [why] } })
            }
            Self::Farm(FarmError::TraceGap { .. }) => error(&status_line(self.status_code())),
            Self::Farm(
                error @ (FarmError::StorageFull { .. }
                | FarmError::ContentMissing { .. }
                | FarmError::DiskFull),
            ) => message(&format!("{} - {error}", status_line(self.status_code()))),
            Self::UnknownSender(why) => {
                message(&format!("{} - {why}", status_line(self.status_code())))
            }
            Self::MissingJobToken
            | Self::BodyTooLarge
            | Self::TimedOut
            | Self::NoMemory
            | Self::Farm(_) => message(&status_line(self.status_code())),
        }
    }
}

impl ResponseError for RunnerV4Error {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::MissingParameter(_) | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::MissingJobToken => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::BodyTooLarge | Self::UnknownSender(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::NoMemory => StatusCode::SERVICE_UNAVAILABLE,
            // 403 is the status that makes a runner abort a job which has finished or was taken
            // away.
            Self::Farm(FarmError::Refused(_)) => StatusCode::FORBIDDEN,
            Self::Farm(error) => error::status(error),
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut builder = HttpResponse::build(self.status_code());
        if let Self::Farm(error) = self {
            error::log_and_add_headers(error, &mut builder);
            if let FarmError::Refused(refused) = error {
                builder.insert_header((JOB_STATUS, convert::job_status(&refused.from)));
            }
        }
        builder.json(self.body())
    }
}
