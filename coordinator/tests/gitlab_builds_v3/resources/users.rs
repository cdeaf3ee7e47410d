//! Users and namespaces.
//!
//! See `docs/protocols/gitlab-builds-v3.md#users-and-namespaces`.

use reqwest::Method;
use serde_json::json;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::Fixture;

on_both_back_ends!(
    user_is_the_caller,
    users_see_themselves_and_administrators_see_everyone,
    namespaces_have_a_kind,
);

async fn user_is_the_caller(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let user = fixture.developer.get("/user").await.is(200).json();
    assert!(user["id"].is_i64());
    assert_eq!(user["username"], "dora");
    assert_eq!(user["state"], "active");
    for member in [
        "email",
        "theme_id",
        "color_scheme_id",
        "projects_limit",
        "current_sign_in_at",
        "identities",
        "can_create_group",
        "can_create_project",
        "two_factor_enabled",
    ] {
        assert!(user.get(member).is_some(), "{member}");
    }
    assert!(user.get("private_token").is_none());
    fixture
        .anonymous()
        .get("/user")
        .await
        .fails_with(401, "401 Unauthorized");
}

async fn users_see_themselves_and_administrators_see_everyone(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let own = fixture.developer.get("/users").await.items();
    assert_eq!(own.len(), 1);
    let id = own[0]["id"].as_i64().unwrap();
    let path = format!("/users/{id}");
    assert_eq!(fixture.developer.get(&path).await.is(200).json(), own[0]);
    assert_eq!(fixture.admin.get(&path).await.is(200).json(), own[0]);
    fixture
        .guest
        .get(&path)
        .await
        .fails_with(404, "404 Not Found");
    fixture.admin.get("/users/9999").await.is(404);
    fixture.admin.get("/users/x").await.is(400);
    assert_eq!(fixture.admin.get("/users").await.items().len(), 6);
    assert_eq!(fixture.admin.get("/users?username=DORA").await.ids(), [id]);
    assert_eq!(fixture.admin.get("/users?search=or").await.ids(), [id]);
    assert!(
        fixture
            .guest
            .get("/users?username=dora")
            .await
            .ids()
            .is_empty()
    );
}

async fn namespaces_have_a_kind(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    assert!(fixture.outsider.get("/namespaces").await.items().is_empty());
    let body = json!({"name": "own", "import_url": "https://git.example/own.git"});
    fixture
        .outsider
        .json(Method::POST, "/projects", &body)
        .await
        .is(201);
    let own = fixture.outsider.get("/namespaces").await.items();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0]["path"], "otto");
    assert_eq!(own[0]["kind"], "user");
    let of_group = fixture.admin.get("/namespaces?search=GR").await.items();
    assert_eq!(of_group.len(), 1);
    assert_eq!(of_group[0]["kind"], "group");
    let owned = fixture.outsider.get("/projects/owned").await.items();
    assert_eq!(owned[0]["owner"]["username"], "otto");
}
