//! Who is let in, and what is said to those who are not: checks 1 to 10, 47, 88 and 90.

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, ORIGIN};
use serde_json::json;
use slipway_farm::TokenRequest;
use slipway_testkit::Backend;

use crate::support::{ApiResponse, B, World, g, of};

slipway_testkit::on_both_back_ends!(
    checks_1_to_3_nobody_is_let_in_without_a_token_that_works,
    check_4_a_personal_token_opens_what_it_is_for,
    checks_5_to_7_what_is_not_the_callers_is_not_there,
    check_8_a_member_makes_and_calls_off_builds,
    check_9_who_and_where_come_before_what,
    check_10_an_error_names_its_request_and_its_page,
    check_47_other_methods_are_refused_with_those_there_are,
    bodies_and_answers_are_json,
    check_88_anybody_may_ask_whether_it_lives,
    check_90_pages_of_known_origins_may_read,
);

async fn checks_1_to_3_nobody_is_let_in_without_a_token_that_works(backend: Backend) {
    let world = World::start(backend).await;
    let no = ("unauthorized", "unauthorized");
    world.nobody.get(B).await.error(401, no.0, no.1);
    for value in [
        "Token x",
        "Bearer",
        "Bearer ",
        "bearer unknown",
        "Basic eDp5",
    ] {
        let request = world.nobody.request(Method::GET, B);
        let answer = ApiResponse::to(request.header("Authorization", value)).await;
        answer.error(401, no.0, no.1);
    }
    let (admin, ana) = (world.farm.admin().await, "ana".parse().unwrap());
    let request = TokenRequest {
        name: "short".to_owned(),
        scopes: "write".parse().unwrap(),
        expires_at: Some(world.farm.clock.now() + chrono::TimeDelta::seconds(5)),
    };
    let made = world.farm.farm().create_token_for(&admin, &ana, request);
    let short = world.ana.with(made.await.unwrap().1.expose());
    short.get(B).await.is(200);
    world.farm.advance(5);
    short.get(B).await.error(401, no.0, no.1);
    let out = "/api/v0/auth/logout";
    world.ana.empty(Method::POST, out).await.is(204);
    world.ana.get(B).await.error(401, no.0, no.1);
    world
        .ana
        .empty(Method::POST, out)
        .await
        .error(401, no.0, no.1);
}

async fn check_4_a_personal_token_opens_what_it_is_for(backend: Backend) {
    let world = World::start(backend).await;
    let body = json!({"description": "laptop"});
    let made = world.ana.post("/api/v0/user/api-tokens", &body).await;
    let made = made.is(201).json();
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("hm_"), "{made}");
    world.ana.with(token).get(B).await.is(200);
    let request = world.nobody.request(Method::GET, B);
    let answer = ApiResponse::to(request.header("Authorization", format!("bearer {token}")));
    answer.await.is(200);
}

async fn checks_5_to_7_what_is_not_the_callers_is_not_there(backend: Backend) {
    let world = World::start(backend).await;
    let org = ("not_found", "organization_not_found");
    let foreign = world.olaf.get(B).await.error(404, org.0, org.1);
    let path = B.replace("acme", "nowhere");
    let none = world.olaf.get(&path).await.error(404, org.0, org.1);
    assert_eq!(foreign["message"], none["message"]);
    let path = B.replace("web", "nope");
    world
        .ana
        .get(&path)
        .await
        .error(404, "not_found", "pipeline_not_found");
    let body = json!({"name": "Olaf's"});
    let made = world.olaf.post("/api/v0/organizations", &body).await;
    let slug = made.is(201).json()["slug"].as_str().unwrap().to_owned();
    let body = json!({"name": "other", "repository": "https://h/a/b", "default_branch": "main"});
    let path = format!("/api/v0/organizations/{slug}/pipelines");
    world.olaf.post(&path, &body).await.is(201);
    let path = B.replace("web", "other");
    world
        .ana
        .get(&path)
        .await
        .error(404, "not_found", "pipeline_not_found");
}

async fn check_8_a_member_makes_and_calls_off_builds(backend: Backend) {
    let world = World::start(backend).await;
    world.ana.post(B, &of(&g())).await.is(201);
    let path = format!("{B}/1/cancel");
    world.ana.empty(Method::PUT, &path).await.is(200);
}

async fn check_9_who_and_where_come_before_what(backend: Backend) {
    let world = World::start(backend).await;
    let answer = world.nobody.post_text(B, "{").await;
    answer.error(401, "unauthorized", "unauthorized");
    let answer = world.ana.post_text(B, "{").await;
    answer.error(400, "invalid_request", "invalid_json");
    let answer = world.ana.post_text(&B.replace("web", "nope"), "{").await;
    answer.error(404, "not_found", "pipeline_not_found");
}

