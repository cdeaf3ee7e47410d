//! Checks 1 to 10, 52, 57 and 58: who comes in, by which door, and what is not there.

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use slipway_domain::{AccessToken, TokenId};
use slipway_farm::{ProjectUpdate, UserUpdate};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::support::{ApiResponse, P, World, build_path, send};

on_both_back_ends!(
    check_01_nobody_is_401,
    check_02_a_private_token_lists_builds,
    check_03_the_token_may_be_a_parameter,
    check_04_the_token_may_be_a_bearer,
    check_04_a_bearer_that_ended_is_told_so,
    check_05_a_wrong_token_is_401_wherever_it_goes,
    check_05_a_blocked_user_is_nobody,
    check_06_an_unknown_project_is_404,
    check_07_a_project_has_a_path,
    check_08_a_name_may_have_dots,
    check_09_a_private_project_is_not_there_for_others,
    check_10_guests_read_builds_where_these_are_public,
    check_52_a_wrong_method_or_path_is_no_crash,
    check_57_a_suffix_changes_nothing,
    check_58_tokens_of_machines_open_nothing,
);

const UNAUTHORIZED: &str = "401 Unauthorized";

fn builds() -> String {
    format!("{P}/builds")
}

async fn check_01_nobody_is_401(backend: Backend) {
    let world = World::start(backend).await;
    world
        .nobody()
        .get(&builds())
        .await
        .is_error(401, UNAUTHORIZED);
}

async fn check_02_a_private_token_lists_builds(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.pending().await;
    let answer = world.developer.get(&builds()).await.is(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.ids(), [id.0]);
}

async fn check_03_the_token_may_be_a_parameter(backend: Backend) {
    let world = World::start(backend).await;
    world.pending().await;
    let token = &world.developer.token;
    let expected = world.developer.get(&builds()).await.is(200).json();
    let path = format!("{P}/builds?private_token={token}");
    let bare = |path: &str| world.nobody().bare(Method::GET, path);
    send(bare(&path)).await.shows(200, &expected);
    // A parameter goes before a header.
    let wrong = bare(&path).header("PRIVATE-TOKEN", "wrong");
    send(wrong).await.shows(200, &expected);
    let path = format!("{P}/builds?private_token=wrong");
    let right = bare(&path).header("PRIVATE-TOKEN", token);
    send(right).await.is_error(401, UNAUTHORIZED);
}

async fn check_04_the_token_may_be_a_bearer(backend: Backend) {
    let world = World::start(backend).await;
    world.pending().await;
    let token = &world.developer.token;
    let expected = world.developer.get(&builds()).await.is(200).json();
    let nobody = world.nobody();
    let bearer = nobody.bare(Method::GET, &builds()).bearer_auth(token);
    send(bearer).await.shows(200, &expected);
    let path = format!("{P}/builds?access_token={token}");
    send(nobody.bare(Method::GET, &path))
        .await
        .shows(200, &expected);
}

/// Ends a token, and gives its text.
async fn ended_token(farm: &TestFarm) -> String {
    let token = farm.token_of("dora").await;
    let presented = AccessToken::presented(&token);
    let actor = farm.farm().authenticate(&presented);
    let id: TokenId = actor.await.unwrap().token();
    let root = farm.admin().await;
    farm.farm().revoke_token(&root, id).await.unwrap();
    token
}

async fn check_04_a_bearer_that_ended_is_told_so(backend: Backend) {
    let world = World::start(backend).await;
    let token = ended_token(&world.farm).await;
    let nobody = world.nobody();
    let ended = |request: RequestBuilder| async {
        let answer: ApiResponse = send(request).await.is(401);
        let challenge = answer.header("www-authenticate").unwrap().to_owned();
        assert!(challenge.starts_with("Bearer "), "{challenge}");
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        let body = answer.json();
        assert_eq!(body["error"], "invalid_token");
        assert!(body["error_description"].is_string(), "{body}");
    };
    ended(nobody.bare(Method::GET, &builds()).bearer_auth(&token)).await;
    let path = format!("{P}/builds?access_token={token}");
    ended(nobody.bare(Method::GET, &path)).await;
    // What is no OAuth token, or nobody's, is just unknown.
    let answer = world.holder_of(&token).get(&builds()).await;
    let answer = answer.is_error(401, UNAUTHORIZED);
    assert_eq!(answer.header("www-authenticate"), None);
    let wrong = nobody.bare(Method::GET, &builds()).bearer_auth("wrong");
    send(wrong).await.is_error(401, UNAUTHORIZED);
}

async fn check_05_a_wrong_token_is_401_wherever_it_goes(backend: Backend) {
    let world = World::start(backend).await;
    let stranger = world.holder_of("wrong");
    for path in [builds(), "/projects/99999/builds".to_owned()] {
        stranger.get(&path).await.is_error(401, UNAUTHORIZED);
    }
}

