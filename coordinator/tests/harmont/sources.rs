//! Sources that builds are handed in with: checks 23 to 26, 30 and 87.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use serde_json::{Value, json};
use slipway_testkit::Backend;

use crate::support::{ApiResponse, B, World, apart, of};

slipway_testkit::on_both_back_ends!(
    checks_23_and_24_only_proper_base64_is_taken,
    checks_25_and_87_a_runner_fetches_what_was_handed_in,
    check_26_a_proxy_tells_how_it_is_reached,
    check_30_bodies_have_a_limit,
    sources_elsewhere_get_no_token,
    the_sources_of_a_removed_project_go_too,
);

fn asked(source: &str) -> Value {
    let mut body = of(&apart(&["a"]));
    body["source_b64"] = source.into();
    body
}

async fn checks_23_and_24_only_proper_base64_is_taken(backend: Backend) {
    let world = World::start(backend).await;
    let bytes = [0xfb, 0xff, 0xfe, 0x01];
    let (url_safe, bare) = (URL_SAFE.encode(bytes), STANDARD_NO_PAD.encode(bytes));
    let broken = format!("{}\n", STANDARD.encode(bytes));
    for source in ["***", &url_safe, &bare, &broken] {
        let answer = world.ana.post(B, &asked(source)).await;
        answer.error(422, "validation_failed", "build_invalid");
    }
    let mut other = asked(&STANDARD.encode(bytes));
    other["source_sha256"] = "00".repeat(32).into();
    let answer = world.ana.post(B, &other).await;
    answer.error(422, "validation_failed", "build_invalid");
    assert_eq!(world.farm.stored_blobs(), 0);
    let good = world.ana.post(B, &asked(&STANDARD.encode(bytes))).await;
    assert_eq!(good.is(201).json()["number"], 1);
    world.ana.post(B, &asked("")).await.is(201);
}

async fn checks_25_and_87_a_runner_fetches_what_was_handed_in(backend: Backend) {
    let world = World::start(backend).await;
    let bytes = b"\x1f\x8b an archive";
    let mut body = asked(&STANDARD.encode(bytes));
    body["source_url"] = "https://elsewhere.example/x.tar.gz".into();
    let made = world.ana.post(B, &body).await.is(201);
    let claim = world.runner().await.claim().await;
    let source = &claim.payload["own"]["source"];
    let url = source["url"].as_str().unwrap();
    let build = claim.payload["own"]["build"].as_str().unwrap();
    let path = format!("/api/v0/internal/builds/{build}/source.tar.gz");
    assert_eq!(url, world.farm.url(&path));
    let token = source["token"].as_str().unwrap();
    assert!(!String::from_utf8_lossy(&made.body).contains(token));
    for _ in 0..2 {
        let answer = world.nobody.with(token).get(&path).await.is(200);
        assert_eq!(answer.header("content-type"), Some("application/gzip"));
        assert_eq!(answer.body, &bytes[..]);
    }
    let other = {
        world.ana.post(B, &asked("")).await.is(201);
        world.runner().await.claim().await
    };
    let other = other.payload["own"]["source"]["token"]
        .as_str()
        .unwrap()
        .to_owned();
    for client in [
        &world.nobody,
        &world.ana,
        &world.ana.with("x"),
        &world.ana.with(&other),
    ] {
        let answer = client.get(&path).await;
        answer.error(401, "unauthorized", "unauthorized");
    }
    for unknown in ["0190a5d0-ac96-7b4b-8cce-b302099a8057", "x"] {
        let path = format!("/api/v0/internal/builds/{unknown}/source.tar.gz");
        let answer = world.nobody.with(token).get(&path).await;
        answer.error(404, "not_found", "source_not_found");
    }
}

async fn check_26_a_proxy_tells_how_it_is_reached(backend: Backend) {
    let world = World::start(backend).await;
    let request = world.ana.request(reqwest::Method::POST, B);
    let request = request.header("X-Forwarded-Proto", "https, http");
    ApiResponse::to(request.json(&asked("")).header("Host", "ci.example:8443"))
        .await
        .is(201);
    let claim = world.runner().await.claim().await;
    let url = claim.payload["own"]["source"]["url"].as_str().unwrap();
    assert!(
        url.starts_with("https://ci.example/api/v0/internal/"),
        "{url}"
    );
    let world = World::with(backend, |config| {
        config.public_url = Some("https://farm.example:444/".to_owned());
    });
    let world = world.await;
    world.ana.post(B, &asked("")).await.is(201);
    let claim = world.runner().await.claim().await;
    let url = claim.payload["own"]["source"]["url"].as_str().unwrap();
    assert!(
        url.starts_with("https://farm.example:444/api/v0/internal/"),
        "{url}"
    );
}

async fn check_30_bodies_have_a_limit(backend: Backend) {
    let world = World::start(backend).await;
    let six = STANDARD.encode(vec![7; 6 << 20]);
    world.ana.post(B, &asked(&six)).await.is(201);
    let more = STANDARD.encode(vec![7; 13 << 20]);
    let answer = world.ana.post(B, &asked(&more)).await;
    answer.error(413, "invalid_request", "payload_too_large");
    assert_eq!(world.count().await, 1);
}

async fn sources_elsewhere_get_no_token(backend: Backend) {
    let world = World::start(backend).await;
    let mut body = of(&apart(&["a"]));
    body["source_url"] = "https://elsewhere.example/x.tar.gz".into();
    body["source_sha256"] = "AB".repeat(32).into();
    world.ana.post(B, &body).await.is(201);
    let claim = world.runner().await.claim().await;
    let expected = json!({
        "url": "https://elsewhere.example/x.tar.gz", "sha256": "ab".repeat(32),
    });
    assert_eq!(claim.payload["own"]["source"], expected);
}

async fn the_sources_of_a_removed_project_go_too(backend: Backend) {
    let world = World::start(backend).await;
    world
        .ana
        .post(B, &asked(&STANDARD.encode(b"x")))
        .await
        .is(201);
    assert_eq!(world.farm.stored_blobs(), 1);
    let access = world.farm.project("acme/web").await;
    world.farm.farm().delete_project(&access).await.unwrap();
    assert_eq!(world.farm.stored_blobs(), 0);
}
