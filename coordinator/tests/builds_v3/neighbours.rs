//! Checks 53 to 56 and 59: from a token to a project.

use reqwest::Method;
use serde_json::json;
use slipway_domain::Name;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::client::RunnerApi;
use crate::support::World;

on_both_back_ends!(
    check_53_a_user_learns_who_it_is,
    check_54_projects_are_listed,
    check_55_the_runners_token_is_for_masters,
    check_56_all_runners_are_for_administrators,
    check_58_the_runners_token_of_a_project_opens_nothing,
    check_59_a_password_opens_a_session,
    users_see_themselves_and_administrators_everybody,
    namespaces_are_listed_with_their_kind,
);

async fn check_53_a_user_learns_who_it_is(backend: Backend) {
    let world = World::start(backend).await;
    let user = world.developer.get("/user").await.is(200).json();
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
    world
        .nobody()
        .get("/user")
        .await
        .is_error(401, "401 Unauthorized");
}

async fn check_54_projects_are_listed(backend: Backend) {
    let world = World::start(backend).await;
    let projects = world.developer.get("/projects").await.items();
    assert_eq!(projects.len(), 1);
    let project = &projects[0];
    assert_eq!(project["id"], 1);
    assert_eq!(project["path_with_namespace"], "grp/proj");
    assert_eq!(project["namespace"]["name"], "grp");
    assert_eq!(project["namespace"]["kind"], "group");
    assert_eq!(project["builds_enabled"], true);
    assert_eq!(project["permissions"]["project_access"]["access_level"], 30);
    assert!(project["permissions"]["group_access"].is_null());
    assert!(project.get("runners_token").is_none());
}

async fn check_55_the_runners_token_is_for_masters(backend: Backend) {
    let world = World::start(backend).await;
    let seen = world.developer.get("/projects/1").await.is(200).json();
    assert!(seen.get("runners_token").is_none());
    assert_eq!(seen["visibility_level"], 0);
    assert_eq!(seen["public"], false);
    assert_eq!(seen["default_branch"], "main");
    assert_eq!(seen["http_url_to_repo"], "http://127.0.0.1:1/none.git");
    let seen = world
        .master
        .get("/projects/grp%2Fproj.json")
        .await
        .is(200)
        .json();
    let token = seen["runners_token"].as_str().unwrap();
    let api = RunnerApi::new(&world.farm);
    let runner = api
        .register(token, json!({"description": "of the project"}))
        .await;
    let other = world.farm.project("grp/other").await;
    world.farm.build(&other).await;
    runner.expect_no_job().await;
    world.farm.build(&world.project).await;
    let claim = runner.claim().await;
    assert_eq!(claim.payload["project_id"], 1);
    world
        .outsider
        .get("/projects/1")
        .await
        .is_error(404, "404 Project Not Found");
}

async fn check_56_all_runners_are_for_administrators(backend: Backend) {
    let world = World::start(backend).await;
    let runner = RunnerApi::new(&world.farm)
        .register_runner(&world.farm)
        .await;
    world
        .developer
        .get("/runners/all")
        .await
        .is_error(403, "403 Forbidden");
    assert_eq!(world.admin.get("/runners/all").await.ids(), [runner.id.0]);
}

async fn check_58_the_runners_token_of_a_project_opens_nothing(backend: Backend) {
    let world = World::start(backend).await;
    let project = world.master.get("/projects/1").await.is(200).json();
    let token = project["runners_token"].as_str().unwrap();
    let answer = world.holder_of(token).get("/user").await;
    answer.is_error(401, "401 Unauthorized");
}

async fn check_59_a_password_opens_a_session(backend: Backend) {
    let world = World::start(backend).await;
    let admin = world.farm.admin().await;
    let name: Name = "dora".parse().unwrap();
    let password = "open sesame, please";
    world
        .farm
        .farm()
        .set_password_of(&admin, &name, password)
        .await
        .unwrap();
    let nobody = world.nobody();
    for login in ["login", "email"] {
        let body = json!({login: "Dora", "password": password});
        let answer = nobody.json(Method::POST, "/session", &body).await.is(201);
        let user = answer.json();
        assert_eq!(user["username"], "dora");
        let session = world.holder_of(user["private_token"].as_str().unwrap());
        assert_eq!(session.get("/user").await.is(200).json()["id"], user["id"]);
    }
    for body in [
        json!({"login": "dora", "password": "open sesame, now!"}),
        json!({"login": "nobody", "password": password}),
        json!({"login": "rita", "password": password}),
        json!({"login": "not a name", "password": password}),
        json!({"login": "dora"}),
        json!({"password": password}),
        json!({}),
    ] {
        let answer = nobody.json(Method::POST, "/session", &body).await;
        answer.is_error(401, "401 Unauthorized");
    }
}

async fn users_see_themselves_and_administrators_everybody(backend: Backend) {
    let world = World::start(backend).await;
    let own = world.developer.get("/users").await.items();
    assert_eq!(own.len(), 1);
    let id = own[0]["id"].as_i64().unwrap();
    let path = format!("/users/{id}");
    assert_eq!(world.developer.get(&path).await.is(200).json(), own[0]);
    assert_eq!(world.admin.get(&path).await.is(200).json(), own[0]);
    world.guest.get(&path).await.is_error(404, "404 Not Found");
    world.admin.get("/users/9999").await.is(404);
    world.admin.get("/users/x").await.is(400);
    assert_eq!(world.admin.get("/users").await.items().len(), 6);
    assert_eq!(world.admin.get("/users?username=DORA").await.ids(), [id]);
    assert_eq!(world.admin.get("/users?search=or").await.ids(), [id]);
    assert!(
        world
            .guest
            .get("/users?username=dora")
            .await
            .ids()
            .is_empty()
    );
}

async fn namespaces_are_listed_with_their_kind(backend: Backend) {
    let world = World::start(backend).await;
    assert!(world.outsider.get("/namespaces").await.items().is_empty());
    let body = json!({"name": "own", "import_url": "https://git.example/own.git"});
    world
        .outsider
        .json(Method::POST, "/projects", &body)
        .await
        .is(201);
    let own = world.outsider.get("/namespaces").await.items();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0]["path"], "otto");
    assert_eq!(own[0]["kind"], "user");
    let of_group = world.admin.get("/namespaces?search=GR").await.items();
    assert_eq!(of_group.len(), 1);
    assert_eq!(of_group[0]["kind"], "group");
    let owned = world.outsider.get("/projects/owned").await.items();
    assert_eq!(owned[0]["owner"]["username"], "otto");
}
