//! Runners: who sees them, who changes them, which projects they serve.

use reqwest::Method;
use serde_json::json;
use slipway_domain::{Role, RunnerId};
use slipway_farm::RunnerUpdate;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::client::{Runner, RunnerApi};
use crate::support::{Client, World, send};

on_both_back_ends!(
    a_runner_is_listed_to_those_whose_it_is,
    a_list_of_runners_is_narrowed_by_scope,
    the_details_of_a_runner,
    a_runner_is_changed_by_masters_of_all_it_serves,
    a_paused_runner_gets_nothing_until_it_is_active,
    a_runner_is_removed_by_the_master_of_its_one_project,
    a_runner_is_lent_to_another_project_and_taken_back,
    a_runner_is_not_lent_when_it_is_shared_or_locked,
    the_token_of_a_project_is_as_good_as_that_of_a_job,
);

/// A runner of project 1 alone.
async fn bound(world: &World) -> Runner {
    let token = world.farm.project_registration_token(&world.project).await;
    let body = json!({"description": "of the project", "tag_list": "b, a", "run_untagged": true});
    RunnerApi::new(&world.farm).register(&token, body).await
}

fn path(id: RunnerId) -> String {
    format!("/runners/{id}")
}

async fn delete(client: &Client, path: &str) -> crate::client::ApiResponse {
    send(client.request(Method::DELETE, path)).await
}

async fn a_runner_is_listed_to_those_whose_it_is(backend: Backend) {
    let world = World::start(backend).await;
    let own = bound(&world).await.id.0;
    let shared = RunnerApi::new(&world.farm)
        .register_runner(&world.farm)
        .await
        .id
        .0;
    assert_eq!(world.master.get("/runners").await.ids(), [own]);
    assert!(world.developer.get("/runners").await.ids().is_empty());
    assert!(world.outsider.get("/runners").await.ids().is_empty());
    assert_eq!(world.admin.get("/runners/all").await.ids(), [shared, own]);
    let path = "/projects/1/runners";
    assert_eq!(world.master.get(path).await.ids(), [shared, own]);
    world
        .developer
        .get(path)
        .await
        .is_error(403, "403 Forbidden");
    world.nobody().get("/runners").await.is(401);
    let entry = &world.master.get("/runners").await.items()[0];
    let entry = entry.as_object().unwrap();
    let mut members: Vec<&str> = entry.keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(
        members,
        ["active", "description", "id", "is_shared", "name"]
    );
}

async fn a_list_of_runners_is_narrowed_by_scope(backend: Backend) {
    let world = World::start(backend).await;
    let own = bound(&world).await;
    let shared = RunnerApi::new(&world.farm)
        .register_runner(&world.farm)
        .await;
    shared.expect_no_job().await;
    world.farm.pause_runner(own.id).await;
    let (own, shared) = (own.id.0, shared.id.0);
    for (scope, ids) in [
        ("specific", vec![own]),
        ("shared", vec![shared]),
        ("active", vec![shared]),
        ("paused", vec![own]),
        ("online", vec![shared]),
        ("", vec![shared, own]),
    ] {
        for path in ["/runners/all", "/projects/1/runners"] {
            let list = world.admin.get(&format!("{path}?scope={scope}")).await;
            assert_eq!(list.ids(), ids, "{path} {scope}");
        }
    }
    assert_eq!(world.master.get("/runners?scope=paused").await.ids(), [own]);
    let refused = world.master.get("/runners?scope=shared").await;
    refused.errs(400, "scope does not have a valid value");
    world.admin.get("/runners/all?scope=x").await.is(400);
}