async fn check_05_a_blocked_user_is_nobody(backend: Backend) {
    let world = World::start(backend).await;
    world.developer.get(&builds()).await.is(200);
    let blocked = UserUpdate {
        active: Some(false),
        ..UserUpdate::default()
    };
    let (root, name) = (world.farm.admin().await, "dora".parse().unwrap());
    let farm = world.farm.farm();
    farm.update_user(&root, &name, blocked).await.unwrap();
    let answer = world.developer.get(&builds()).await;
    answer.is_error(401, UNAUTHORIZED);
}

async fn check_06_an_unknown_project_is_404(backend: Backend) {
    let world = World::start(backend).await;
    for id in ["99999", "grp%2Fnone", "none", "99999999999999999999"] {
        let answer = world.developer.get(&format!("/projects/{id}/builds")).await;
        answer.is_error(404, "404 Project Not Found");
    }
}

async fn check_07_a_project_has_a_path(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.pending().await;
    let expected = world.developer.get(&builds()).await.is(200).json();
    for path in ["grp%2Fproj", "grp%2fproj"] {
        let list = format!("/projects/{path}/builds");
        world.developer.get(&list).await.shows(200, &expected);
        let one = format!("/projects/{path}/builds/{id}");
        world.developer.get(&one).await.shows(200, &expected[0]);
    }
}

async fn check_08_a_name_may_have_dots(backend: Backend) {
    let world = World::start(backend).await;
    let project = world.farm.project("grp/pro.j").await;
    world.farm.build(&project).await;
    let path = "/projects/grp%2Fpro.j/builds";
    assert_eq!(world.admin.get(path).await.items().len(), 1);
    let path = "/projects/grp%2Fpro.j/builds.json";
    assert_eq!(world.admin.get(path).await.items().len(), 1);
}

async fn check_09_a_private_project_is_not_there_for_others(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.pending().await;
    for path in [builds(), build_path(id, ""), build_path(id, "/trace")] {
        let answer = world.outsider.get(&path).await;
        answer.is_error(404, "404 Project Not Found");
    }
    let answer = world.outsider.post(&build_path(id, "/cancel")).await;
    answer.is_error(404, "404 Project Not Found");
}

async fn check_10_guests_read_builds_where_these_are_public(backend: Backend) {
    let world = World::start(backend).await;
    let claim = world.rich().await;
    let paths = ["", "/trace", "/artifacts"].map(|below| build_path(claim.id, below));
    for path in paths.iter().chain([&builds()]) {
        let answer = world.guest.get(path).await;
        answer.is_error(403, "403 Forbidden");
        world.reporter.get(path).await.is(200);
    }
    let public = ProjectUpdate {
        public_builds: Some(true),
        ..ProjectUpdate::default()
    };
    world.farm.change_project(&world.project, public).await;
    for path in &paths {
        world.guest.get(path).await.is(200);
    }
    let answer = world.guest.post(&build_path(claim.id, "/retry")).await;
    answer.is_error(403, "403 Forbidden");
    // Without builds nobody has a right to any.
    let off = ProjectUpdate {
        builds_enabled: Some(false),
        ..ProjectUpdate::default()
    };
    world.farm.change_project(&world.project, off).await;
    for path in &paths {
        let answer = world.master.get(path).await;
        answer.is_error(403, "403 Forbidden");
    }
}

async fn check_52_a_wrong_method_or_path_is_no_crash(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.pending().await;
    for path in ["/cancel", "/retry", "/erase", "/play", "/artifacts/keep"] {
        let answer = world.developer.get(&build_path(id, path)).await;
        answer.errs(405, "405 Not Allowed");
    }
    let answer = world.developer.post(&build_path(id, "/trace")).await;
    answer.errs(405, "405 Not Allowed");
    for path in ["/nope", &build_path(id, "/nope")] {
        let answer = world.developer.get(path).await;
        answer.errs(404, "404 Not Found");
    }
    let head = world.developer.request(Method::HEAD, &builds());
    assert!(send(head).await.is(200).body.is_empty());
}

async fn check_57_a_suffix_changes_nothing(backend: Backend) {
    let world = World::start(backend).await;
    let id = world.pending().await;
    for path in [builds(), build_path(id, ""), format!("{P}/pipelines")] {
        let expected = world.developer.get(&path).await.is(200).json();
        let suffixed = format!("{path}.json");
        world.developer.get(&suffixed).await.shows(200, &expected);
    }
    let answer = world.developer.post(&build_path(id, "/cancel.json")).await;
    assert_eq!(answer.is(201).json()["status"], json!("canceled"));
}

async fn check_58_tokens_of_machines_open_nothing(backend: Backend) {
    let world = World::start(backend).await;
    let claim = world.running().await;
    let registration = world.farm.project_registration_token(&world.project).await;
    for token in [&claim.runner.token, &claim.token, &registration] {
        let answer = world.holder_of(token).get(&builds()).await;
        answer.is_error(401, UNAUTHORIZED);
    }
}
