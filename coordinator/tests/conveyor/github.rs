//! Checks 39 to 45 and 47, and the layer cache of 46: GitHub's deliveries.

use futures_util::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::Sha256;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::client::{ApiResponse, REPOSITORY, SHA, Yard};
use crate::hands::Hands;

on_both_back_ends!(
    check_39_a_ping_is_answered,
    check_40_a_push_is_built_and_its_answer_is_the_build,
    check_41_forks_are_not_built,
    check_42_deleted_branches_are_not_built,
    check_43_what_is_not_signed_is_refused,
    check_44_a_signature_is_of_the_bytes_that_were_sent,
    check_45_a_delivery_that_comes_again_is_answered_alike,
    check_46_a_message_may_ask_for_a_build_without_cache,
    check_47_a_tag_is_built_without_the_cache_of_a_branch,
    a_push_of_what_is_being_built_joins_it,
    other_events_and_other_refs_are_ignored,
    a_farm_without_a_secret_believes_nobody,
    a_projects_own_secret_is_the_only_one_for_it,
    sha_1_is_taken_only_where_the_operator_says_so,
    what_is_too_long_or_no_delivery_is_refused,
    a_form_is_as_good_as_json,
    a_project_whose_builds_are_off_is_not_built,
);

pub(crate) const SECRET: &str = "a-secret-of-the-farm";

pub(crate) fn signed(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    hex::encode(mac.chain_update(body).finalize().into_bytes())
}

/// A farm whose secret for GitHub is [`SECRET`].
pub(crate) async fn yard(backend: Backend) -> Yard {
    Yard::with(backend, |config, files| {
        let file = files.join("secret");
        std::fs::write(&file, format!("{SECRET}\n")).unwrap();
        config.forges.github_webhook_secret_file = Some(file);
    })
    .await
}

/// A push to a branch, as GitHub tells it.
pub(crate) fn push(git_ref: &str, sha: &str, message: &str) -> Value {
    json!({
        "ref": git_ref,
        "before": "0000000000000000000000000000000000000000",
        "after": sha,
        "created": false,
        "deleted": false,
        "forced": false,
        "head_commit": {"id": sha, "tree_id": sha, "message": message, "added": []},
        "commits": [],
        "pusher": {"name": "ada"},
        "repository": {
            "id": 1, "name": "api", "full_name": REPOSITORY, "fork": false, "private": true,
            "default_branch": "main"
        }
    })
}

/// A delivery with a signature, as `event`.
fn delivery(yard: &Yard, event: &str, body: &str, secret: &str) -> RequestBuilder {
    yard.request(Method::POST, "/")
        .header("X-GitHub-Event", event)
        .header("Content-Type", "application/json")
        .header(
            "X-Hub-Signature-256",
            format!("sha256={}", signed(secret, body.as_bytes())),
        )
        .body(body.to_owned())
}

async fn deliver(yard: &Yard, event: &str, body: &Value) -> ApiResponse {
    Yard::send(delivery(yard, event, &body.to_string(), SECRET)).await
}

fn to_main() -> Value {
    push("refs/heads/main", SHA, "a change")
}

async fn check_39_a_ping_is_answered(backend: Backend) {
    let yard = yard(backend).await;
    let body = json!({"zen": "Keep it logically awesome.", "hook_id": 1});
    let answer = deliver(&yard, "ping", &body).await.is(200);
    assert_eq!(answer.text(), "Ok");
}

