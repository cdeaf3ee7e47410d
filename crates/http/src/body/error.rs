//! Why a body was not read.

use std::io;

use actix_web::error::PayloadError;

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The body is larger than the limit of its route, or is declared to be.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The body is larger than what is read before its sender is known.
    #[error(
        "the body is larger than {limit} bytes, which is all that is read before the sender is \
         known: send the token in a header"
    )]
    UnknownSender {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The body has more values, or longer names, than any client needs.
    #[error("the body has too many values: at most {limit} are read")]
    TooManyValues {
        /// The greatest number of values.
        limit: usize,
    },
    /// Too few bytes of the body arrived in time.
    #[error("the body did not arrive in time")]
    TimedOut,
    /// The memory for all bodies together is used up.
    #[error("the farm receives too many large bodies at the moment; try again later")]
    NoMemory,
    /// The connection broke, or the encoding of the body is invalid.
    #[error("the body could not be read: {0}")]
    Unreadable(#[source] PayloadError),
}

impl From<PayloadError> for BodyError {
    fn from(error: PayloadError) -> Self {
        match error {
            PayloadError::Io(error) if error.kind() == io::ErrorKind::TimedOut => Self::TimedOut,
            other => Self::Unreadable(other),
        }
    }
}
