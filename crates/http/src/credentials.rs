//! Credentials in the `Authorization` header.
//!
//! The functions return what the client sent, which may be empty: whether an empty token counts as
//! a token, and where to look next, is the dialect's decision.

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// User name and password of a `Basic` login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicLogin {
    /// The part before the first colon.
    pub user: String,
    /// The part after the first colon. It may contain colons and may be empty.
    pub password: String,
}

/// The value of the `Authorization` header, if it is ASCII.
pub fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()
}

/// What follows `Bearer ` in the `Authorization` header, with its spaces. The scheme may have any
/// case.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    credentials(headers, "bearer")
}

/// The login of a `Basic` `Authorization` header, if it is base64 of UTF-8 with a colon.
pub fn basic_login(headers: &HeaderMap) -> Option<BasicLogin> {
    let encoded = credentials(headers, "basic")?.trim();
    let login = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = login.split_once(':')?;
    Some(BasicLogin {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

/// The token of a request: a bearer token without surrounding spaces, or the password of a `Basic`
/// login, whatever its user name is.
pub fn bearer_or_password(headers: &HeaderMap) -> Option<String> {
    if let Some(token) = bearer(headers) {
        return Some(token.trim().to_owned());
    }
    basic_login(headers).map(|login| login.password)
}

fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (given, rest) = authorization(headers)?.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then_some(rest)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn headers(authorization: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static(authorization));
        headers
    }

    #[test]
    fn bearer_and_basic_tokens_are_found_in_any_case() {
        for (value, token) in [
            ("Bearer slpat-1", "slpat-1"),
            ("bearer  slpat-1 ", "slpat-1"),
            // "me:slpat-1", ":slpat-1" and "me:"
            ("Basic bWU6c2xwYXQtMQ==", "slpat-1"),
            ("basic OnNscGF0LTE=", "slpat-1"),
            ("Basic bWU6", ""),
            ("Bearer ", ""),
        ] {
            let found = bearer_or_password(&headers(value));
            assert_eq!(found.as_deref(), Some(token), "{value}");
        }
    }

    #[test]
    fn malformed_and_other_schemes_hold_no_token() {
        // The last one is "me", without a colon.
        for value in ["Basic ???", "slpat-1", "Digest a", "Bearer", "Basic bWU="] {
            assert_eq!(bearer_or_password(&headers(value)), None, "{value}");
        }
        assert_eq!(bearer_or_password(&HeaderMap::new()), None);
    }

    #[test]
    fn a_bearer_token_keeps_its_spaces() {
        assert_eq!(bearer(&headers("Bearer  a b")), Some(" a b"));
    }

    #[test]
    fn a_password_may_contain_colons() {
        // "me:a:b"
        let login = basic_login(&headers("Basic bWU6YTpi")).unwrap();
        assert_eq!(
            (login.user.as_str(), login.password.as_str()),
            ("me", "a:b")
        );
    }
}
