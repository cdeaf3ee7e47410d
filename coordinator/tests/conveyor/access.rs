//! Checks 35 to 38, and who sees what.

use reqwest::Method;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::client::{REPOSITORY, SHA, Yard, main};
use crate::hands::Hands;

on_both_back_ends!(
    check_35_without_a_credential_nothing_is_told,
    check_36_a_token_is_taken_as_a_password_whoever_one_is,
    check_37_a_token_is_taken_as_a_bearer,
    check_38_a_token_that_may_not_write_makes_nothing,
    what_a_user_may_not_see_is_not_there,
    the_text_of_a_public_projects_builds_is_for_everybody,
);

async fn check_35_without_a_credential_nothing_is_told(backend: Backend) {
    let yard = Yard::new(backend).await;
    let build = yard.build().await;
    let id = build["id"].as_str().unwrap();
    let mut paths = vec!["/builds/notauuid".to_owned(), "/logs/notauuid".to_owned()];
    for kind in ["builds", "artifacts", "logs"] {
        paths.push(format!("/{kind}/{id}"));
        paths.push(format!("/{kind}/{REPOSITORY}@{SHA}"));
        paths.push(format!("/{kind}/acme/gone@{SHA}"));
    }
    for path in &paths {
        let bare = || yard.request(Method::GET, path);
        let wrong = [
            bare(),
            bare().basic_auth("root", Some("slpat-nobodys")),
            bare().basic_auth("root", None::<&str>),
            bare().bearer_auth("slpat-nobodys"),
            bare().header("Authorization", "Digest x"),
        ];
        for request in wrong {
            let answer = Yard::send(request).await.fails(401, "unauthorized");
            let realm = answer.header("www-authenticate");
            assert_eq!(realm, Some("Basic realm=\"slipway\""), "{path}");
        }
    }
    // Who asks is settled before what is asked.
    let request = yard.request(Method::POST, "/builds").body("[");
    Yard::send(request).await.fails(401, "unauthorized");
}

/// A build, and a token of somebody who may read it.
async fn readable(yard: &Yard) -> (String, String) {
    let build = yard.build().await;
    let token = yard.user("ada", "read", Some("reader")).await;
    (format!("/builds/{}", build["id"].as_str().unwrap()), token)
}

async fn check_36_a_token_is_taken_as_a_password_whoever_one_is(backend: Backend) {
    let yard = Yard::new(backend).await;
    let (path, token) = readable(&yard).await;
    for user in ["ada", "x", ""] {
        let request = yard.request(Method::GET, &path);
        Yard::send(request.basic_auth(user, Some(&token)))
            .await
            .is(200);
    }
}

async fn check_37_a_token_is_taken_as_a_bearer(backend: Backend) {
    let yard = Yard::new(backend).await;
    let (path, token) = readable(&yard).await;
    let request = yard.request(Method::GET, &path).bearer_auth(&token);
    Yard::send(request).await.is(200);
}

async fn check_38_a_token_that_may_not_write_makes_nothing(backend: Backend) {
    let yard = Yard::new(backend).await;
    let looking = yard.user("ada", "read", Some("developer")).await;
    let reader = yard.user("bob", "write", Some("reader")).await;
    let stranger = yard.user("eve", "admin", None).await;
    let ask = async |token: &str| {
        let request = yard.request(Method::POST, "/builds").bearer_auth(token);
        Yard::send(request.body(main(SHA).to_string())).await
    };
    ask(&looking).await.fails(403, "forbidden");
    ask(&reader).await.fails(403, "forbidden");
    ask(&stranger).await.not_found();
    assert!(yard.rows(REPOSITORY).await.is_empty());
    let writing = yard.user("cleo", "write", Some("developer")).await;
    ask(&writing).await.is(201);
}

async fn what_a_user_may_not_see_is_not_there(backend: Backend) {
    let yard = Yard::new(backend).await;
    let hands = Hands::of(&yard.farm).await;
    let build = yard.build().await;
    hands.claim().await.succeed().await;
    let image = yard
        .get(&format!("/artifacts/{REPOSITORY}@{SHA}"))
        .await
        .json();
    // A guest sees the project, and none of its builds.
    let guest = yard.user("gus", "admin", Some("guest")).await;
    let stranger = yard.user("eve", "admin", None).await;
    let (id, image) = (build["id"].as_str().unwrap(), image["id"].as_str().unwrap());
    for token in [&guest, &stranger] {
        for path in [
            format!("/builds/{id}"),
            format!("/builds/{REPOSITORY}@{SHA}"),
            format!("/artifacts/{id}"),
            format!("/artifacts/{image}"),
            format!("/artifacts/{REPOSITORY}@{SHA}"),
            format!("/logs/{id}"),
            format!("/logs/{REPOSITORY}@{SHA}"),
        ] {
            let request = yard.request(Method::GET, &path).bearer_auth(token);
            Yard::send(request).await.not_found();
        }
    }
}

async fn the_text_of_a_public_projects_builds_is_for_everybody(backend: Backend) {
    let yard = Yard::new(backend).await;
    let hands = Hands::of(&yard.farm).await;
    let build = yard.build().await;
    let mut work = hands.claim().await;
    work.say("hello\n").await;
    work.succeed().await;
    let access = yard.farm.project(REPOSITORY).await;
    let change = slipway_farm::ProjectUpdate {
        visibility: Some(slipway_domain::Visibility::Public),
        ..Default::default()
    };
    yard.farm
        .farm()
        .update_project(&access, change)
        .await
        .unwrap();
    let (by_id, by_commit) = (
        format!("/logs/{}", build["id"].as_str().unwrap()),
        format!("/logs/{REPOSITORY}@{SHA}"),
    );
    // Its builds are not public yet.
    Yard::send(yard.request(Method::GET, &by_id))
        .await
        .fails(401, "unauthorized");
    let change = slipway_farm::ProjectUpdate {
        public_builds: Some(true),
        ..Default::default()
    };
    yard.farm
        .farm()
        .update_project(&access, change)
        .await
        .unwrap();
    for path in [&by_id, &by_commit] {
        let answer = Yard::send(yard.request(Method::GET, path)).await.is(200);
        assert_eq!(answer.text(), "hello\n");
    }
    let wrong = yard
        .request(Method::GET, &by_id)
        .bearer_auth("slpat-nobodys");
    Yard::send(wrong).await.fails(401, "unauthorized");
    let builds = by_id.replace("logs", "builds");
    Yard::send(yard.request(Method::GET, &builds))
        .await
        .fails(401, "unauthorized");
}