async fn check_40_a_push_is_built_and_its_answer_is_the_build(backend: Backend) {
    let yard = yard(backend).await;
    let answer = deliver(&yard, "push", &to_main()).await.is(200);
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
    let build = yard
        .get(&format!("/builds/{}", answer.text()))
        .await
        .is(200)
        .json();
    assert_eq!(build["repository"], REPOSITORY);
    assert_eq!(
        (&build["branch"], &build["sha"]),
        (&json!("main"), &json!(SHA))
    );
    assert_eq!(yard.only_row().await.created_by, None);
    let hands = Hands::of(&yard.farm).await;
    assert_eq!(
        hands.claim().await.spec().cache_tag.as_deref(),
        Some("main")
    );
    // The other address is the same.
    let body = push("refs/heads/side/x", &"b".repeat(40), "x").to_string();
    let mark = signed(SECRET, body.as_bytes());
    let request = yard
        .request(Method::POST, "/hooks/github")
        .header("X-GitHub-Event", "push");
    let request = request.header("X-Hub-Signature-256", format!("sha256={mark}"));
    let answer = Yard::send(request.body(body)).await.is(200);
    let build = yard
        .get(&format!("/builds/{}", answer.text()))
        .await
        .is(200)
        .json();
    assert_eq!(build["branch"], "side/x");
}

async fn check_41_forks_are_not_built(backend: Backend) {
    let yard = yard(backend).await;
    let mut fork = to_main();
    fork["repository"]["fork"] = json!(true);
    let answer = deliver(&yard, "push", &fork).await.is(200);
    assert!(answer.text().contains("forks are not built"), "{answer:?}");
    assert!(yard.rows(REPOSITORY).await.is_empty());
}

async fn check_42_deleted_branches_are_not_built(backend: Backend) {
    let yard = yard(backend).await;
    let mut deleted = to_main();
    deleted["deleted"] = json!(true);
    deleted["after"] = json!("0".repeat(40));
    deleted["head_commit"] = Value::Null;
    let answer = deliver(&yard, "push", &deleted).await.is(200);
    let said = "deleted branches are not built";
    assert!(answer.text().contains(said), "{answer:?}");
    assert!(yard.rows(REPOSITORY).await.is_empty());
}

async fn check_44_a_signature_is_of_the_bytes_that_were_sent(backend: Backend) {
    let yard = yard(backend).await;
    let mark = format!(
        "sha256={}",
        signed(SECRET, to_main().to_string().as_bytes())
    );
    let send = async |body: String| {
        let request = yard
            .request(Method::POST, "/")
            .header("X-GitHub-Event", "push")
            .header("X-Hub-Signature-256", &mark);
        Yard::send(request.body(body)).await
    };
    // The same event, with other white space.
    let spaced = serde_json::to_string_pretty(&to_main()).unwrap();
    send(spaced).await.fails(403, "forbidden");
    send(format!("{}\n", to_main()))
        .await
        .fails(403, "forbidden");
    assert!(yard.rows(REPOSITORY).await.is_empty());
    send(to_main().to_string()).await.is(200);
}

async fn check_43_what_is_not_signed_is_refused(backend: Backend) {
    let yard = yard(backend).await;
    let body = to_main().to_string();
    let mark = signed(SECRET, body.as_bytes());
    let event = |body: &str| {
        let request = yard
            .request(Method::POST, "/")
            .header("X-GitHub-Event", "push");
        request.body(body.to_owned())
    };
    let with = |body: &str, mark: &str| event(body).header("X-Hub-Signature-256", mark);
    let refused = [
        event(&body),
        with(&body, ""),
        with(&body, &mark),
        with(&body, "sha256="),
        with(&body, &format!("sha256={}", &mark[..62])),
        with(
            &body,
            &format!("sha256={}", signed("another-secret-x", body.as_bytes())),
        ),
        event(&body).header("X-Hub-Signature", format!("sha1={mark}")),
        event(&body).header("X-Gitlab-Token", SECRET),
        delivery(&yard, "ping", &body, "another-secret-x"),
        delivery(&yard, "issues", &body, "another-secret-x"),
    ];
    for request in refused {
        let answer = Yard::send(request).await.fails(403, "forbidden");
        assert!(!answer.text().contains(SECRET), "{answer:?}");
    }
    assert!(yard.rows(REPOSITORY).await.is_empty());
    Yard::send(with(&body, &format!("sha256={mark}")))
        .await
        .is(200);
}

