//! What can go wrong between a client and the farm.

use serde::Deserialize;

/// What can go wrong between a client and the farm.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The farm's URL is none.
    #[error("{0:?} is not the URL of a farm: expected http://HOST or https://HOST")]
    Url(String),
    /// The token has characters that no token has.
    #[error("the token is empty or has characters that no token has")]
    Token,
    /// The client cannot be set up at all.
    #[error("cannot set up HTTP")]
    Setup(#[source] reqwest::Error),
    /// Nobody answered.
    #[error("cannot reach the farm at {url}")]
    Unreachable {
        /// The farm's URL.
        url: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// The farm refused, and said why.
    #[error("{message}")]
    Api {
        /// The HTTP status.
        status: u16,
        /// The word for programs.
        code: String,
        /// The sentence for people.
        message: String,
    },
    /// The answer is not one of this API: a proxy, or another server.
    #[error("the server answered {status}, and not as a farm does")]
    NotAFarm {
        /// The HTTP status.
        status: u16,
    },
    /// The answer broke off, or has another shape.
    #[error("the farm's answer cannot be read")]
    Unreadable(#[source] reqwest::Error),
    /// An event of a stream has another shape.
    #[error("the farm's stream cannot be read")]
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
    /// What an answer that is no success means.
    pub(crate) fn of_answer(status: u16, body: &[u8]) -> Self {
        match serde_json::from_slice::<Body>(body) {
            Ok(Body { error }) => ClientError::Api {
                status,
                code: error.code,
                message: error.message,
            },
            Err(_) => ClientError::NotAFarm { status },
        }
    }

    /// Whether the same request may succeed later.
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
    fn a_refusal_carries_the_farms_sentence() {
        let body = br#"{"error":{"code":"not_found","message":"no such project"}}"#;
        let error = ClientError::of_answer(404, body);
        assert_eq!(error.to_string(), "no such project");
        assert!(!error.is_transient());
        assert!(ClientError::of_answer(503, body).is_transient());
        let proxy = ClientError::of_answer(502, b"<html>");
        assert!(matches!(proxy, ClientError::NotAFarm { status: 502 }));
    }
}
