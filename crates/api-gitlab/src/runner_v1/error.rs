//! Errors of the runner protocol v1: statuses, and the exact strings of GitLab 8.

use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use slipway_farm::FarmError;
use slipway_http::BodyError;

use crate::bad_input::BadInput;
use crate::error::{self, message, status_line};

/// An error of the runner protocol v1.
#[derive(Debug)]
pub(crate) enum RunnerV1Error {
    Farm(FarmError),
    /// A required parameter is missing.
    MissingParameter(&'static str),
    /// The request is invalid; the text says what was expected.
    BadRequest(String),
    /// An upload has no part named `file`.
    MissingFile,
    /// A trace chunk has no `Content-Range`.
    MissingRange,
    /// The reported job is not running on this runner.
    NotYourBuild,
    /// An artifact was uploaded for a job that is not running.
    BuildNotRunning,
    /// The path's id is not a valid job id, or the job has no archive, or the runner is paused.
    NotFound,
    BodyTooLarge,
    /// The body is too large to be read before its sender is known; the text says what to do.
    UnknownSender(String),
    /// A file precedes the field with the token, and is too large for that.
    TokenAfterFile,
    /// The body did not arrive in time.
    TimedOut,
    /// The memory for bodies is used up.
    NoMemory,
}

impl From<BodyError> for RunnerV1Error {
    fn from(error: BodyError) -> Self {
        BadInput::from(error).into()
    }
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
            BadInput::UnknownSender(why) => RunnerV1Error::UnknownSender(why),
            BadInput::TimedOut => RunnerV1Error::TimedOut,
            BadInput::NoMemory => RunnerV1Error::NoMemory,
            // GitLab reports any upload that is not a form as one without a file.
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
    /// The message in the body.
    fn text(&self) -> String {
        // GitLab writes two blanks before the dash.
        let forbidden = |reason: &str| format!("403 Forbidden  - {reason}");
        let bad_request = |why: &str| format!("400 (Bad request) {why}");
        match self {
            Self::MissingParameter(name) => bad_request(&format!("\"{name}\" not given")),
            Self::MissingFile => bad_request("\"Missing artifacts file!\" not given"),
            Self::MissingRange => "400 Missing header Content-Range".to_owned(),
            Self::BadRequest(why) | Self::Farm(FarmError::Invalid(why)) => bad_request(why),
            // The lower-case "found" is how GitLab answers reports on a job of another runner.
            Self::NotYourBuild => "404 Not found".to_owned(),
            Self::BuildNotRunning => forbidden("Build is not running!"),
            Self::Farm(FarmError::Erased) => forbidden("Build has been erased!"),
            Self::TokenAfterFile => {
                forbidden("Send the token before the file or in the header BUILD-TOKEN")
            }
            Self::Farm(
                error @ (FarmError::StorageFull { .. }
                | FarmError::ContentMissing { .. }
                | FarmError::DiskFull),
            ) => {
                format!("{} - {error}", status_line(self.status_code()))
            }
            Self::UnknownSender(why) => format!("{} - {why}", status_line(self.status_code())),
            Self::NotFound
            | Self::BodyTooLarge
            | Self::TimedOut
            | Self::NoMemory
            | Self::Farm(_) => status_line(self.status_code()),
        }
    }

    fn builder(&self) -> HttpResponseBuilder {
        let mut builder = HttpResponse::build(self.status_code());
        if let Self::Farm(error) = self {
            error::log_and_add_headers(error, &mut builder);
        }
        builder
    }

    /// The same error as plain text, which GitLab answers for paths that end in `.txt`.
    pub(crate) fn as_text(&self) -> HttpResponse {
        let mut builder = self.builder();
        builder.insert_header((CONTENT_TYPE, "text/plain"));
        builder.body(self.text())
    }
}

impl ResponseError for RunnerV1Error {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::MissingParameter(_)
            | Self::BadRequest(_)
            | Self::MissingFile
            | Self::MissingRange => StatusCode::BAD_REQUEST,
            Self::NotYourBuild | Self::NotFound => StatusCode::NOT_FOUND,
            Self::BuildNotRunning | Self::TokenAfterFile => StatusCode::FORBIDDEN,
            Self::BodyTooLarge | Self::UnknownSender(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::NoMemory => StatusCode::SERVICE_UNAVAILABLE,
            // GitLab rejects a runner that could never take a job only when it saves the row, and
            // then answers as if the row did not exist.
            Self::Farm(FarmError::Refused(_) | FarmError::IdleForEver) => StatusCode::NOT_FOUND,
            Self::Farm(error) => error::status(error),
        }
    }

    fn error_response(&self) -> HttpResponse {
        self.builder().json(message(&self.text()))
    }
}

/// The only conflict of a change is a job that is not running, which this protocol answers with
/// 403.
pub(crate) fn not_running(error: FarmError) -> RunnerV1Error {
    match error {
        FarmError::Conflict(_) => RunnerV1Error::BuildNotRunning,
        other => other.into(),
    }
}
