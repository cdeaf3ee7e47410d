//! Why a stream is not opened, in the words of its clients.

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpResponse, ResponseError};
use slipway_farm::FarmError;

use crate::wire;

/// Why a stream is not opened.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct StreamRefused(#[from] FarmError);

impl StreamRefused {
    /// The status, the class and the code.
    fn answer(&self) -> (StatusCode, &'static str, &'static str) {
        match &self.0 {
            FarmError::BadToken | FarmError::EndedToken => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "log_stream_unauthorized",
            ),
            FarmError::Forbidden(_)
            | FarmError::NotFound(_)
            | FarmError::Invalid(_)
            | FarmError::IdleForEver
            | FarmError::Conflict(_)
            | FarmError::Refused(_)
            | FarmError::TooManyBuilds
            | FarmError::ReadOnly
            | FarmError::Erased
            | FarmError::TraceGap { .. }
            | FarmError::TooLarge { .. } => {
                (StatusCode::FORBIDDEN, "forbidden", "log_stream_forbidden")
            }
            FarmError::Unavailable(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "service_unavailable",
                "service_unavailable",
            ),
            FarmError::Internal(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "server_error",
                "internal_error",
            ),
        }
    }
}

impl ResponseError for StreamRefused {
    fn status_code(&self) -> StatusCode {
        self.answer().0
    }

    fn error_response(&self) -> HttpResponse {
        self.0.log();
        let (status, kind, code) = self.answer();
        let message = match status {
            StatusCode::FORBIDDEN => "the token is for another build, or there is no such job",
            _ => &self.0.to_string(),
        };
        let mut answer = HttpResponse::build(status);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer.insert_header((RETRY_AFTER, "5"));
        }
        answer.json(wire::Refusal {
            code,
            message,
            error: wire::Error {
                kind,
                code,
                message,
            },
        })
    }
}
