//! What goes wrong, in the words of GitLab's runner API: statuses and the exact strings.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RANGE, RETRY_AFTER};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use slipway_farm::FarmError;

use crate::bad_input::BadInput;
use crate::error::message;

/// An error of the runner protocol v1.
#[derive(Debug)]
pub(crate) enum RunnerV1Error {
    /// What the farm says.
    Farm(FarmError),
    /// A parameter that is required is not there.
    NotGiven(&'static str),
    /// The request cannot be read; the sentence says what was expected.
    BadRequest(String),
    /// The archive part of an upload is not there.
    MissingFile,
    /// A piece of a trace does not say where it belongs.
    MissingRange,
    /// The job to be reported on is not with this runner.
    NotYourBuild,
    /// Archives go to a job that is running.
    BuildNotRunning,
    /// There is nothing at this path.
    NotFound,
    /// The body is longer than is read.
    BodyTooLarge,
}

impl From<FarmError> for RunnerV1Error {
    fn from(error: FarmError) -> Self {
        RunnerV1Error::Farm(error)
    }
}

impl From<BadInput> for RunnerV1Error {
    fn from(error: BadInput) -> Self {
        match error {
            BadInput::Unreadable(why) => RunnerV1Error::BadRequest(why),
            BadInput::TooLarge => RunnerV1Error::BodyTooLarge,
            // To the client, the file is what is missing.
            BadInput::NoForm => RunnerV1Error::MissingFile,
        }
    }
}

impl std::fmt::Display for RunnerV1Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

impl RunnerV1Error {
    /// What the body says.
    fn text(&self) -> String {
        let forbidden = |reason: &str| format!("403 Forbidden  - {reason}");
        match self {
            Self::NotGiven(name) => format!("400 (Bad request) \"{name}\" not given"),
            Self::MissingFile => {
                "400 (Bad request) \"Missing artifacts file!\" not given".to_owned()
            }
            Self::MissingRange => "400 Missing header Content-Range".to_owned(),
            Self::BadRequest(why) => format!("400 (Bad request) {why}"),
            Self::NotYourBuild => "404 Not found".to_owned(),
            Self::BuildNotRunning => forbidden("Build is not running!"),
            Self::NotFound => "404 Not Found".to_owned(),
            Self::BodyTooLarge => "413 Request Entity Too Large".to_owned(),
            Self::Farm(error) => match error {
                FarmError::BadToken
                | FarmError::EndedToken
                | FarmError::Forbidden(_)
                | FarmError::ReadOnly => "403 Forbidden".to_owned(),
                FarmError::Erased => forbidden("Build has been erased!"),
                FarmError::NotFound(_) | FarmError::Refused(_) | FarmError::IdleForEver => {
                    "404 Not Found".to_owned()
                }
                FarmError::Invalid(why) => format!("400 (Bad request) {why}"),
                FarmError::Conflict(_) | FarmError::SourcesGone => "409 Conflict".to_owned(),
                FarmError::TooManyBuilds => "429 Too Many Requests".to_owned(),
                FarmError::TraceGap { .. } => "416 Range Not Satisfiable".to_owned(),
                FarmError::TooLarge { .. } => "413 Request Entity Too Large".to_owned(),
                FarmError::Unavailable(_) => "503 Service Unavailable".to_owned(),
                FarmError::Internal(_) => "500 Internal Server Error".to_owned(),
            },
        }
    }

    fn builder(&self) -> HttpResponseBuilder {
        if let Self::Farm(error) = self {
            error.log();
        }
        let mut builder = HttpResponse::build(self.status_code());
        match self {
            // Every v1 client from 1.3 on needs this header on a 416, or it crashes.
            Self::Farm(FarmError::TraceGap { held }) => {
                builder.insert_header((RANGE, format!("0-{held}")));
            }
            Self::Farm(FarmError::Unavailable(_)) => {
                builder.insert_header((RETRY_AFTER, "3"));
            }
            _ => {}
        }
        builder
    }

    /// The same error under a path that ends in `.txt`.
    pub(crate) fn as_text(&self) -> HttpResponse {
        let mut builder = self.builder();
        builder.insert_header((CONTENT_TYPE, "text/plain"));
        builder.body(self.text())
    }
}

impl ResponseError for RunnerV1Error {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::NotGiven(_) | Self::BadRequest(_) | Self::MissingFile | Self::MissingRange => {
                StatusCode::BAD_REQUEST
            }
            Self::NotYourBuild | Self::NotFound => StatusCode::NOT_FOUND,
            Self::BuildNotRunning => StatusCode::FORBIDDEN,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Farm(error) => match error {
                FarmError::BadToken
                | FarmError::EndedToken
                | FarmError::Forbidden(_)
                | FarmError::ReadOnly
                | FarmError::Erased => StatusCode::FORBIDDEN,
                // Upstream finds out about the last when it saves the row, and answers as if that
                // were lost.
                FarmError::NotFound(_) | FarmError::Refused(_) | FarmError::IdleForEver => {
                    StatusCode::NOT_FOUND
                }
                FarmError::Invalid(_) => StatusCode::BAD_REQUEST,
                FarmError::Conflict(_) | FarmError::SourcesGone => StatusCode::CONFLICT,
                FarmError::TooManyBuilds => StatusCode::TOO_MANY_REQUESTS,
                FarmError::TraceGap { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
                FarmError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                FarmError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
                FarmError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    fn error_response(&self) -> HttpResponse {
        self.builder().json(message(&self.text()))
    }
}
