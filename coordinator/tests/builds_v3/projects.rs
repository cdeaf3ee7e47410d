//! Projects: listed, made, changed, deleted.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use slipway_coordinator::Config;
use slipway_domain::{JobState, Phase, Visibility};
use slipway_farm::ProjectUpdate;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends, wait_until};

use crate::client::RunnerApi;
use crate::support::{World, send};

on_both_back_ends!(
    lists_differ_by_what_ties_the_caller_to_a_project,
    a_list_is_searched_put_in_order_and_cut,
    a_project_is_made_in_a_namespace_of_ones_own,
    a_project_is_made_for_those_who_may_and_with_what_it_needs,
    a_project_is_changed_by_its_masters,
    a_deleted_project_leaves_no_blob_and_its_jobs_are_unknown,
    a_deleted_project_is_gone_for_its_runners,
    a_runner_that_beats_hears_of_the_end_of_its_project,
    only_owners_delete,
);

async fn lists_differ_by_what_ties_the_caller_to_a_project(backend: Backend) {
    let world = World::start(backend).await;
    let open = world.farm.project("grp/open").await;
    let change = ProjectUpdate {
        visibility: Some(Visibility::Internal),
        ..ProjectUpdate::default()
    };
    world.farm.change_project(&open, change).await;
    assert_eq!(world.developer.get("/projects").await.ids(), [1]);
    assert!(
        world
            .developer
            .get("/projects/owned")
            .await
            .ids()
            .is_empty()
    );
    assert_eq!(world.developer.get("/projects/visible").await.ids(), [2, 1]);
    assert_eq!(world.outsider.get("/projects/visible").await.ids(), [2]);
    assert_eq!(world.outsider.get("/projects/search/OPE").await.ids(), [2]);
    assert!(
        world
            .outsider
            .get("/projects/search/proj")
            .await
            .ids()
            .is_empty()
    );
    assert_eq!(world.admin.get("/projects/owned").await.ids(), [2, 1]);
    assert_eq!(world.admin.get("/projects/all").await.ids(), [2, 1]);
    let refused = world.master.get("/projects/all").await;
    refused.is_error(403, "403 Forbidden");
    assert!(world.admin.get("/projects/starred").await.ids().is_empty());
}

async fn a_list_is_searched_put_in_order_and_cut(backend: Backend) {
    let world = World::start(backend).await;
    for path in ["grp/b", "grp/A_1"] {
        world.farm.advance(1);
        world.farm.project(path).await;
    }
    let list = async |query: &str| {
        let items = world.admin.get(&format!("/projects/all?{query}")).await;
        let items = items.items();
        let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
        items.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(list("").await, ["A_1", "b", "proj"]);
    assert_eq!(list("sort=asc").await, ["proj", "b", "A_1"]);
    assert_eq!(list("order_by=name&sort=asc").await, ["A_1", "b", "proj"]);
    assert_eq!(list("order_by=path").await, ["proj", "b", "A_1"]);
    world.farm.advance(1);
    world.farm.build(&world.project).await;
    assert_eq!(
        list("order_by=last_activity_at").await,
        ["proj", "A_1", "b"]
    );
    assert_eq!(list("search=a_1").await, ["A_1"]);
    assert!(list("search=a%251").await.is_empty());
    assert_eq!(list("search=_").await, ["A_1"]);
    assert!(list("archived=true").await.is_empty());
    assert_eq!(list("visibility=private").await.len(), 3);
    assert!(list("visibility=public").await.is_empty());
    let page = world
        .admin
        .get("/projects/all?simple=true&per_page=2&page=2")
        .await;
    assert_eq!(page.header("X-Total"), Some("3"));
    let items = page.items();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["path_with_namespace"], "grp/proj");
    assert!(items[0].get("namespace").is_none());
    for bad in [
        "order_by=stars",
        "sort=up",
        "visibility=secret",
        "archived=x",
    ] {
        let refused = world.admin.get(&format!("/projects/all?{bad}")).await;
        refused.is(400);
    }
}

