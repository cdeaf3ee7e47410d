//! Runners, and the projects they serve.
//!
//! See `docs/protocols/gitlab-builds-v3.md#runners`.

use reqwest::Method;
use serde_json::json;
use slipway_domain::{Role, RunnerId};
use slipway_farm::RunnerUpdate;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::{ApiClient, ApiResponse, send};
use crate::client::{Runner, RunnerApi};
use crate::fixture::Fixture;

on_both_back_ends!(
    runners_are_listed_to_masters_of_their_projects,
    all_runners_are_listed_to_administrators_only,
    scope_selects_runners,
    runner_details_are_visible_to_masters,
    runner_is_changed_by_masters_of_all_its_projects,
    paused_runner_gets_no_job_until_it_is_active,
    runner_is_deleted_by_a_master_of_its_only_project,
    runner_is_enabled_for_another_project_and_disabled,
    shared_or_locked_runner_cannot_be_enabled,
    runners_token_is_accepted_as_a_job_token,
);

/// Registers a runner that serves only project 1.
async fn register_project_runner(fixture: &Fixture) -> Runner {
    let token = fixture
        .farm
        .project_registration_token(&fixture.project)
        .await;
    let body = json!({"description": "of the project", "tag_list": "b, a", "run_untagged": true});
    RunnerApi::new(&fixture.farm).register(&token, body).await
}

fn runner_path(id: RunnerId) -> String {
    format!("/runners/{id}")
}

async fn delete(client: &ApiClient, path: &str) -> ApiResponse {
    send(client.request(Method::DELETE, path)).await
}

async fn runners_are_listed_to_masters_of_their_projects(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let own = register_project_runner(&fixture).await.id.0;
    let shared = RunnerApi::new(&fixture.farm)
        .register_runner(&fixture.farm)
        .await
        .id
        .0;
    assert_eq!(fixture.master.get("/runners").await.ids(), [own]);
    assert!(fixture.developer.get("/runners").await.ids().is_empty());
    assert!(fixture.outsider.get("/runners").await.ids().is_empty());
    assert_eq!(fixture.admin.get("/runners/all").await.ids(), [shared, own]);
    let path = "/projects/1/runners";
    assert_eq!(fixture.master.get(path).await.ids(), [shared, own]);
    fixture
        .developer
        .get(path)
        .await
        .fails_with(403, "403 Forbidden");
    fixture.anonymous().get("/runners").await.is(401);
    let entry = &fixture.master.get("/runners").await.items()[0];
    let entry = entry.as_object().unwrap();
    let mut members: Vec<&str> = entry.keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(
        members,
        ["active", "description", "id", "is_shared", "name"]
    );
}

async fn all_runners_are_listed_to_administrators_only(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let runner = RunnerApi::new(&fixture.farm)
        .register_runner(&fixture.farm)
        .await;
    fixture
        .developer
        .get("/runners/all")
        .await
        .fails_with(403, "403 Forbidden");
    assert_eq!(fixture.admin.get("/runners/all").await.ids(), [runner.id.0]);
}

async fn scope_selects_runners(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let own = register_project_runner(&fixture).await;
    let shared = RunnerApi::new(&fixture.farm)
        .register_runner(&fixture.farm)
        .await;
    shared.expect_no_job().await;
    fixture.farm.pause_runner(own.id).await;
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
            let list = fixture.admin.get(&format!("{path}?scope={scope}")).await;
            assert_eq!(list.ids(), ids, "{path} {scope}");
        }
    }
    assert_eq!(
        fixture.master.get("/runners?scope=paused").await.ids(),
        [own]
    );
    let refused = fixture.master.get("/runners?scope=shared").await;
    refused.has_error(400, "scope does not have a valid value");
    fixture.admin.get("/runners/all?scope=x").await.is(400);
}

