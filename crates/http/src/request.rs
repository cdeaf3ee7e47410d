//! What handlers and extractors ask of a request besides its credentials and body.

use actix_web::guard::{Any, Get, Guard, Head};
use actix_web::http::header::{ACCEPT, HeaderMap};
use actix_web::{HttpRequest, web};

/// The value of a header, if it is there and is ASCII.
pub fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

/// The application data of type `T`.
///
/// # Panics
/// If the application was built without it, which is a mistake in the wiring and not in a request.
pub fn app_data<T: 'static>(request: &HttpRequest) -> &T {
    match request.app_data::<web::Data<T>>() {
        Some(data) => data,
        None => unreachable!(
            "the routes are served without {}",
            std::any::type_name::<T>()
        ),
    }
}

/// A copy of the application data of type `T`.
///
/// # Panics
/// As [`app_data`].
pub fn app_state<T: Clone + 'static>(request: &HttpRequest) -> T {
    app_data::<T>(request).clone()
}

/// The address under which the caller reaches this server, without a slash at its end.
///
/// It is the operator's public URL, which may have a path, or else `scheme://host` as the request
/// and the headers of a proxy name them.
pub fn base_url(request: &HttpRequest, public_url: Option<&str>) -> String {
    if let Some(url) = public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let connection = request.connection_info();
    format!("{}://{}", connection.scheme(), connection.host())
}

/// GET, or HEAD, which is answered like GET but without a body.
pub fn get_or_head() -> impl Guard {
    Any(Get()).or(Head())
}

/// Whether the `Accept` headers name HTML and do not prefer JSON, as those of a browser do. Wildcards
/// do not count: programs that take anything send them.
pub fn prefers_html(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get_all(ACCEPT)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let (mut html, mut json) = (0.0_f32, 0.0_f32);
    for range in accepted {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts
            .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
            .map_or(1.0, |quality| quality.trim().parse().unwrap_or(0.0));
        match name.as_str() {
            "text/html" | "application/xhtml+xml" => html = html.max(quality),
            "application/json" => json = json.max(quality),
            _ => {}
        }
    }
    html > json
}

/// The text with the characters escaped that have a meaning in HTML, also in attributes.
pub fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_public_url_comes_before_what_the_request_says() {
        let request = TestRequest::default()
            .insert_header(("host", "farm.example:8080"))
            .to_http_request();
        assert_eq!(base_url(&request, None), "http://farm.example:8080");
        let public = Some("https://ci.example/farm/");
        assert_eq!(base_url(&request, public), "https://ci.example/farm");
    }

    #[test]
    fn a_proxy_names_scheme_and_host() {
        let request = TestRequest::default()
            .insert_header(("host", "10.0.0.1:8080"))
            .insert_header(("x-forwarded-proto", "https"))
            .insert_header(("x-forwarded-host", "ci.example"))
            .to_http_request();
        assert_eq!(base_url(&request, None), "https://ci.example");
    }

    #[test]
    fn headers_that_are_not_ascii_are_missing() {
        let request = TestRequest::default()
            .insert_header(("x-a", "b"))
            .insert_header(("x-c", "é".as_bytes()))
            .to_http_request();
        assert_eq!(header(&request, "x-a"), Some("b"));
        assert_eq!(header(&request, "x-c"), None);
        assert_eq!(header(&request, "x-d"), None);
    }

    #[test]
    fn only_those_who_name_html_prefer_it() {
        let prefers = |accept: &[&str]| {
            let mut request = TestRequest::default();
            for value in accept {
                request = request.append_header((ACCEPT, *value));
            }
            prefers_html(request.to_http_request().headers())
        };
        for html in [
            &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"][..],
            &["TEXT/HTML ; charset=utf-8"],
            &["application/json;q=0.5, text/html"],
            &["image/png", "text/html"],
        ] {
            assert!(prefers(html), "{html:?}");
        }
        for other in [
            &[][..],
            &["*/*"],
            &["text/*"],
            &["application/json"],
            &["application/json, text/html"],
            &["text/html;q=0"],
            &["text/html;q=0.5, application/json"],
            &["text/plain, */*"],
        ] {
            assert!(!prefers(other), "{other:?}");
        }
    }

    #[test]
    fn escaped_text_has_no_meaning_in_html() {
        let escaped = escape_html("<a href=\"x\">'&'");
        assert_eq!(escaped, "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;");
    }
}
