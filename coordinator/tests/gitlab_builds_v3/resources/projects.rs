//! Listing, creating and changing projects.
//!
//! See `docs/protocols/gitlab-builds-v3.md#projects`.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_domain::Visibility;
use slipway_farm::ProjectUpdate;
use slipway_testkit::{Backend, on_both_back_ends};

use crate::api_client::send;
use crate::client::RunnerApi;
use crate::fixture::Fixture;

on_both_back_ends!(
    projects_are_listed_with_their_members,
    runners_token_is_visible_to_masters_only,
    project_lists_depend_on_membership_and_visibility,
    project_list_is_filtered_sorted_and_paginated,
    project_is_created_in_the_own_namespace,
    invalid_or_forbidden_project_is_not_created,
    masters_change_a_project,
);

async fn projects_are_listed_with_their_members(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let projects = fixture.developer.get("/projects").await.items();
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

async fn runners_token_is_visible_to_masters_only(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let project = fixture.developer.get("/projects/1").await.is(200).json();
    assert!(project.get("runners_token").is_none());
    assert_eq!(project["visibility_level"], 0);
    assert_eq!(project["public"], false);
    assert_eq!(project["default_branch"], "main");
    assert_eq!(project["http_url_to_repo"], "http://127.0.0.1:1/none.git");
    let project = fixture
        .master
        .get("/projects/grp%2Fproj.json")
        .await
        .is(200)
        .json();
    let token = project["runners_token"].as_str().unwrap();
    let api = RunnerApi::new(&fixture.farm);
    let runner = api
        .register(token, json!({"description": "of the project"}))
        .await;
    let other = fixture.farm.project("grp/other").await;
    fixture.farm.build(&other).await;
    runner.expect_no_job().await;
    fixture.farm.build(&fixture.project).await;
    let claim = runner.claim().await;
    assert_eq!(claim.payload["project_id"], 1);
    fixture
        .outsider
        .get("/projects/1")
        .await
        .fails_with(404, "404 Project Not Found");
}

async fn project_lists_depend_on_membership_and_visibility(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let open = fixture.farm.project("grp/open").await;
    let change = ProjectUpdate {
        visibility: Some(Visibility::Internal),
        ..ProjectUpdate::default()
    };
    fixture.farm.change_project(&open, change).await;
    assert_eq!(fixture.developer.get("/projects").await.ids(), [1]);
    assert!(
        fixture
            .developer
            .get("/projects/owned")
            .await
            .ids()
            .is_empty()
    );
    assert_eq!(
        fixture.developer.get("/projects/visible").await.ids(),
        [2, 1]
    );
    assert_eq!(fixture.outsider.get("/projects/visible").await.ids(), [2]);
    assert_eq!(
        fixture.outsider.get("/projects/search/OPE").await.ids(),
        [2]
    );
    assert!(
        fixture
            .outsider
            .get("/projects/search/proj")
            .await
            .ids()
            .is_empty()
    );
    assert_eq!(fixture.admin.get("/projects/owned").await.ids(), [2, 1]);
    assert_eq!(fixture.admin.get("/projects/all").await.ids(), [2, 1]);
    let refused = fixture.master.get("/projects/all").await;
    refused.fails_with(403, "403 Forbidden");
    assert!(
        fixture
            .admin
            .get("/projects/starred")
            .await
            .ids()
            .is_empty()
    );
}

async fn project_list_is_filtered_sorted_and_paginated(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    for path in ["grp/b", "grp/A_1"] {
        fixture.farm.advance(1);
        fixture.farm.project(path).await;
    }
    let list = async |query: &str| {
        let items = fixture.admin.get(&format!("/projects/all?{query}")).await;
        let items = items.items();
        let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
        items.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(list("").await, ["A_1", "b", "proj"]);
    assert_eq!(list("sort=asc").await, ["proj", "b", "A_1"]);
    assert_eq!(list("order_by=name&sort=asc").await, ["A_1", "b", "proj"]);
    assert_eq!(list("order_by=path").await, ["proj", "b", "A_1"]);
    fixture.farm.advance(1);
    fixture.farm.build(&fixture.project).await;
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
    let page = fixture
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
        let refused = fixture.admin.get(&format!("/projects/all?{bad}")).await;
        refused.is(400);
    }
}

async fn project_is_created_in_the_own_namespace(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let body = json!({
        "name": "shop", "import_url": "https://git.example/shop.git", "description": "sells",
        "visibility_level": 10, "public_builds": true, "shared_runners_enabled": false,
    });
    let created = fixture
        .outsider
        .json(Method::POST, "/projects", &body)
        .await;
    let created = created.is(201).json();
    assert_eq!(created["path_with_namespace"], "otto/shop");
    assert_eq!(created["description"], "sells");
    assert_eq!(created["visibility_level"], 10);
    assert_eq!(created["public_builds"], true);
    assert_eq!(created["shared_runners_enabled"], false);
    assert_eq!(created["web_url"], "https://git.example/shop");
    assert_eq!(created["ssh_url_to_repo"], "");
    assert!(created["runners_token"].is_string());
    let user = fixture.outsider.get("/user").await.json();
    assert_eq!(created["creator_id"], user["id"]);
    assert_eq!(created["owner"]["id"], user["id"]);
    assert_eq!(created["permissions"]["group_access"]["access_level"], 50);
    let form = "path=second&public=true&import_url=git@git.example:s.git";
    let second = fixture.outsider.request(Method::POST, "/projects");
    let second = second.header("Content-Type", "application/x-www-form-urlencoded");
    let second = send(second.body(form)).await.is(201).json();
    assert_eq!(second["namespace"]["id"], created["namespace"]["id"]);
    assert_eq!(second["public"], true);
    assert_eq!(second["ssh_url_to_repo"], "git@git.example:s.git");
}

async fn invalid_or_forbidden_project_is_not_created(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let create = async |body: &Value| {
        fixture
            .developer
            .json(Method::POST, "/projects", body)
            .await
    };
    let source = "https://git.example/x.git";
    create(&json!({"name": "x"}))
        .await
        .has_error(400, "import_url is missing");
    create(&json!({"import_url": source}))
        .await
        .has_error(400, "name is missing");
    create(&json!({"name": "a b", "import_url": source}))
        .await
        .is(400);
    let secret = "https://me:hunter2@git.example/x.git";
    let refused = create(&json!({"name": "x", "import_url": secret}))
        .await
        .is(400);
    assert!(!String::from_utf8_lossy(&refused.body).contains("hunter2"));
    let level = json!({"name": "x", "import_url": source, "visibility_level": 7});
    create(&level).await.is(400);
    // The namespace exists, but the developer is not a member of it.
    let elsewhere = json!({"name": "x", "import_url": source, "namespace_id": 1});
    create(&elsewhere).await.is(404);
    let nowhere = json!({"name": "x", "import_url": source, "namespace_id": 999});
    create(&nowhere).await.is(404);
    let good = json!({"name": "x", "import_url": source});
    create(&good).await.is(201);
    let taken = json!(["has already been taken"]);
    let taken = json!({"message": {"name": taken, "path": taken}});
    create(&good).await.has_json(400, &taken);
    // The namespace with the name of the reporter belongs to another user.
    fixture.farm.project("rita/theirs").await;
    let response = fixture
        .reporter
        .json(Method::POST, "/projects", &good)
        .await;
    response.is(403);
}

async fn masters_change_a_project(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let body = json!({
        "name": "renamed", "description": "new", "public": true, "builds_enabled": false,
        "default_branch": "trunk",
    });
    let refused = fixture
        .developer
        .json(Method::PUT, "/projects/1", &body)
        .await;
    refused.fails_with(403, "403 Forbidden");
    let changed = fixture.master.json(Method::PUT, "/projects/1", &body).await;
    let changed = changed.is(200).json();
    assert_eq!(changed["path_with_namespace"], "grp/renamed");
    assert_eq!(changed["visibility_level"], 20);
    assert_eq!(changed["builds_enabled"], false);
    assert_eq!(changed["default_branch"], "trunk");
    let changed = fixture
        .master
        .json(Method::PUT, "/projects/1", &json!({"description": ""}))
        .await;
    let changed = changed.is(200).json();
    assert!(changed["description"].is_null());
    assert_eq!(changed["name"], "renamed");
}