async fn check_45_a_delivery_that_comes_again_is_answered_alike(backend: Backend) {
    let yard = yard(backend).await;
    let hands = Hands::of(&yard.farm).await;
    let body = to_main().to_string();
    let send = async || {
        let request = delivery(&yard, "push", &body, SECRET);
        let request = request.header("X-GitHub-Delivery", "72d3162e-cc78-11e3");
        Yard::send(request).await.is(200).text().to_owned()
    };
    let first = join_all((0..5).map(|_| send())).await;
    assert!(first.iter().all(|answer| *answer == first[0]), "{first:?}");
    // The end of the build changes nothing: the delivery was answered.
    hands.claim().await.succeed().await;
    assert_eq!(send().await, first[0]);
    yard.only_row().await;
    // What is old enough is forgotten.
    yard.farm.advance(8 * 24 * 3600);
    assert_eq!(yard.farm.farm().delete_old_deliveries().await.unwrap(), 1);
    assert_ne!(send().await, first[0]);
}

async fn check_46_a_message_may_ask_for_a_build_without_cache(backend: Backend) {
    let yard = yard(backend).await;
    let body = push(
        "refs/heads/main",
        SHA,
        "a change\n\nfor once [docker nocache] please",
    );
    deliver(&yard, "push", &body).await.is(200);
    let hands = Hands::of(&yard.farm).await;
    let work = hands.claim().await;
    assert!(work.spec().no_cache);
    assert_eq!(work.spec().cache_tag, None);
}

async fn check_47_a_tag_is_built_without_the_cache_of_a_branch(backend: Backend) {
    let yard = yard(backend).await;
    let body = push("refs/tags/v1.2", SHA, "a release");
    let answer = deliver(&yard, "push", &body).await.is(200);
    let build = yard
        .get(&format!("/builds/{}", answer.text()))
        .await
        .is(200);
    assert_eq!(build.json()["branch"], "v1.2");
    assert!(yard.only_row().await.ref_is_tag);
    let hands = Hands::of(&yard.farm).await;
    let work = hands.claim().await;
    assert_eq!(work.spec().tags, [SHA, "v1.2"]);
    assert_eq!(
        (work.spec().cache_tag.as_deref(), work.spec().no_cache),
        (None, false)
    );
}

async fn a_push_of_what_is_being_built_joins_it(backend: Backend) {
    let yard = yard(backend).await;
    let build = yard.build().await;
    let answers = join_all((0..5).map(|number| {
        let request = delivery(&yard, "push", &to_main().to_string(), SECRET);
        Yard::send(request.header("X-GitHub-Delivery", format!("number {number}")))
    }))
    .await;
    for answer in answers {
        assert_eq!(answer.is(200).text(), build["id"].as_str().unwrap());
    }
    yard.only_row().await;
}

async fn other_events_and_other_refs_are_ignored(backend: Backend) {
    let yard = yard(backend).await;
    for event in ["issues", "pull_request", "check_run"] {
        let answer = deliver(&yard, event, &to_main()).await.is(200);
        assert!(answer.text().contains("ignored"), "{answer:?}");
    }
    let notes = push("refs/notes/commits", SHA, "x");
    let answer = deliver(&yard, "push", &notes).await.is(200);
    assert!(answer.text().contains("ignored"), "{answer:?}");
    assert!(yard.rows(REPOSITORY).await.is_empty());
}

async fn a_farm_without_a_secret_believes_nobody(backend: Backend) {
    let yard = Yard::new(backend).await;
    for (event, secret) in [("push", ""), ("push", SECRET), ("ping", SECRET)] {
        let request = delivery(&yard, event, &to_main().to_string(), secret);
        let answer = Yard::send(request).await.fails(403, "forbidden");
        assert!(
            answer.text().contains("no webhook secret is set"),
            "{answer:?}"
        );
    }
    assert!(yard.rows(REPOSITORY).await.is_empty());
}

