//! The page behind the link of a commit status, for people with a browser.
//!
//! A browser sends no token, and there is no web interface: the page says how to see the build. It
//! looks nothing up, so it is the same for builds that do not exist and builds that the reader may not
//! see. Programs get the build from the API at the same address.

use actix_web::guard::fn_guard;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse, web};
use slipway_farm::Farm;
use slipway_http::{base_url, escape_html, get_or_head, prefers_html};

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// What the page names if the address contains no id of a build.
const PLACEHOLDER: &str = "BUILD";

/// Adds the route. It takes only requests that prefer HTML, and must precede those of the API.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config.service(
        web::resource("/builds/{id:.+}")
            .guard(get_or_head())
            .guard(fn_guard(|context| prefers_html(&context.head().headers)))
            .to(page),
    );
}

/// `GET /builds/{id}`: the page. 200 whatever the id is.
async fn page(request: HttpRequest, farm: web::Data<Farm>) -> HttpResponse {
    let id = request.match_info().get("id").unwrap_or_default();
    // Nothing else of the address is repeated on the page.
    let is_id = id.len() == 36
        && id
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let id = if is_id { id } else { PLACEHOLDER };
    let url = base_url(&request, farm.settings().public_url.as_deref());
    let text = include_str!("build_page.html")
        .replace("{url}", &escape_html(&url))
        .replace("{id}", id);
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((VARY, "Accept"))
        .body(text)
}
