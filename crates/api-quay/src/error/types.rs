//! The error types of problems, and their descriptions.

use actix_web::http::StatusCode;

/// The path below which error types are described.
pub(crate) const ERROR_TYPES: &str = "/api/v1/error";

/// The `error_type` of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorType {
    InvalidToken,
    InsufficientScope,
    NotFound,
    InvalidRequest,
    InvalidResponse,
}

impl ErrorType {
    pub(crate) const ALL: [ErrorType; 5] = [
        ErrorType::InvalidToken,
        ErrorType::InsufficientScope,
        ErrorType::NotFound,
        ErrorType::InvalidRequest,
        ErrorType::InvalidResponse,
    ];

    /// The identifier on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ErrorType::InvalidToken => "invalid_token",
            ErrorType::InsufficientScope => "insufficient_scope",
            ErrorType::NotFound => "not_found",
            ErrorType::InvalidRequest => "invalid_request",
            ErrorType::InvalidResponse => "invalid_response",
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            ErrorType::InvalidToken => StatusCode::UNAUTHORIZED,
            ErrorType::InsufficientScope => StatusCode::FORBIDDEN,
            ErrorType::NotFound => StatusCode::NOT_FOUND,
            ErrorType::InvalidRequest | ErrorType::InvalidResponse => StatusCode::BAD_REQUEST,
        }
    }

    /// The `detail` of problems that have no text of their own.
    pub(crate) fn default_detail(self) -> Option<&'static str> {
        match self {
            ErrorType::InvalidToken => Some("Requires authentication"),
            ErrorType::InsufficientScope => Some("Unauthorized"),
            ErrorType::NotFound => Some("Not Found"),
            ErrorType::InvalidRequest | ErrorType::InvalidResponse => None,
        }
    }

    /// The URL of the description, for a caller who reaches the farm at `base`.
    pub(crate) fn url(self, base: &str) -> String {
        format!("{base}{ERROR_TYPES}/{}", self.as_str())
    }

    /// An explanation for people.
    pub(crate) fn description(self) -> &'static str {
        match self {
            ErrorType::InvalidToken => "The token is missing, unknown, expired or revoked.",
            ErrorType::InsufficientScope => {
                "The token lacks the scope, or its user lacks the role, that the request needs."
            }
            ErrorType::NotFound => "The requested resource does not exist.",
            ErrorType::InvalidRequest => "The request is invalid; its detail explains why.",
            ErrorType::InvalidResponse => "Another service returned an invalid response.",
        }
    }
}