async fn check_10_an_error_names_its_request_and_its_page(backend: Backend) {
    let world = World::start(backend).await;
    world.locked().await;
    let error = world.ana.get(&format!("{B}/9")).await;
    let error = error.error(404, "not_found", "build_not_found");
    assert!(
        error["doc_url"]
            .as_str()
            .unwrap()
            .ends_with("/build-not-found")
    );
    let error = world.ana.post(&B.replace("web", "locked"), &of(&g())).await;
    let error = error.error(403, "forbidden", "pipeline_manual_disabled");
    let about = error["doc_url"].as_str().unwrap();
    assert!(about.ends_with("/pipeline_manual_disabled"));
    let asked = async |id: &str| {
        let request = world.ana.request(Method::GET, B);
        let answer = ApiResponse::to(request.header("x-request-id", id))
            .await
            .is(200);
        answer.header("x-request-id").unwrap().to_owned()
    };
    let (long, short) = ("a-name-of-twenty-bytes", "too-short");
    assert_eq!(asked(long).await, long);
    assert_ne!(asked(short).await, short);
}

async fn check_47_other_methods_are_refused_with_those_there_are(backend: Backend) {
    let world = World::start(backend).await;
    world.build(&g()).await;
    for (method, path, allowed) in [
        (Method::DELETE, format!("{B}/1"), "GET, HEAD"),
        (Method::POST, format!("{B}/1/cancel"), "PUT"),
        (Method::PATCH, B.to_owned(), "GET, HEAD, POST"),
    ] {
        let answer = world.ana.empty(method, &path).await;
        assert_eq!(answer.header("allow"), Some(allowed));
        answer.error(405, "invalid_request", "method_not_allowed");
    }
    let answer = world.ana.get("/api/v0/nothing").await;
    answer.error(404, "not_found", "route_not_found");
    let answer = world
        .ana
        .empty(Method::HEAD, &format!("{B}/1"))
        .await
        .is(200);
    assert!(answer.body.is_empty());
}

async fn bodies_and_answers_are_json(backend: Backend) {
    let world = World::start(backend).await;
    let request = world.nobody.request(Method::GET, B);
    let answer = ApiResponse::to(request.header(ACCEPT, "text/html")).await;
    answer.error(406, "invalid_request", "not_acceptable");
    let request = world.ana.request(Method::POST, B);
    let answer = ApiResponse::to(request.header(CONTENT_TYPE, "text/plain").body("{}")).await;
    answer.error(415, "invalid_request", "unsupported_media_type");
    let request = world.ana.request(Method::POST, B);
    let request = request.header(CONTENT_TYPE, "application/json");
    let answer = ApiResponse::to(request.body(vec![b'"', 0xff, b'"'])).await;
    answer.error(400, "invalid_request", "invalid_json");
}

async fn check_88_anybody_may_ask_whether_it_lives(backend: Backend) {
    let world = World::start(backend).await;
    let ping = world.nobody.get("/api/v0/ping").await.is(200);
    assert_eq!(ping.json(), json!({"status": "ok"}));
    assert_eq!(world.nobody.get("/healthz").await.is(200).body, "ok");
    world.farm.farm().stop();
    assert_eq!(world.nobody.get("/healthz").await.is(503).body, "draining");
}

async fn check_90_pages_of_known_origins_may_read(backend: Backend) {
    let known = "https://dash.example";
    let world = World::with(backend, |config| {
        config.harmont.browser_origins = vec![known.to_owned()];
    });
    let world = world.await;
    let preflight = async |origin: &str| {
        let request = world.nobody.request(Method::OPTIONS, B);
        let request = request.header("access-control-request-method", "POST");
        ApiResponse::to(request.header(ORIGIN, origin))
            .await
            .is(204)
    };
    let allowed = preflight(known).await;
    assert_eq!(allowed.header("access-control-allow-origin"), Some(known));
    assert_eq!(
        allowed.header("access-control-allow-credentials"),
        Some("true")
    );
    assert_eq!(allowed.header("access-control-max-age"), Some("600"));
    let other = preflight("https://other.example").await;
    assert_eq!(other.header("access-control-allow-origin"), None);
    let request = world.ana.request(Method::GET, B).header(ORIGIN, known);
    let answer = ApiResponse::to(request).await.is(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some(known));
}