async fn the_details_of_a_runner(backend: Backend) {
    let world = World::start(backend).await;
    let runner = bound(&world).await;
    runner.expect_no_job().await;
    let seen = world.master.get(&path(runner.id)).await.is(200).json();
    assert_eq!(seen["description"], "of the project");
    assert_eq!(seen["active"], true);
    assert_eq!(seen["is_shared"], false);
    assert_eq!(seen["tag_list"], json!(["a", "b"]));
    assert_eq!(seen["run_untagged"], true);
    assert_eq!(seen["locked"], false);
    assert_eq!(seen["version"], "1.9.2");
    assert_eq!(seen["platform"], "linux");
    assert!(seen["contacted_at"].is_string());
    assert!(seen["token"].is_null());
    let served = json!([{
        "id": 1, "name": "proj", "name_with_namespace": "grp / proj", "path": "proj",
        "path_with_namespace": "grp/proj",
    }]);
    assert_eq!(seen["projects"], served);
    for client in [&world.developer, &world.outsider] {
        let refused = client.get(&path(runner.id)).await;
        refused.is_error(403, "403 Forbidden");
    }
    let shared = RunnerApi::new(&world.farm)
        .register_runner(&world.farm)
        .await;
    let seen = world.outsider.get(&path(shared.id)).await.is(200).json();
    assert_eq!(seen["is_shared"], true);
    world
        .admin
        .get("/runners/999")
        .await
        .is_error(404, "404 Not Found");
    world.admin.get("/runners/x").await.is(400);
}

async fn a_runner_is_changed_by_masters_of_all_it_serves(backend: Backend) {
    let world = World::start(backend).await;
    let runner = bound(&world).await;
    let body = json!({
        "description": "renamed", "tag_list": ["x", "y"], "run_untagged": false, "locked": true,
    });
    let change = async |client: &Client| client.json(Method::PUT, &path(runner.id), &body).await;
    change(&world.developer)
        .await
        .is_error(403, "403 Forbidden");
    let changed = change(&world.master).await.is(200).json();
    assert_eq!(changed["description"], "renamed");
    assert_eq!(changed["tag_list"], json!(["x", "y"]));
    assert_eq!(changed["run_untagged"], false);
    assert_eq!(changed["locked"], true);
    let idle = json!({"tag_list": ""});
    let refused = world
        .master
        .json(Method::PUT, &path(runner.id), &idle)
        .await;
    refused.is(400);
    let lists = json!({"tag_list": "p, q"});
    let lists = world
        .master
        .json(Method::PUT, &path(runner.id), &lists)
        .await;
    assert_eq!(lists.is(200).json()["tag_list"], json!(["p", "q"]));

    let other = world.farm.project("grp/other").await;
    let admin = world.farm.admin().await;
    let unlock = RunnerUpdate {
        locked: Some(false),
        ..RunnerUpdate::default()
    };
    world.farm.change_runner(runner.id, unlock).await;
    let lent = world.farm.farm().enable_runner(&admin, &other, runner.id);
    lent.await.unwrap();
    change(&world.master).await.is_error(403, "403 Forbidden");
    world.farm.member(&other, "mona", Role::Maintainer).await;
    change(&world.master).await.is(200);
    let shared = RunnerApi::new(&world.farm)
        .register_runner(&world.farm)
        .await;
    let refused = world
        .master
        .json(Method::PUT, &path(shared.id), &body)
        .await;
    refused.is_error(403, "403 Forbidden");
    let allowed = world.admin.json(Method::PUT, &path(shared.id), &body).await;
    allowed.is(200);
}

async fn a_paused_runner_gets_nothing_until_it_is_active(backend: Backend) {
    let world = World::start(backend).await;
    let runner = bound(&world).await;
    world.farm.build(&world.project).await;
    let set = async |active: bool| {
        let body = json!({"active": active});
        let answer = world
            .master
            .json(Method::PUT, &path(runner.id), &body)
            .await;
        assert_eq!(answer.is(200).json()["active"], active);
    };
    set(false).await;
    runner.poll().await.is(404);
    set(true).await;
    runner.claim().await;
}

async fn a_runner_is_removed_by_the_master_of_its_one_project(backend: Backend) {
    let world = World::start(backend).await;
    let runner = bound(&world).await;
    let of_runner = path(runner.id);
    delete(&world.developer, &of_runner).await.is(403);
    let other = world.farm.project("grp/other").await;
    world.farm.member(&other, "mona", Role::Maintainer).await;
    let admin = world.farm.admin().await;
    let lent = world.farm.farm().enable_runner(&admin, &other, runner.id);
    lent.await.unwrap();
    let refused = delete(&world.master, &of_runner).await;
    refused.is_error(403, "403 Forbidden");
    world
        .farm
        .farm()
        .disable_runner(&other, runner.id)
        .await
        .unwrap();
    let removed = delete(&world.master, &of_runner).await.is(200).json();
    assert_eq!(removed["id"], runner.id.0);
    delete(&world.master, &of_runner).await.is(404);
    runner.poll().await.is(403);
    let shared = RunnerApi::new(&world.farm)
        .register_runner(&world.farm)
        .await;
    delete(&world.master, &path(shared.id)).await.is(403);
    delete(&world.admin, &path(shared.id)).await.is(200);
}

