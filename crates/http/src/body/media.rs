//! The declared type of a body.

use actix_web::http::header::{CONTENT_TYPE, HeaderMap};

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

    use super::*;

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