async fn runner_details_are_visible_to_masters(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let runner = register_project_runner(&fixture).await;
    runner.expect_no_job().await;
    let details = fixture
        .master
        .get(&runner_path(runner.id))
        .await
        .is(200)
        .json();
    assert_eq!(details["description"], "of the project");
    assert_eq!(details["active"], true);
    assert_eq!(details["is_shared"], false);
    assert_eq!(details["tag_list"], json!(["a", "b"]));
    assert_eq!(details["run_untagged"], true);
    assert_eq!(details["locked"], false);
    assert_eq!(details["version"], "1.9.2");
    assert_eq!(details["platform"], "linux");
    assert!(details["contacted_at"].is_string());
    assert!(details["token"].is_null());
    let served = json!([{
        "id": 1, "name": "proj", "name_with_namespace": "grp / proj", "path": "proj",
        "path_with_namespace": "grp/proj",
    }]);
    assert_eq!(details["projects"], served);
    for client in [&fixture.developer, &fixture.outsider] {
        // As if it did not exist.
        let refused = client.get(&runner_path(runner.id)).await;
        refused.fails_with(404, "404 Not Found");
    }
    let shared = RunnerApi::new(&fixture.farm)
        .register_runner(&fixture.farm)
        .await;
    let details = fixture
        .outsider
        .get(&runner_path(shared.id))
        .await
        .is(200)
        .json();
    assert_eq!(details["is_shared"], true);
    fixture
        .admin
        .get("/runners/999")
        .await
        .fails_with(404, "404 Not Found");
    fixture.admin.get("/runners/x").await.is(400);
}

async fn runner_is_changed_by_masters_of_all_its_projects(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let runner = register_project_runner(&fixture).await;
    let body = json!({
        "description": "renamed", "tag_list": ["x", "y"], "run_untagged": false, "locked": true,
    });
    let change = async |client: &ApiClient| {
        client
            .json(Method::PUT, &runner_path(runner.id), &body)
            .await
    };
    change(&fixture.developer)
        .await
        .fails_with(404, "404 Not Found");
    let changed = change(&fixture.master).await.is(200).json();
    assert_eq!(changed["description"], "renamed");
    assert_eq!(changed["tag_list"], json!(["x", "y"]));
    assert_eq!(changed["run_untagged"], false);
    assert_eq!(changed["locked"], true);
    let unusable = json!({"tag_list": ""});
    let refused = fixture
        .master
        .json(Method::PUT, &runner_path(runner.id), &unusable)
        .await;
    refused.is(400);
    let tags = json!({"tag_list": "p, q"});
    let changed = fixture
        .master
        .json(Method::PUT, &runner_path(runner.id), &tags)
        .await;
    assert_eq!(changed.is(200).json()["tag_list"], json!(["p", "q"]));

    let other = fixture.farm.project("grp/other").await;
    let admin = fixture.farm.admin().await;
    let unlock = RunnerUpdate {
        locked: Some(false),
        ..RunnerUpdate::default()
    };
    fixture.farm.change_runner(runner.id, unlock).await;
    let enabled = fixture.farm.farm().enable_runner(&admin, &other, runner.id);
    enabled.await.unwrap();
    change(&fixture.master)
        .await
        .fails_with(403, "403 Forbidden");
    fixture.farm.member(&other, "mona", Role::Maintainer).await;
    change(&fixture.master).await.is(200);
    let shared = RunnerApi::new(&fixture.farm)
        .register_runner(&fixture.farm)
        .await;
    let refused = fixture
        .master
        .json(Method::PUT, &runner_path(shared.id), &body)
        .await;
    refused.fails_with(403, "403 Forbidden");
    let allowed = fixture
        .admin
        .json(Method::PUT, &runner_path(shared.id), &body)
        .await;
    allowed.is(200);
}

async fn paused_runner_gets_no_job_until_it_is_active(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let runner = register_project_runner(&fixture).await;
    fixture.farm.build(&fixture.project).await;
    let set = async |active: bool| {
        let body = json!({"active": active});
        let response = fixture
            .master
            .json(Method::PUT, &runner_path(runner.id), &body)
            .await;
        assert_eq!(response.is(200).json()["active"], active);
    };
    set(false).await;
    runner.poll().await.is(404);
    set(true).await;
    runner.claim().await;
}

async fn runner_is_deleted_by_a_master_of_its_only_project(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let runner = register_project_runner(&fixture).await;
    let of_runner = runner_path(runner.id);
    delete(&fixture.developer, &of_runner).await.is(404);
    let other = fixture.farm.project("grp/other").await;
    fixture.farm.member(&other, "mona", Role::Maintainer).await;
    let admin = fixture.farm.admin().await;
    let enabled = fixture.farm.farm().enable_runner(&admin, &other, runner.id);
    enabled.await.unwrap();
    let refused = delete(&fixture.master, &of_runner).await;
    refused.fails_with(403, "403 Forbidden");
    fixture
        .farm
        .farm()
        .disable_runner(&other, runner.id)
        .await
        .unwrap();
    let removed = delete(&fixture.master, &of_runner).await.is(200).json();
    assert_eq!(removed["id"], runner.id.0);
    delete(&fixture.master, &of_runner).await.is(404);
    runner.poll().await.is(403);
    let shared = RunnerApi::new(&fixture.farm)
        .register_runner(&fixture.farm)
        .await;
    delete(&fixture.master, &runner_path(shared.id))
        .await
        .is(403);
    delete(&fixture.admin, &runner_path(shared.id))
        .await
        .is(200);
}

