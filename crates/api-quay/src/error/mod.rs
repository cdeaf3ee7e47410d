//! What goes wrong, in the shapes that clients of this API tell apart.
//!
//! An error does not know at which address the farm was asked, which a *problem* names: the body
//! is written by [`crate::frame`], which sees the request.

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde_json::{Value, json};
use slipway_farm::FarmError;
use slipway_http::BodyError;

use crate::kinds::Kind;

/// The refusal of a cancel.
const NOT_CANCELABLE: &str = "Build is currently running or has finished";
/// The refusal of one build too many.
const TOO_MANY_BUILDS: &str = "Maximum queued build rate exceeded.";
/// The refusal while nothing may change.
const READ_ONLY: &str =
    "This repository is in a state in which it cannot be changed. Please try again later.";
/// The refusal while nothing may change anywhere.
const ALL_READ_ONLY: &str = "This server can only be read now. Please try again later.";

/// An error of this API.
#[derive(Debug)]
pub(crate) enum QuayError {
    /// What the farm says.
    Farm(FarmError),
    /// The request cannot be served as it is; the sentence says why.
    Invalid(String),
    /// The build is past the point where it can be called off.
    NotCancelable,
    /// A query parameter is not of its type, and what it should be.
    Parameter(&'static str, &'static str),
    /// A build is looked for by an id that none has, where that is told in a sentence.
    UnknownBuild(String),
    /// The body is JSON by its type, but not by its bytes.
    Unreadable,
    /// The body is not said to be JSON.
    NotJson,
    /// The body is longer than is read.
    BodyTooLarge,
    /// The whole API is for looking only.
    AllReadOnly,
    /// The path is one of this API, the method is none of the path.
    Method(&'static str),
}

impl From<FarmError> for QuayError {
    fn from(error: FarmError) -> Self {
        QuayError::Farm(error)
    }
}

impl From<BodyError> for QuayError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { .. } => QuayError::BodyTooLarge,
            BodyError::Unreadable(_) => QuayError::Unreadable,
        }
    }
}

/// What the body of an error is made of.
enum Shape {
    /// An identifier, and a text of its own unless the kind's usual one does.
    Problem(Kind, Option<String>),
    /// A sentence, with a status.
    Message(StatusCode, String),
    /// A sentence of each parameter that is wrong.
    Parameters(Value),
    /// The sentence on a farm that is for looking only, and a mark that says so.
    AllReadOnly,
}

impl QuayError {
    /// Nobody is known to have called.
    pub(crate) fn nobody() -> Self {
        Self::Farm(FarmError::BadToken)
    }

    /// The caller may not, or may not know.
    pub(crate) fn forbidden() -> Self {
        Self::Farm(FarmError::Forbidden("this needs a right in the repository"))
    }

    /// There is no such thing for a caller who may know.
    pub(crate) fn not_found() -> Self {
        Self::Farm(FarmError::NotFound("build"))
    }

    pub(crate) fn invalid(why: impl Into<String>) -> Self {
        Self::Invalid(why.into())
    }

    fn shape(&self) -> Shape {
        let message = |status, text: &str| Shape::Message(status, text.to_owned());
        match self {
            Self::Farm(error) => of_farm(error),
            Self::Invalid(why) => Shape::Problem(Kind::InvalidRequest, Some(why.clone())),
            Self::NotCancelable => {
                Shape::Problem(Kind::InvalidRequest, Some(NOT_CANCELABLE.to_owned()))
            }
            Self::Parameter(name, help) => Shape::Parameters(json!({ *name: help })),
            Self::AllReadOnly => Shape::AllReadOnly,
            Self::UnknownBuild(id) => Shape::Message(
                StatusCode::BAD_REQUEST,
                format!("Unable to locate a build by id: {id}"),
            ),
            Self::Unreadable => message(
                StatusCode::BAD_REQUEST,
                "The body cannot be read as JSON, which its type says it is.",
            ),
            Self::NotJson => message(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body must be JSON, with the Content-Type application/json.",
            ),
            Self::BodyTooLarge => message(
                StatusCode::PAYLOAD_TOO_LARGE,
                "The body is longer than is accepted.",
            ),
            Self::Method(_) => message(
                StatusCode::METHOD_NOT_ALLOWED,
                "The method is not allowed for the requested URL.",
            ),
        }
    }

