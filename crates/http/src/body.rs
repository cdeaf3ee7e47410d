//! Request bodies of bounded size, and what type they are declared to have.

use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The body is larger than the limit, or is declared to be.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The connection broke, or the encoding of the body is invalid.
    #[error("the body could not be read: {0}")]
    Unreadable(#[from] PayloadError),
}

/// Reads a whole body of at most `limit` bytes.
///
/// # Errors
/// [`BodyError::TooLarge`] as soon as more bytes have arrived; [`BodyError::Unreadable`].
pub async fn read_body(
    payload: impl Stream<Item = Result<Bytes, PayloadError>>,
    limit: usize,
) -> Result<Bytes, BodyError> {
    let mut payload = std::pin::pin!(payload);
    let mut body = BytesMut::new();
    while let Some(piece) = payload.next().await {
        let piece = piece?;
        // Checked before the copy: a body without a declared length must not fill the memory.
        if body.len() + piece.len() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// Checks the declared length of a body before any of it is read.
///
/// # Errors
/// [`BodyError::TooLarge`] if `Content-Length` is above `limit`.
pub fn check_declared_length(headers: &HeaderMap, limit: usize) -> Result<(), BodyError> {
    let declared = headers.get(CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(BodyError::TooLarge { limit });
    }
    Ok(())
}

/// The media type of a body in lower case and without parameters; empty if the header is not
/// ASCII, `None` without a `Content-Type`.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default();
    Some(essence.trim().to_ascii_lowercase())
}

/// Whether a media type, as [`media_type`] returns it, is JSON or a format built on JSON.
pub fn is_json(media_type: &str) -> bool {
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit() {
        let payload =
            || stream::iter([Ok(Bytes::from_static(b"ab")), Ok(Bytes::from_static(b"c"))]);
        assert_eq!(read_body(payload(), 3).await.unwrap(), "abc");
        let error = read_body(payload(), 2).await.unwrap_err();
        assert!(matches!(error, BodyError::TooLarge { limit: 2 }));
    }

    #[tokio::test]
    async fn a_broken_body_is_unreadable() {
        let payload = stream::iter([Err(PayloadError::Incomplete(None))]);
        let error = read_body(payload, 3).await.unwrap_err();
        assert!(matches!(error, BodyError::Unreadable(_)));
    }

    #[test]
    fn a_declared_length_above_the_limit_is_refused() {
        let mut headers = HeaderMap::new();
        assert!(check_declared_length(&headers, 3).is_ok());
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("3"));
        assert!(check_declared_length(&headers, 3).is_ok());
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("4"));
        assert!(check_declared_length(&headers, 3).is_err());
    }

    #[test]
    fn json_has_several_media_types() {
        let declared = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            media_type(&headers)
        };
        for json in [
            "application/json",
            "Application/JSON ; charset=utf-8",
            "application/problem+json",
        ] {
            assert!(is_json(&declared(json).unwrap()), "{json}");
        }
        for other in ["", "text/plain", "text/x+json", "application/jsonl"] {
            assert!(!is_json(&declared(other).unwrap()), "{other}");
        }
        assert_eq!(media_type(&HeaderMap::new()), None);
    }
}
