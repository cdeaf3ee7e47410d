//! Checks 19 to 27 and 34: what is read back.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::client::{REPOSITORY, SHA, Yard, main};
use crate::hands::Hands;

on_both_back_ends!(
    check_19_a_build_is_found_by_its_id,
    check_20_an_unknown_id_is_not_found_in_so_many_words,
    check_21_what_is_no_name_is_not_found_either,
    check_32_there_is_no_text_of_an_unknown_build,
    check_22_a_commit_may_be_named_with_its_signs_encoded,
    check_23_a_name_may_have_dots,
    check_24_an_image_is_there_with_the_success,
    check_25_an_image_is_found_by_its_own_id_which_nobody_can_guess,
    check_26_an_image_is_found_by_its_builds_id,
    check_27_a_failed_build_has_no_image,
    check_34_a_canceled_build_has_failed_and_is_complete,
    a_beginning_that_two_commits_share_names_neither,
    an_image_of_an_earlier_build_stays_while_a_later_one_fails,
    head_is_get_without_a_body,
);

async fn check_19_a_build_is_found_by_its_id(backend: Backend) {
    let yard = Yard::new(backend).await;
    let build = yard.build().await;
    assert_eq!(yard.show(&build).await, build);
}

/// Names that are well formed, and of nothing.
fn unknown() -> [String; 3] {
    [
        "0190a6d0-0000-7000-8000-000000000001".to_owned(),
        format!("acme/gone@{SHA}"),
        format!("acme/api@{}", "f".repeat(40)),
    ]
}

async fn check_20_an_unknown_id_is_not_found_in_so_many_words(backend: Backend) {
    let yard = Yard::new(backend).await;
    yard.build().await;
    for name in unknown() {
        yard.get(&format!("/builds/{name}")).await.not_found();
        yard.get(&format!("/artifacts/{name}")).await.not_found();
    }
}

async fn check_21_what_is_no_name_is_not_found_either(backend: Backend) {
    let yard = Yard::new(backend).await;
    yard.build().await;
    for kind in ["builds", "artifacts", "logs"] {
        for name in ["notauuid", "acme", "acme/api", "acme/api@012345", "%ff"] {
            yard.get(&format!("/{kind}/{name}")).await.not_found();
        }
    }
    Yard::send(yard.curl(Method::DELETE, "/builds"))
        .await
        .not_found();
    Yard::send(yard.curl(Method::POST, "/")).await.not_found();
}

async fn check_32_there_is_no_text_of_an_unknown_build(backend: Backend) {
    let yard = Yard::new(backend).await;
    yard.build().await;
    for name in unknown() {
        yard.get(&format!("/logs/{name}")).await.not_found();
    }
}

async fn check_22_a_commit_may_be_named_with_its_signs_encoded(backend: Backend) {
    let yard = Yard::new(backend).await;
    let build = yard.build().await;
    for name in [
        format!("acme/api@{SHA}"),
        format!("acme/api%40{SHA}"),
        format!("acme%2Fapi%40{SHA}"),
        format!("acme%2fapi@{SHA}"),
    ] {
        let found = yard.get(&format!("/builds/{name}")).await.is(200);
        assert_eq!(found.json(), build, "{name}");
    }
}

async fn check_23_a_name_may_have_dots(backend: Backend) {
    let yard = Yard::new(backend).await;
    yard.farm.project("acme/my.app-x_y").await;
    let body = json!({"repository": "acme/my.app-x_y", "branch": "main", "sha": SHA});
    yard.ask(body).await.is(201);
    let path = format!("/builds/acme/my.app-x_y@{SHA}");
    yard.get(&path).await.is(200);
}

/// A build that has succeeded, with the image that its commit has.
async fn built(yard: &Yard) -> (Value, Value) {
    let hands = Hands::of(&yard.farm).await;
    let build = yard.build().await;
    hands.claim().await.succeed().await;
    let image = yard.get(&format!("/artifacts/{REPOSITORY}@{SHA}")).await;
    (build, image.is(200).json())
}

