//! Errors of the client.

use serde::Deserialize;

/// Why a request to the farm failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{0:?} is not the URL of a farm: expected http://HOST or https://HOST")]
    Url(String),
    #[error("the token is empty or contains characters that are not allowed in tokens")]
    Token,
    #[error("could not set up the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// No response arrived.
    #[error("cannot reach the farm at {url}")]
    Unreachable {
        /// The URL of the farm.
        url: String,
        source: reqwest::Error,
    },
    /// The farm answered with an error.
    #[error("{message}")]
    Api {
        /// The HTTP status.
        status: u16,
        /// The code of the error, for programs.
        code: String,
        /// The description of the error, for people.
        message: String,
    },
    /// The response is not one of this API. It may come from a proxy or another server.
    #[error(
        "the server answered {status} in a format that this client does not understand; is the URL \
         right?"
    )]
    NotAFarm {
        /// The HTTP status.
        status: u16,
    },
    /// The response broke off, or has an unexpected format.
    #[error("could not read the response of the farm")]
    Unreadable(#[source] reqwest::Error),
    /// An event stream broke off, or has an event with an unexpected format.
    #[error("could not read the event stream of the farm")]
    BadEvent,
}

#[derive(Deserialize)]
struct Body {
    error: Detail,
}

#[derive(Deserialize)]
struct Detail {
    code: String,
    message: String,
}

impl ClientError {
    /// The error that a response without a success status describes.
    pub(crate) fn from_response(status: u16, body: &[u8]) -> Self {
        match serde_json::from_slice::<Body>(body) {
            Ok(Body { error }) => ClientError::Api {
                status,
                code: error.code,
                message: error.message,
            },
            Err(_) => ClientError::NotAFarm { status },
        }
    }

    /// Whether the same request may succeed if it is sent again later.
    pub fn is_transient(&self) -> bool {
        match self {
            ClientError::Unreachable { .. } | ClientError::Unreadable(_) => true,
            ClientError::Api { status, .. } | ClientError::NotAFarm { status } => {
                matches!(status, 429 | 500 | 502..=504)
            }
            ClientError::Url(_)
            | ClientError::Token
            | ClientError::Setup(_)
            | ClientError::BadEvent => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_errors_have_the_message_of_the_farm_and_5xx_are_transient() {
        let body = br#"{"error":{"code":"not_found","message":"no such project"}}"#;
        let error = ClientError::from_response(404, body);
        assert_eq!(error.to_string(), "no such project");
        assert!(!error.is_transient());
        assert!(ClientError::from_response(503, body).is_transient());
        let proxy = ClientError::from_response(502, b"<html>");
        assert!(matches!(proxy, ClientError::NotAFarm { status: 502 }));
    }
}