    /// The whole answer to a caller who reaches the farm at `base`.
    pub(crate) fn answer(&self, base: &str) -> HttpResponse {
        let mut answer = HttpResponseBuilder::new(self.status_code());
        match self {
            Self::Method(allowed) => {
                answer.insert_header((ALLOW, *allowed));
            }
            Self::Farm(FarmError::Unavailable(_)) => {
                answer.insert_header((RETRY_AFTER, "3"));
            }
            _ => {}
        }
        answer.json(match self.shape() {
            Shape::Problem(kind, detail) => problem(kind, detail, base),
            Shape::Message(_, text) => json!({ "message": text }),
            Shape::Parameters(help) => json!({ "message": help }),
            Shape::AllReadOnly => json!({ "message": ALL_READ_ONLY, "is_readonly": true }),
        })
    }
}

fn of_farm(error: &FarmError) -> Shape {
    let message = |status, text: &str| Shape::Message(status, text.to_owned());
    match error {
        FarmError::BadToken | FarmError::EndedToken => Shape::Problem(Kind::InvalidToken, None),
        FarmError::Forbidden(_) => Shape::Problem(Kind::InsufficientScope, None),
        FarmError::NotFound(_) | FarmError::Erased => Shape::Problem(Kind::NotFound, None),
        FarmError::Invalid(_)
        | FarmError::IdleForEver
        | FarmError::Conflict(_)
        | FarmError::SourcesGone
        | FarmError::Refused(_)
        | FarmError::TraceGap { .. } => {
            Shape::Problem(Kind::InvalidRequest, Some(error.to_string()))
        }
        FarmError::TooLarge { .. } => {
            Shape::Message(StatusCode::PAYLOAD_TOO_LARGE, error.to_string())
        }
        FarmError::Unavailable(_) => {
            Shape::Message(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
        FarmError::TooManyBuilds => message(StatusCode::TOO_MANY_REQUESTS, TOO_MANY_BUILDS),
        FarmError::ReadOnly => message(StatusCode::SERVICE_UNAVAILABLE, READ_ONLY),
        FarmError::Internal(_) => message(StatusCode::INTERNAL_SERVER_ERROR, "Internal error."),
    }
}

fn problem(kind: Kind, detail: Option<String>, base: &str) -> Value {
    let name = kind.as_str();
    let mut body = json!({
        "status": kind.status().as_u16(),
        "title": name,
        "error_type": name,
        "type": kind.url(base),
    });
    let detail = detail.or_else(|| kind.usual_detail().map(str::to_owned));
    if let Some(detail) = detail {
        body["error_message"] = detail.as_str().into();
        body["detail"] = detail.into();
    }
    body
}

impl std::fmt::Display for QuayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.shape() {
            Shape::Problem(kind, detail) => {
                let detail = detail.or_else(|| kind.usual_detail().map(str::to_owned));
                write!(f, "{}: {}", kind.as_str(), detail.unwrap_or_default())
            }
            Shape::Message(_, text) => f.write_str(&text),
            Shape::Parameters(help) => help.fmt(f),
            Shape::AllReadOnly => f.write_str(ALL_READ_ONLY),
        }
    }
}

impl std::error::Error for QuayError {}

impl ResponseError for QuayError {
    fn status_code(&self) -> StatusCode {
        match self.shape() {
            Shape::Problem(kind, _) => kind.status(),
            Shape::Message(status, _) => status,
            Shape::Parameters(_) => StatusCode::BAD_REQUEST,
            Shape::AllReadOnly => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        if let Self::Farm(error) = self {
            error.log();
        }
        HttpResponse::new(self.status_code())
    }
}