async fn a_project_is_made_in_a_namespace_of_ones_own(backend: Backend) {
    let world = World::start(backend).await;
    let body = json!({
        "name": "shop", "import_url": "https://git.example/shop.git", "description": "sells",
        "visibility_level": 10, "public_builds": true, "shared_runners_enabled": false,
    });
    let made = world.outsider.json(Method::POST, "/projects", &body).await;
    let made = made.is(201).json();
    assert_eq!(made["path_with_namespace"], "otto/shop");
    assert_eq!(made["description"], "sells");
    assert_eq!(made["visibility_level"], 10);
    assert_eq!(made["public_builds"], true);
    assert_eq!(made["shared_runners_enabled"], false);
    assert_eq!(made["web_url"], "https://git.example/shop");
    assert_eq!(made["ssh_url_to_repo"], "");
    assert!(made["runners_token"].is_string());
    let user = world.outsider.get("/user").await.json();
    assert_eq!(made["creator_id"], user["id"]);
    assert_eq!(made["owner"]["id"], user["id"]);
    assert_eq!(made["permissions"]["group_access"]["access_level"], 50);
    let form = "path=second&public=true&import_url=git@git.example:s.git";
    let second = world.outsider.request(Method::POST, "/projects");
    let second = second.header("Content-Type", "application/x-www-form-urlencoded");
    let second = send(second.body(form)).await.is(201).json();
    assert_eq!(second["namespace"]["id"], made["namespace"]["id"]);
    assert_eq!(second["public"], true);
    assert_eq!(second["ssh_url_to_repo"], "git@git.example:s.git");
}

async fn a_project_is_made_for_those_who_may_and_with_what_it_needs(backend: Backend) {
    let world = World::start(backend).await;
    let make = async |body: &Value| world.developer.json(Method::POST, "/projects", body).await;
    let source = "https://git.example/x.git";
    make(&json!({"name": "x"}))
        .await
        .errs(400, "import_url is missing");
    make(&json!({"import_url": source}))
        .await
        .errs(400, "name is missing");
    make(&json!({"name": "a b", "import_url": source}))
        .await
        .is(400);
    let secret = "https://me:hunter2@git.example/x.git";
    let refused = make(&json!({"name": "x", "import_url": secret}))
        .await
        .is(400);
    assert!(!String::from_utf8_lossy(&refused.body).contains("hunter2"));
    let level = json!({"name": "x", "import_url": source, "visibility_level": 7});
    make(&level).await.is(400);
    // The namespace is there, but nothing that the developer is a member of.
    let elsewhere = json!({"name": "x", "import_url": source, "namespace_id": 1});
    make(&elsewhere).await.is(404);
    let nowhere = json!({"name": "x", "import_url": source, "namespace_id": 999});
    make(&nowhere).await.is(404);
    let good = json!({"name": "x", "import_url": source});
    make(&good).await.is(201);
    let why = json!(["has already been taken"]);
    let taken = json!({"message": {"name": why, "path": why}});
    make(&good).await.shows(400, &taken);
    // Whoever comes late does not get a namespace that somebody else has.
    world.farm.project("rita/theirs").await;
    let late = world.reporter.json(Method::POST, "/projects", &good).await;
    late.is(403);
}

async fn a_project_is_changed_by_its_masters(backend: Backend) {
    let world = World::start(backend).await;
    let body = json!({
        "name": "renamed", "description": "new", "public": true, "builds_enabled": false,
        "default_branch": "trunk",
    });
    let refused = world
        .developer
        .json(Method::PUT, "/projects/1", &body)
        .await;
    refused.is_error(403, "403 Forbidden");
    let changed = world.master.json(Method::PUT, "/projects/1", &body).await;
    let changed = changed.is(200).json();
    assert_eq!(changed["path_with_namespace"], "grp/renamed");
    assert_eq!(changed["visibility_level"], 20);
    assert_eq!(changed["builds_enabled"], false);
    assert_eq!(changed["default_branch"], "trunk");
    let nothing = world
        .master
        .json(Method::PUT, "/projects/1", &json!({"description": ""}))
        .await;
    let nothing = nothing.is(200).json();
    assert!(nothing["description"].is_null());
    assert_eq!(nothing["name"], "renamed");
}

