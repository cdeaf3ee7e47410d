//! The page that a browser shows for the link of a commit status.

use reqwest::Method;
use reqwest::header::ACCEPT;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{ApiResponse, Fixture};

on_both_back_ends!(
    browser_gets_the_same_page_for_every_build,
    programs_still_get_json_from_the_address,
    address_is_not_repeated_on_the_page,
);

/// What browsers send.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const UNKNOWN: &str = "0190a6d0-0000-7000-8000-000000000001";

async fn page(fixture: &Fixture, method: Method, id: &str) -> ApiResponse {
    let request = fixture.request(method, &format!("/builds/{id}"));
    Fixture::send(request.header(ACCEPT, BROWSER)).await
}

async fn browser_gets_the_same_page_for_every_build(backend: Backend) {
    let fixture = Fixture::with(backend, |config, _| {
        config.public_url = Some("https://slipway.example/".to_owned());
    })
    .await;
    let build = fixture.create_build().await;
    let id = build["id"].as_str().unwrap();
    let existing = page(&fixture, Method::GET, id).await.is(200);
    assert_eq!(
        existing.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    // A challenge would open a dialog for a user name and a password.
    assert_eq!(existing.header("www-authenticate"), None);
    assert_eq!(existing.header("vary"), Some("Accept"));
    let policy = existing.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    let text = existing.text();
    for expected in [
        format!("slipway show {id}"),
        format!("slipway logs {id}"),
        "slipway login --url https://slipway.example".to_owned(),
    ] {
        assert!(text.contains(&expected), "{text}");
    }
    for secret in ["acme", build["sha"].as_str().unwrap(), "pending"] {
        assert!(!text.contains(secret), "{text}");
    }
    let unknown = page(&fixture, Method::GET, UNKNOWN).await.is(200);
    assert_eq!(unknown.text(), text.replace(id, UNKNOWN));
    // A token changes nothing: what it may see is decided in the API.
    for token in ["slpat-wrong", &fixture.farm.admin_token] {
        let request = fixture.request(Method::GET, &format!("/builds/{id}"));
        let request = request.header(ACCEPT, BROWSER).bearer_auth(token);
        assert_eq!(Fixture::send(request).await.is(200).text(), text);
    }
    let head = page(&fixture, Method::HEAD, id).await.is(200);
    assert!(head.body.is_empty());
}

async fn programs_still_get_json_from_the_address(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let build = fixture.create_build().await;
    let path = format!("/builds/{}", build["id"].as_str().unwrap());
    for accept in [
        "*/*",
        "application/json",
        "application/json, text/html;q=0.5",
    ] {
        let request = fixture.request(Method::GET, &path).header(ACCEPT, accept);
        let response = Fixture::send(request).await;
        assert!(response.header("www-authenticate").is_some());
        response.fails_with_id(401, "unauthorized");
        let request = fixture.request_as_admin(Method::GET, &path);
        let response = Fixture::send(request.header(ACCEPT, accept)).await;
        assert_eq!(response.is(200).json(), build);
    }
    // Other methods are the API's, whatever they accept.
    let posted = page(&fixture, Method::POST, UNKNOWN).await;
    posted.fails_with_id(404, "not_found");
}

async fn address_is_not_repeated_on_the_page(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    for id in ["acme/api@0123456", "%3Cscript%3Ealert(1)%3C/script%3E", "x"] {
        let text = page(&fixture, Method::GET, id).await.is(200);
        let text = text.text();
        assert!(text.contains("slipway show BUILD"), "{text}");
        assert!(!text.contains("script"), "{text}");
    }
    let request = fixture.request(Method::GET, &format!("/builds/{UNKNOWN}"));
    let request = request.header(ACCEPT, BROWSER);
    let request = request.header("x-forwarded-host", "evil\"><b>.example");
    let text = Fixture::send(request).await.is(200);
    assert!(!text.text().contains("<b>"), "{}", text.text());
}
