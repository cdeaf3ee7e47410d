//! Passwords and the sessions that they open, beyond the one check.

use reqwest::Method;
use serde_json::json;
use slipway_domain::{AccessToken, Name};
use slipway_farm::{FarmError, UserUpdate};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::support::{Client, World};

on_both_back_ends!(
    a_session_ends_after_thirty_days_and_leaves_nothing,
    a_new_password_ends_the_sessions_of_the_old_one,
    a_password_is_changed_by_who_knows_it,
    a_blocked_user_cannot_sign_in,
);

const PASSWORD: &str = "open sesame, please";

fn dora() -> Name {
    "dora".parse().unwrap()
}

/// A world in which `dora` has a password.
async fn start(backend: Backend) -> World {
    let world = World::start(backend).await;
    let admin = world.farm.admin().await;
    let set = world
        .farm
        .farm()
        .set_password_of(&admin, &dora(), PASSWORD)
        .await;
    set.unwrap();
    world
}

async fn sign_in(world: &World, password: &str) -> Client {
    let body = json!({"login": "dora", "password": password});
    let answer = world.nobody().json(Method::POST, "/session", &body).await;
    let user = answer.is(201).json();
    world.holder_of(user["private_token"].as_str().unwrap())
}

async fn a_session_ends_after_thirty_days_and_leaves_nothing(backend: Backend) {
    let world = start(backend).await;
    let first = sign_in(&world, PASSWORD).await;
    world.farm.advance(30 * 86_400 - 60);
    first.get("/user").await.is(200);
    world.farm.advance(120);
    first.get("/user").await.is(401);
    let second = sign_in(&world, PASSWORD).await;
    second.get("/user").await.is(200);
    let token = AccessToken::presented(&world.developer.token);
    let actor = world.farm.farm().authenticate(&token).await.unwrap();
    let page = slipway_farm::Page {
        before: None,
        limit: 100,
    };
    let tokens = world.farm.farm().tokens(&actor, page).await.unwrap();
    let sessions = tokens.iter().filter(|token| token.name == "session");
    assert_eq!(sessions.count(), 1, "the one that has ended is gone");
}

async fn a_new_password_ends_the_sessions_of_the_old_one(backend: Backend) {
    let world = start(backend).await;
    let session = sign_in(&world, PASSWORD).await;
    let token = AccessToken::presented(&session.token);
    let actor = world.farm.farm().authenticate(&token).await.unwrap();
    let new = "quite another one";
    let changed = world
        .farm
        .farm()
        .change_password(&actor, Some(PASSWORD), new)
        .await;
    changed.unwrap();
    session.get("/user").await.is(401);
    world.developer.get("/user").await.is(200);
    let body = json!({"login": "dora", "password": PASSWORD});
    let old = world.nobody().json(Method::POST, "/session", &body).await;
    old.is(401);
    sign_in(&world, new).await.get("/user").await.is(200);
}

async fn a_password_is_changed_by_who_knows_it(backend: Backend) {
    let world = start(backend).await;
    let farm = world.farm.farm();
    let token = AccessToken::presented(&world.developer.token);
    let actor = farm.authenticate(&token).await.unwrap();
    for old in [None, Some("something else")] {
        let changed = farm.change_password(&actor, old, "quite another one");
        assert!(matches!(changed.await, Err(FarmError::Forbidden(_))));
    }
    let short = farm
        .change_password(&actor, Some(PASSWORD), "too short")
        .await;
    assert!(matches!(short, Err(FarmError::Invalid(_))));
    let others = farm
        .set_password_of(&actor, &dora(), "quite another one")
        .await;
    assert!(matches!(others, Err(FarmError::Forbidden(_))));
    let admin = world.farm.admin().await;
    let own = farm
        .set_password_of(&admin, admin.name(), "quite another one")
        .await;
    assert!(matches!(own, Err(FarmError::Forbidden(_))));
    let first = farm.change_password(&admin, None, "quite another one");
    first.await.unwrap();
    assert!(farm.has_password(&admin).await.unwrap());
}

async fn a_blocked_user_cannot_sign_in(backend: Backend) {
    let world = start(backend).await;
    let session = sign_in(&world, PASSWORD).await;
    let admin = world.farm.admin().await;
    let block = UserUpdate {
        active: Some(false),
        admin: None,
    };
    let blocked = world.farm.farm().update_user(&admin, &dora(), block).await;
    blocked.unwrap();
    session.get("/user").await.is_error(401, "401 Unauthorized");
    let body = json!({"login": "dora", "password": PASSWORD});
    let answer = world.nobody().json(Method::POST, "/session", &body).await;
    answer.is_error(401, "401 Unauthorized");
}