async fn a_deleted_project_leaves_no_blob_and_its_jobs_are_unknown(backend: Backend) {
    let world = World::start(backend).await;
    let kept = world.farm.project("grp/kept").await;
    world.farm.build(&kept).await;
    let api = RunnerApi::new(&world.farm);
    let runner = api.register_runner(&world.farm).await;
    let of_kept = runner.claim().await;
    of_kept.patch("0-2", "abc").await.is(202);
    let remaining = world.farm.stored_blobs();

    // One that is over with all it can have, one that runs, one that waits, and many more.
    world.farm.build(&world.project).await;
    let over = runner.claim().await;
    over.patch("0-2", "abc").await.is(202);
    over.patch("3-5", "def").await.is(202);
    over.upload("", "a.zip", b"PK").await.is(201);
    over.succeed().await;
    world
        .farm
        .build_of(&world.project, &[("one", &[]), ("two", &["one"])])
        .await;
    let running = runner.claim().await;
    running.patch("0-2", "abc").await.is(202);
    for _ in 0..25 {
        world.farm.build(&world.project).await;
    }
    assert!(world.farm.stored_blobs() >= remaining + 4);

    let owner = world.admin.request(Method::DELETE, "/projects/1");
    send(owner).await.shows(200, &json!(true));
    assert_eq!(world.farm.stored_blobs(), remaining);
    world.admin.get("/projects/1").await.is(404);
    running.patch("3-5", "def").await.is(404);
    running.put(json!({"state": "success"})).await.is(404);
    over.download().await.is(404);
    runner.expect_no_job().await;
    of_kept.patch("3-5", "def").await.is(202);
    of_kept.succeed().await;
    let again = world.admin.request(Method::DELETE, "/projects/1");
    send(again).await.is(404);
}

async fn a_deleted_project_is_gone_for_its_runners(backend: Backend) {
    let patient = |config: &mut Config| config.limits.poll_wait_s = Duration::from_secs(60);
    let world = World::of(TestFarm::start_with(backend, patient).await).await;
    let token = world.farm.project_registration_token(&world.project).await;
    let project = world.master.get("/projects/1").await.is(200).json();
    let own = project["runners_token"].as_str().unwrap().to_owned();
    let api = RunnerApi::new(&world.farm);
    let bound = api.register(&token, json!({})).await;
    let value = bound.expect_no_job().await;
    // It waits for work while its project goes, and is told so before its time is over.
    let waiting = tokio::spawn({
        let bound = bound.clone();
        async move { bound.poll_with_queue_key(&value).await }
    });
    let parked = || async { world.farm.farm().parked_polls() == 1 };
    wait_until(Duration::from_secs(10), "the poll waits", parked).await;
    let delete = world.admin.request(Method::DELETE, "/projects/1");
    send(delete).await.is(200);
    let told = tokio::time::timeout(Duration::from_secs(5), waiting).await;
    told.expect("the poll ends at once").unwrap().no_job();
    for gone in [&token, &own] {
        let body = json!({"token": gone});
        let answer = api
            .json(Method::POST, "/runners/register.json", &body)
            .await;
        answer.is(403);
    }
    let details = world.admin.get(&format!("/runners/{}", bound.id)).await;
    assert_eq!(details.is(200).json()["projects"], json!([]));
}

async fn a_runner_that_beats_hears_of_the_end_of_its_project(backend: Backend) {
    let world = World::start(backend).await;
    world.farm.build(&world.project).await;
    let claim = RunnerApi::new(&world.farm)
        .register_runner(&world.farm)
        .await
        .claim()
        .await;
    let held = tokio::spawn({
        let claim = claim.clone();
        async move {
            let body = json!({
                "token": claim.runner.token, "state": "running", "phase": "pushing",
            });
            let path = format!("/builds/{}.json", claim.id);
            let beat = claim.runner.api.request(Method::PUT, &path).json(&body);
            let beat = beat.header("Prefer", "wait=30");
            claim.runner.api.send(beat).await
        }
    });
    let pushing = || async {
        let state = world.farm.job(claim.id).await.state;
        matches!(state, JobState::Running(_, Phase::Pushing))
    };
    wait_until(Duration::from_secs(10), "the phase is noted", pushing).await;
    let delete = world.admin.request(Method::DELETE, "/projects/1");
    send(delete).await.is(200);
    let told = tokio::time::timeout(Duration::from_secs(5), held).await;
    told.expect("the beat ends at once").unwrap().is(404);
}

async fn only_owners_delete(backend: Backend) {
    let world = World::start(backend).await;
    for (client, status) in [
        (&world.guest, 403),
        (&world.developer, 403),
        (&world.master, 403),
        (&world.outsider, 404),
    ] {
        let delete = client.request(Method::DELETE, "/projects/1");
        send(delete).await.is(status);
    }
    world.master.get("/projects/1").await.is(200);
}
