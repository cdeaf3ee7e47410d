//! Errors, in the formats that clients of this API distinguish.
//!
//! A *problem* contains the farm's address as the caller sees it, which an error does not know.
//! Therefore [`crate::middleware`] writes the bodies: it has the request.

mod types;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde_json::{Value, json};
use slipway_farm::FarmError;
use slipway_http::BodyError;

pub(crate) use self::types::{ERROR_TYPES, ErrorType};

/// The text for a build that cannot be canceled, fixed by Quay.
const NOT_CANCELABLE: &str = "Build is currently running or has finished";
/// The text for a namespace at its limit, fixed by Quay.
const TOO_MANY_BUILDS: &str = "Maximum queued build rate exceeded.";
const READ_ONLY: &str = "This repository is read-only. Please try again later.";
const ALL_READ_ONLY: &str = "This server is read-only. Please try again later.";

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum QuayError {
    Farm(FarmError),
    /// The request is invalid; the text says why.
    Invalid(String),
    /// The build pushes its image or is finished.
    NotCancelable,
    /// A query parameter (name, help text) has the wrong type.
    Parameter(&'static str, &'static str),
    /// No build has this id, on routes where this is a *message* and not a problem.
    UnknownBuild(String),
    /// The body is declared to be JSON but cannot be parsed.
    Malformed,
    /// The `Content-Type` is not JSON.
    NotJson,
    /// The body was not read.
    Body(BodyError),
    /// The operator has made the whole API read-only.
    AllReadOnly,
    /// The route does not take this method, but these.
    Method(&'static str),
}

impl From<FarmError> for QuayError {
    fn from(error: FarmError) -> Self {
        QuayError::Farm(error)
    }
}

impl From<BodyError> for QuayError {
    fn from(error: BodyError) -> Self {
        QuayError::Body(error)
    }
}

/// The format of an error's body.
enum Format {
    /// An error type, with a detail unless the type's default one is used.
    Problem(ErrorType, Option<String>),
    /// `{"message": "<text>"}`.
    Message(StatusCode, String),
    /// `{"message": {"<parameter>": "<help text>"}}`.
    Parameters(Value),
    /// A message with `is_readonly`.
    AllReadOnly,
}

impl QuayError {
    /// 401: the request has no valid token.
    pub(crate) fn unauthenticated() -> Self {
        Self::Farm(FarmError::BadToken)
    }

    /// 403: the caller lacks a permission, or may not know whether the thing exists.
    pub(crate) fn forbidden() -> Self {
        Self::Farm(FarmError::Forbidden(
            "this needs a permission in the repository",
        ))
    }

    /// 404.
    pub(crate) fn not_found() -> Self {
        Self::Farm(FarmError::NotFound("build"))
    }

    /// 400, with a detail.
    pub(crate) fn invalid(why: impl Into<String>) -> Self {
        Self::Invalid(why.into())
    }

    fn format(&self) -> Format {
        let message = |status, text: &str| Format::Message(status, text.to_owned());
        match self {
            Self::Farm(error) => of_farm(error),
            Self::Invalid(why) => Format::Problem(ErrorType::InvalidRequest, Some(why.clone())),
            Self::NotCancelable => {
                Format::Problem(ErrorType::InvalidRequest, Some(NOT_CANCELABLE.to_owned()))
            }
            Self::Parameter(name, help) => Format::Parameters(json!({ *name: help })),
            Self::AllReadOnly => Format::AllReadOnly,
            // 400 and not 404, as in Quay.
            Self::UnknownBuild(id) => Format::Message(
                StatusCode::BAD_REQUEST,
                format!("Unable to locate a build by id: {id}"),
            ),
            Self::Malformed => message(StatusCode::BAD_REQUEST, "The body is not valid JSON."),
            Self::NotJson => message(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body must be JSON, with the Content-Type application/json.",
            ),
            Self::Body(error) => of_body(error),
            Self::Method(_) => message(
                StatusCode::METHOD_NOT_ALLOWED,
                "The method is not allowed for the requested URL.",
            ),
        }
    }

    /// The whole response, for a caller who reaches the farm at `base`.
    pub(crate) fn response(&self, base: &str) -> HttpResponse {
        let mut response = HttpResponseBuilder::new(self.status_code());
        match self {
            Self::Method(allowed) => {
                response.insert_header((ALLOW, *allowed));
            }
            Self::Farm(
                FarmError::Unavailable(_)
                | FarmError::SourceUnavailable(_)
                | FarmError::ContentMissing { .. }
                | FarmError::DiskFull,
            ) => {
                response.insert_header((RETRY_AFTER, "3"));
            }
            _ => {}
        }
        response.json(match self.format() {
            Format::Problem(error_type, detail) => problem(error_type, detail, base),
            Format::Message(_, text) => json!({ "message": text }),
            Format::Parameters(help) => json!({ "message": help }),
            Format::AllReadOnly => json!({ "message": ALL_READ_ONLY, "is_readonly": true }),
        })
    }
}

fn of_body(error: &BodyError) -> Format {
    let (status, text) = match error {
        BodyError::TooLarge { .. } | BodyError::UnknownSender { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large.")
        }
        BodyError::TooManyValues { .. } => {
            (StatusCode::BAD_REQUEST, "The body has too many values.")
        }
        BodyError::Unreadable(_) => (StatusCode::BAD_REQUEST, "The body is not valid JSON."),
        BodyError::TimedOut => (
            StatusCode::REQUEST_TIMEOUT,
            "The body did not arrive in time.",
        ),
        BodyError::NoMemory => (
            StatusCode::SERVICE_UNAVAILABLE,
            "The farm receives too many large bodies at the moment. Please try again later.",
        ),
    };
    Format::Message(status, text.to_owned())
}

fn of_farm(error: &FarmError) -> Format {
    let message = |status, text: &str| Format::Message(status, text.to_owned());
    match error {
        FarmError::BadToken | FarmError::EndedToken => {
            Format::Problem(ErrorType::InvalidToken, None)
        }
        FarmError::Forbidden(_) => Format::Problem(ErrorType::InsufficientScope, None),
        FarmError::NotFound(_) | FarmError::Erased => Format::Problem(ErrorType::NotFound, None),
        FarmError::Invalid(_)
        | FarmError::IdleForEver
        | FarmError::Conflict(_)
        | FarmError::SourcesGone
        | FarmError::Refused(_)
        | FarmError::TraceGap { .. } => {
            Format::Problem(ErrorType::InvalidRequest, Some(error.to_string()))
        }
        FarmError::TooLarge { .. } | FarmError::StorageFull { .. } => {
            Format::Message(StatusCode::PAYLOAD_TOO_LARGE, error.to_string())
        }
        FarmError::Unavailable(_)
        | FarmError::SourceUnavailable(_)
        | FarmError::ContentMissing { .. }
        | FarmError::DiskFull => {
            Format::Message(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
        FarmError::TooManyAttempts { .. } => {
            Format::Message(StatusCode::TOO_MANY_REQUESTS, error.to_string())
        }
        // Without `Retry-After`, as in Quay.
        FarmError::TooManyBuilds => message(StatusCode::TOO_MANY_REQUESTS, TOO_MANY_BUILDS),
        FarmError::ReadOnly => message(StatusCode::SERVICE_UNAVAILABLE, READ_ONLY),
        FarmError::Internal(_) => message(StatusCode::INTERNAL_SERVER_ERROR, "Internal error."),
    }
}

fn problem(error_type: ErrorType, detail: Option<String>, base: &str) -> Value {
    let name = error_type.as_str();
    let mut body = json!({
        "status": error_type.status().as_u16(),
        "title": name,
        "error_type": name,
        "type": error_type.url(base),
    });
    let detail = detail.or_else(|| error_type.default_detail().map(str::to_owned));
    // Both members hold the same text, and both are absent without one.
    if let Some(detail) = detail {
        body["error_message"] = detail.as_str().into();
        body["detail"] = detail.into();
    }
    body
}

impl std::fmt::Display for QuayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.format() {
            Format::Problem(error_type, detail) => {
                let detail = detail.or_else(|| error_type.default_detail().map(str::to_owned));
                write!(f, "{}: {}", error_type.as_str(), detail.unwrap_or_default())
            }
            Format::Message(_, text) => f.write_str(&text),
            Format::Parameters(help) => help.fmt(f),
            Format::AllReadOnly => f.write_str(ALL_READ_ONLY),
        }
    }
}

impl std::error::Error for QuayError {}

impl ResponseError for QuayError {
    fn status_code(&self) -> StatusCode {
        match self.format() {
            Format::Problem(error_type, _) => error_type.status(),
            Format::Message(status, _) => status,
            Format::Parameters(_) => StatusCode::BAD_REQUEST,
            Format::AllReadOnly => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        if let Self::Farm(error) = self {
            error.log();
        }
        HttpResponse::new(self.status_code())
    }
}
