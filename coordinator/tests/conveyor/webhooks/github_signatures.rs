//! Signatures of GitHub, and the secrets that verify them.
//!
//! See `docs/protocols/conveyor.md#secrets`.

use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha1::Sha1;
use slipway_testkit::{Backend, on_both_back_ends};

use super::{SECRET, delivery, push_to_main, signed, start_farm};
use crate::fixture::{Fixture, REPOSITORY};

on_both_back_ends!(
    missing_or_wrong_signature_returns_403,
    signature_covers_the_exact_bytes_of_the_body,
    without_a_secret_every_delivery_returns_403,
    project_secret_replaces_the_secret_of_the_farm,
    sha1_signature_is_accepted_only_with_the_operators_option,
);

async fn missing_or_wrong_signature_returns_403(backend: Backend) {
    let fixture = start_farm(backend).await;
    let body = push_to_main().to_string();
    let signature = signed(SECRET, body.as_bytes());
    let event = |body: &str| {
        let request = fixture
            .request(Method::POST, "/")
            .header("X-GitHub-Event", "push");
        request.body(body.to_owned())
    };
    let with = |body: &str, signature: &str| event(body).header("X-Hub-Signature-256", signature);
    let refused = [
        event(&body),
        with(&body, ""),
        with(&body, &signature),
        with(&body, "sha256="),
        with(&body, &format!("sha256={}", &signature[..62])),
        with(
            &body,
            &format!("sha256={}", signed("another-secret-x", body.as_bytes())),
        ),
        event(&body).header("X-Hub-Signature", format!("sha1={signature}")),
        event(&body).header("X-Gitlab-Token", SECRET),
        delivery(&fixture, "ping", &body, "another-secret-x"),
        delivery(&fixture, "issues", &body, "another-secret-x"),
    ];
    for request in refused {
        let response = Fixture::send(request).await.fails_with_id(403, "forbidden");
        assert!(!response.text().contains(SECRET), "{response:?}");
    }
    assert!(fixture.builds(REPOSITORY).await.is_empty());
    Fixture::send(with(&body, &format!("sha256={signature}")))
        .await
        .is(200);
}

async fn signature_covers_the_exact_bytes_of_the_body(backend: Backend) {
    let fixture = start_farm(backend).await;
    let signature = format!(
        "sha256={}",
        signed(SECRET, push_to_main().to_string().as_bytes())
    );
    let send = async |body: String| {
        let request = fixture
            .request(Method::POST, "/")
            .header("X-GitHub-Event", "push")
            .header("X-Hub-Signature-256", &signature);
        Fixture::send(request.body(body)).await
    };
    // The same event with different white space.
    let spaced = serde_json::to_string_pretty(&push_to_main()).unwrap();
    send(spaced).await.fails_with_id(403, "forbidden");
    send(format!("{}\n", push_to_main()))
        .await
        .fails_with_id(403, "forbidden");
    assert!(fixture.builds(REPOSITORY).await.is_empty());
    send(push_to_main().to_string()).await.is(200);
}

async fn without_a_secret_every_delivery_returns_403(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    for (event, secret) in [("push", ""), ("push", SECRET), ("ping", SECRET)] {
        let request = delivery(&fixture, event, &push_to_main().to_string(), secret);
        let response = Fixture::send(request).await.fails_with_id(403, "forbidden");
        assert!(
            response.text().contains("no webhook secret is set"),
            "{response:?}"
        );
    }
    assert!(fixture.builds(REPOSITORY).await.is_empty());
}

async fn project_secret_replaces_the_secret_of_the_farm(backend: Backend) {
    let fixture = start_farm(backend).await;
    fixture.farm.project("acme/web").await;
    let own = "a-secret-of-the-project";
    let path = format!("/v1/projects/{REPOSITORY}/webhook-secret");
    fixture
        .native_api(Method::PUT, &path, json!({"secret": own}))
        .await;
    let body = push_to_main().to_string();
    Fixture::send(delivery(&fixture, "push", &body, SECRET))
        .await
        .fails_with_id(403, "forbidden");
    Fixture::send(delivery(&fixture, "push", &body, own))
        .await
        .is(200);
    // The secret of one project is not valid for another.
    let mut other = push_to_main();
    other["repository"]["full_name"] = json!("acme/web");
    let other = other.to_string();
    Fixture::send(delivery(&fixture, "push", &other, own))
        .await
        .fails_with_id(403, "forbidden");
    Fixture::send(delivery(&fixture, "push", &other, SECRET))
        .await
        .is(200);
    fixture.native_api(Method::DELETE, &path, Value::Null).await;
    Fixture::send(delivery(&fixture, "push", &body, own))
        .await
        .fails_with_id(403, "forbidden");
}

async fn sha1_signature_is_accepted_only_with_the_operators_option(backend: Backend) {
    let with_sha1 = |fixture: &Fixture| {
        let body = push_to_main().to_string();
        let mac = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).unwrap();
        let signature = hex::encode(mac.chain_update(&body).finalize().into_bytes());
        let request = fixture
            .request(Method::POST, "/")
            .header("X-GitHub-Event", "push");
        request
            .header("X-Hub-Signature", format!("sha1={signature}"))
            .body(body)
    };
    let strict = start_farm(backend).await;
    Fixture::send(with_sha1(&strict))
        .await
        .fails_with_id(403, "forbidden");
    let lenient = Fixture::with(backend, |config, files| {
        let file = files.join("secret");
        std::fs::write(&file, SECRET).unwrap();
        config.forges.github_webhook_secret_file = Some(file);
        config.forges.dangerously_accept_sha1_webhooks = true;
    })
    .await;
    Fixture::send(with_sha1(&lenient)).await.is(200);
    // A wrong SHA-256 signature is not replaced by a valid SHA-1 signature.
    let both = with_sha1(&lenient).header("X-Hub-Signature-256", "sha256=00");
    Fixture::send(both).await.fails_with_id(403, "forbidden");
}