async fn check_24_an_image_is_there_with_the_success(backend: Backend) {
    let yard = Yard::new(backend).await;
    let hands = Hands::of(&yard.farm).await;
    let build = yard.build().await;
    let by_commit = format!("/artifacts/{REPOSITORY}@{SHA}");
    let by_build = format!("/artifacts/{}", build["id"].as_str().unwrap());
    yard.get(&by_commit).await.not_found();
    let work = hands.claim().await;
    yard.get(&by_commit).await.not_found();
    yard.get(&by_build).await.not_found();
    work.succeed().await;
    assert_eq!(yard.show(&build).await["state"], "succeeded");
    let image = yard.get(&by_commit).await.is(200).json();
    assert_eq!(image.as_object().unwrap().len(), 3, "{image}");
    assert_eq!(image["build"], json!({"id": build["id"]}));
    let expected = format!("registry.example:5000/{REPOSITORY}:{SHA}");
    assert_eq!(image["image"], expected);
}

async fn check_25_an_image_is_found_by_its_own_id_which_nobody_can_guess(backend: Backend) {
    let yard = Yard::new(backend).await;
    let (build, image) = built(&yard).await;
    let id = image["id"].as_str().unwrap();
    assert_ne!(id, build["id"]);
    let path = format!("/artifacts/{id}");
    assert_eq!(yard.get(&path).await.is(200).json(), image);
    let mut near = path.into_bytes();
    let last = near.last_mut().unwrap();
    *last = if *last == b'0' { b'1' } else { b'0' };
    let near = String::from_utf8(near).unwrap();
    yard.get(&near).await.not_found();
}

async fn check_26_an_image_is_found_by_its_builds_id(backend: Backend) {
    let yard = Yard::new(backend).await;
    let (build, image) = built(&yard).await;
    let path = format!("/artifacts/{}", build["id"].as_str().unwrap());
    assert_eq!(yard.get(&path).await.is(200).json(), image);
}

async fn check_27_a_failed_build_has_no_image(backend: Backend) {
    let yard = Yard::new(backend).await;
    let hands = Hands::of(&yard.farm).await;
    let build = yard.build().await;
    hands.claim().await.fail().await;
    let by_build = format!("/artifacts/{}", build["id"].as_str().unwrap());
    yard.get(&format!("/artifacts/{REPOSITORY}@{SHA}"))
        .await
        .not_found();
    yard.get(&by_build).await.not_found();
}

async fn check_34_a_canceled_build_has_failed_and_is_complete(backend: Backend) {
    let yard = Yard::new(backend).await;
    let build = yard.build().await;
    let cancel = format!("/v1/builds/{}/cancel", build["id"].as_str().unwrap());
    yard.native(Method::POST, &cancel, Value::Null).await;
    let shown = yard.show(&build).await;
    assert_eq!(shown["state"], "failed");
    assert!(shown["completed_at"].is_string(), "{shown}");
}

async fn a_beginning_that_two_commits_share_names_neither(backend: Backend) {
    let yard = Yard::new(backend).await;
    yard.build().await;
    let twin = format!("01234567{}", "f".repeat(32));
    yard.ask(main(&twin)).await.is(201);
    yard.get(&format!("/builds/{REPOSITORY}@01234567"))
        .await
        .not_found();
    yard.get(&format!("/builds/{REPOSITORY}@01234567f"))
        .await
        .is(200);
}

async fn an_image_of_an_earlier_build_stays_while_a_later_one_fails(backend: Backend) {
    let yard = Yard::new(backend).await;
    let hands = Hands::of(&yard.farm).await;
    let first = yard.build().await;
    hands.claim().await.succeed().await;
    let second = yard.build().await;
    hands.claim().await.fail().await;
    let image = yard.get(&format!("/artifacts/{REPOSITORY}@{SHA}")).await;
    assert_eq!(image.is(200).json()["build"]["id"], first["id"]);
    let newest = yard.get(&format!("/builds/{REPOSITORY}@{SHA}")).await;
    assert_eq!(newest.is(200).json()["id"], second["id"]);
}

async fn head_is_get_without_a_body(backend: Backend) {
    let yard = Yard::new(backend).await;
    let build = yard.build().await;
    let id = build["id"].as_str().unwrap();
    for path in [format!("/builds/{id}"), format!("/logs/{id}")] {
        let answer = Yard::send(yard.curl(Method::HEAD, &path)).await.is(200);
        assert!(answer.body.is_empty());
    }
    Yard::send(yard.curl(Method::HEAD, "/builds/x"))
        .await
        .is(404);
}