async fn a_projects_own_secret_is_the_only_one_for_it(backend: Backend) {
    let yard = yard(backend).await;
    yard.farm.project("acme/web").await;
    let own = "a-secret-of-the-project";
    let path = format!("/v1/projects/{REPOSITORY}/webhook-secret");
    yard.native(Method::PUT, &path, json!({"secret": own}))
        .await;
    let body = to_main().to_string();
    Yard::send(delivery(&yard, "push", &body, SECRET))
        .await
        .fails(403, "forbidden");
    Yard::send(delivery(&yard, "push", &body, own))
        .await
        .is(200);
    // It opens no other project.
    let mut other = to_main();
    other["repository"]["full_name"] = json!("acme/web");
    let other = other.to_string();
    Yard::send(delivery(&yard, "push", &other, own))
        .await
        .fails(403, "forbidden");
    Yard::send(delivery(&yard, "push", &other, SECRET))
        .await
        .is(200);
    yard.native(Method::DELETE, &path, Value::Null).await;
    Yard::send(delivery(&yard, "push", &body, own))
        .await
        .fails(403, "forbidden");
}

async fn sha_1_is_taken_only_where_the_operator_says_so(backend: Backend) {
    let old = |yard: &Yard| {
        let body = to_main().to_string();
        let mac = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).unwrap();
        let mark = hex::encode(mac.chain_update(&body).finalize().into_bytes());
        let request = yard
            .request(Method::POST, "/")
            .header("X-GitHub-Event", "push");
        request
            .header("X-Hub-Signature", format!("sha1={mark}"))
            .body(body)
    };
    let strict = yard(backend).await;
    Yard::send(old(&strict)).await.fails(403, "forbidden");
    let lenient = Yard::with(backend, |config, files| {
        let file = files.join("secret");
        std::fs::write(&file, SECRET).unwrap();
        config.forges.github_webhook_secret_file = Some(file);
        config.forges.dangerously_accept_sha1_webhooks = true;
    })
    .await;
    Yard::send(old(&lenient)).await.is(200);
    // A better signature that is wrong is not made up for.
    let both = old(&lenient).header("X-Hub-Signature-256", "sha256=00");
    Yard::send(both).await.fails(403, "forbidden");
}

async fn what_is_too_long_or_no_delivery_is_refused(backend: Backend) {
    let yard = yard(backend).await;
    let long = "x".repeat((25 << 20) + 1);
    Yard::send(delivery(&yard, "push", &long, SECRET))
        .await
        .fails(413, "too_large");
    for body in ["", "[", "{}", r#"{"ref": 5}"#] {
        Yard::send(delivery(&yard, "push", body, SECRET))
            .await
            .fails(400, "bad_request");
    }
    let mut odd = to_main();
    odd["repository"]["full_name"] = json!("a/b/c");
    deliver(&yard, "push", &odd).await.fails(400, "bad_request");
    let request = yard.request(Method::POST, "/hooks/github").body("{}");
    Yard::send(request).await.fails(400, "bad_request");
    // Just below the limit is read.
    let mut padded = to_main();
    padded["padding"] = json!("x".repeat(24 << 20));
    deliver(&yard, "push", &padded).await.is(200);
    let mut unknown = to_main();
    unknown["repository"]["full_name"] = json!("acme/gone");
    deliver(&yard, "push", &unknown).await.not_found();
}

async fn a_form_is_as_good_as_json(backend: Backend) {
    let yard = yard(backend).await;
    let body = url_form(&to_main().to_string());
    let mark = signed(SECRET, body.as_bytes());
    let request = yard
        .request(Method::POST, "/")
        .header("X-GitHub-Event", "push")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("X-Hub-Signature-256", format!("sha256={mark}"));
    Yard::send(request.body(body)).await.is(200);
    yard.only_row().await;
}

/// `payload=…`, with every byte encoded.
fn url_form(json: &str) -> String {
    let encoded: String = json.bytes().map(|b| format!("%{b:02X}")).collect();
    format!("payload={encoded}")
}

async fn a_project_whose_builds_are_off_is_not_built(backend: Backend) {
    let yard = yard(backend).await;
    let access = yard.farm.project(REPOSITORY).await;
    let change = slipway_farm::ProjectUpdate {
        builds_enabled: Some(false),
        ..Default::default()
    };
    yard.farm
        .farm()
        .update_project(&access, change)
        .await
        .unwrap();
    deliver(&yard, "push", &to_main())
        .await
        .fails(403, "forbidden");
}
