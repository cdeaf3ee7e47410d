//! Invalid requests, before an API has chosen its own words for the error.

use slipway_http::BodyError;

/// Why a request could not be read.
#[derive(Debug)]
pub(crate) enum BadInput {
    /// The request is not in the expected format; the text says what was expected.
    Unreadable(String),
    TooLarge,
    /// The body is too large to be read before its sender is known; the text says what to do.
    UnknownSender(String),
    /// The body did not arrive in time.
    TimedOut,
    /// The memory for bodies is used up.
    NoMemory,
    /// An upload is not a form.
    NoForm,
}

impl From<BodyError> for BadInput {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { .. } => Self::TooLarge,
            BodyError::UnknownSender { .. } => Self::UnknownSender(error.to_string()),
            BodyError::TimedOut => Self::TimedOut,
            BodyError::NoMemory => Self::NoMemory,
            BodyError::TooManyValues { .. } | BodyError::Unreadable(_) => {
                Self::Unreadable(error.to_string())
            }
        }
    }
}
