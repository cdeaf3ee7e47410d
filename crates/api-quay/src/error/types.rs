//! The kinds of problem, and what is said of each.

use actix_web::http::StatusCode;

/// Where the kinds of problem are described.
pub(crate) const DESCRIPTIONS: &str = "/api/v1/error";

/// A kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nobody is known to call.
    InvalidToken,
    /// The caller may not do this.
    InsufficientScope,
    /// There is no such thing.
    NotFound,
    /// The request makes no sense.
    InvalidRequest,
    /// A service that the farm asked made no sense.
    InvalidResponse,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Kind; 5] = [
        Kind::InvalidToken,
        Kind::InsufficientScope,
        Kind::NotFound,
        Kind::InvalidRequest,
        Kind::InvalidResponse,
    ];

    /// Its identifier.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Kind::InvalidToken => "invalid_token",
            Kind::InsufficientScope => "insufficient_scope",
            Kind::NotFound => "not_found",
            Kind::InvalidRequest => "invalid_request",
            Kind::InvalidResponse => "invalid_response",
        }
    }

    /// The status that goes with it.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Kind::InvalidToken => StatusCode::UNAUTHORIZED,
            Kind::InsufficientScope => StatusCode::FORBIDDEN,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::InvalidRequest | Kind::InvalidResponse => StatusCode::BAD_REQUEST,
        }
    }

    /// What is said of it when there is no more to say.
    pub(crate) fn usual_detail(self) -> Option<&'static str> {
        match self {
            Kind::InvalidToken => Some("Requires authentication"),
            Kind::InsufficientScope => Some("Unauthorized"),
            Kind::NotFound => Some("Not Found"),
            Kind::InvalidRequest | Kind::InvalidResponse => None,
        }
    }

    /// Where it is described, for a caller who reaches the farm at `base`.
    pub(crate) fn url(self, base: &str) -> String {
        format!("{base}{DESCRIPTIONS}/{}", self.as_str())
    }

    /// What it means.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Kind::InvalidToken => {
                "The request has no token that works: it is missing, unknown, expired or revoked."
            }
            Kind::InsufficientScope => {
                "The token has not the scope, or its user not the role, that the request needs."
            }
            Kind::NotFound => "What the request names is not there.",
            Kind::InvalidRequest => "The request cannot be served as it is; its detail says why.",
            Kind::InvalidResponse => "A service that was asked gave an answer that makes no sense.",
        }
    }
}