async fn runner_is_enabled_for_another_project_and_disabled(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let runner = register_project_runner(&fixture).await;
    let other = fixture.farm.project("grp/other").await;
    assert_eq!(other.id().0, 2);
    let body = json!({"runner_id": runner.id});
    let enable = async |client: &ApiClient| {
        client
            .json(Method::POST, "/projects/2/runners", &body)
            .await
    };
    enable(&fixture.developer).await.is(404);
    fixture.farm.member(&other, "mona", Role::Developer).await;
    enable(&fixture.master).await.is(403);
    fixture.farm.member(&other, "mona", Role::Maintainer).await;
    fixture.farm.build(&other).await;
    runner.expect_no_job().await;
    let enabled = enable(&fixture.master).await.is(201).json();
    assert_eq!(enabled["id"], runner.id.0);
    enable(&fixture.master).await.is(409);
    let claim = runner.claim().await;
    assert_eq!(claim.payload["project_id"], 2);
    claim.succeed().await;

    // A master of the other project has no rights to the runner once it is disabled there.
    fixture.farm.member(&other, "otto", Role::Maintainer).await;
    let binding = format!("/projects/2/runners/{}", runner.id);
    let disabled = delete(&fixture.outsider, &binding).await.is(200).json();
    assert_eq!(disabled["id"], runner.id.0);
    delete(&fixture.outsider, &binding).await.is(404);
    enable(&fixture.outsider)
        .await
        .fails_with(404, "404 Not Found");
    let last_binding = format!("/projects/1/runners/{}", runner.id);
    delete(&fixture.master, &last_binding)
        .await
        .fails_with(403, "403 Forbidden");
    delete(&fixture.developer, &last_binding).await.is(403);
    let missing = fixture
        .master
        .json(Method::POST, "/projects/2/runners", &json!({}))
        .await;
    missing.has_error(400, "runner_id is missing");
    let unknown = json!({"runner_id": 999});
    let unknown = fixture
        .master
        .json(Method::POST, "/projects/2/runners", &unknown)
        .await;
    unknown.is(404);
}

async fn shared_or_locked_runner_cannot_be_enabled(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    fixture.farm.project("grp/other").await;
    let shared = RunnerApi::new(&fixture.farm)
        .register_runner(&fixture.farm)
        .await;
    let locked = register_project_runner(&fixture).await;
    let lock = RunnerUpdate {
        locked: Some(true),
        ..RunnerUpdate::default()
    };
    fixture.farm.change_runner(locked.id, lock).await;
    for runner in [shared.id, locked.id] {
        let body = json!({"runner_id": runner});
        let refused = fixture
            .admin
            .json(Method::POST, "/projects/2/runners", &body)
            .await;
        refused.fails_with(403, "403 Forbidden");
    }
}

async fn runners_token_is_accepted_as_a_job_token(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let runners_token = |project: &serde_json::Value| {
        let token = project["runners_token"].as_str().unwrap();
        token.to_owned()
    };
    let own = runners_token(&fixture.admin.get("/projects/1").await.json());
    fixture.farm.project("grp/other").await;
    let others = runners_token(&fixture.admin.get("/projects/2").await.json());
    fixture.farm.build(&fixture.project).await;
    let runner = RunnerApi::new(&fixture.farm)
        .register_runner(&fixture.farm)
        .await;
    let mut claim = runner.claim().await;
    claim.token = others;
    claim.patch("0-2", "abc").await.is(403);
    claim.upload("", "a.zip", b"PK").await.is(403);
    claim.token = own.clone();
    claim.patch("0-2", "abc").await.is(202);
    claim.upload("", "a.zip", b"PK").await.is(201);
    assert_eq!(claim.download().await.is(200).body, "PK");
    // The token is masked in the trace.
    let range = format!("3-{}", 2 + own.len());
    claim.patch(&range, own.clone()).await.is(202);
    let masked = format!("abc{}", "x".repeat(own.len()));
    assert_eq!(fixture.farm.trace(claim.id).await, masked.as_bytes());
}