async fn a_runner_is_lent_to_another_project_and_taken_back(backend: Backend) {
    let world = World::start(backend).await;
    let runner = bound(&world).await;
    let other = world.farm.project("grp/other").await;
    assert_eq!(other.id().0, 2);
    let body = json!({"runner_id": runner.id});
    let lend = async |client: &Client| {
        client
            .json(Method::POST, "/projects/2/runners", &body)
            .await
    };
    lend(&world.developer).await.is(404);
    world.farm.member(&other, "mona", Role::Developer).await;
    lend(&world.master).await.is(403);
    world.farm.member(&other, "mona", Role::Maintainer).await;
    world.farm.build(&other).await;
    runner.expect_no_job().await;
    let lent = lend(&world.master).await.is(201).json();
    assert_eq!(lent["id"], runner.id.0);
    lend(&world.master).await.is(409);
    let claim = runner.claim().await;
    assert_eq!(claim.payload["project_id"], 2);
    claim.succeed().await;

    // A master of the other project alone has no part in the runner as long as it is not lent.
    world.farm.member(&other, "otto", Role::Maintainer).await;
    let unbound = format!("/projects/2/runners/{}", runner.id);
    let taken = delete(&world.outsider, &unbound).await.is(200).json();
    assert_eq!(taken["id"], runner.id.0);
    delete(&world.outsider, &unbound).await.is(404);
    lend(&world.outsider).await.is_error(403, "403 Forbidden");
    let last = format!("/projects/1/runners/{}", runner.id);
    delete(&world.master, &last)
        .await
        .is_error(403, "403 Forbidden");
    delete(&world.developer, &last).await.is(403);
    let missing = world
        .master
        .json(Method::POST, "/projects/2/runners", &json!({}))
        .await;
    missing.errs(400, "runner_id is missing");
    let unknown = json!({"runner_id": 999});
    let unknown = world
        .master
        .json(Method::POST, "/projects/2/runners", &unknown)
        .await;
    unknown.is(404);
}

async fn a_runner_is_not_lent_when_it_is_shared_or_locked(backend: Backend) {
    let world = World::start(backend).await;
    world.farm.project("grp/other").await;
    let shared = RunnerApi::new(&world.farm)
        .register_runner(&world.farm)
        .await;
    let locked = bound(&world).await;
    let lock = RunnerUpdate {
        locked: Some(true),
        ..RunnerUpdate::default()
    };
    world.farm.change_runner(locked.id, lock).await;
    for runner in [shared.id, locked.id] {
        let body = json!({"runner_id": runner});
        let refused = world
            .admin
            .json(Method::POST, "/projects/2/runners", &body)
            .await;
        refused.is_error(403, "403 Forbidden");
    }
}

async fn the_token_of_a_project_is_as_good_as_that_of_a_job(backend: Backend) {
    let world = World::start(backend).await;
    let of_project = |project: &serde_json::Value| {
        let token = project["runners_token"].as_str().unwrap();
        token.to_owned()
    };
    let own = of_project(&world.admin.get("/projects/1").await.json());
    world.farm.project("grp/other").await;
    let others = of_project(&world.admin.get("/projects/2").await.json());
    world.farm.build(&world.project).await;
    let runner = RunnerApi::new(&world.farm)
        .register_runner(&world.farm)
        .await;
    let mut claim = runner.claim().await;
    claim.token = others;
    claim.patch("0-2", "abc").await.is(403);
    claim.upload("", "a.zip", b"PK").await.is(403);
    claim.token = own.clone();
    claim.patch("0-2", "abc").await.is(202);
    claim.upload("", "a.zip", b"PK").await.is(201);
    assert_eq!(claim.download().await.is(200).body, "PK");
    // Whoever reads the trace does not learn it.
    let range = format!("3-{}", 2 + own.len());
    claim.patch(&range, own.clone()).await.is(202);
    let shown = format!("abc{}", "x".repeat(own.len()));
    assert_eq!(world.farm.trace(claim.id).await, shown.as_bytes());
}
