//! Triggers, and the builds that they start.
//!
//! See `docs/protocols/gitlab-builds-v3.md#triggers`.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_domain::{Role, TriggerToken};
use slipway_farm::{ProjectUpdate, UserUpdate};
use slipway_testkit::{Backend, GitServer, on_both_back_ends};

use crate::api_client::{ApiResponse, send};
use crate::client::RunnerApi;
use crate::fixture::Fixture;

on_both_back_ends!(
    masters_create_list_and_revoke_triggers,
    trigger_starts_a_build_with_its_variables,
    invalid_trigger_requests_create_no_build,
    trigger_has_the_rights_of_its_creator,
    forged_trigger_token_returns_404,
    full_ref_name_builds_a_tag_that_has_the_name_of_a_branch,
    trigger_of_a_read_only_project_starts_no_build,
);

/// A fixture whose project has a repository with the branches `main` and `feature/x`.
async fn start(backend: Backend, git: &GitServer) -> Fixture {
    let fixture = Fixture::start(backend).await;
    let repo = git.repo("proj");
    repo.commit(&[("Dockerfile", "FROM scratch")], "first");
    repo.branch("feature/x");
    repo.commit(&[("a", "b")], "second");
    let change = ProjectUpdate {
        repo_url: Some(repo.url().to_owned()),
        ..ProjectUpdate::default()
    };
    fixture.farm.change_project(&fixture.project, change).await;
    fixture
}

/// Creates a trigger of project 1 and returns its token.
async fn create_trigger(fixture: &Fixture) -> String {
    let created = fixture.master.post("/projects/1/triggers").await.is(201);
    created.json()["token"].as_str().unwrap().to_owned()
}

/// Calls a trigger of project 1.
async fn fire(fixture: &Fixture, body: &Value) -> ApiResponse {
    let path = "/projects/1/trigger/builds";
    fixture.anonymous().json(Method::POST, path, body).await
}

async fn masters_create_list_and_revoke_triggers(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let path = "/projects/1/triggers";
    fixture
        .developer
        .get(path)
        .await
        .fails_with(403, "403 Forbidden");
    fixture
        .developer
        .post(path)
        .await
        .fails_with(403, "403 Forbidden");
    let created = fixture.master.post(path).await.is(201).json();
    for member in ["created_at", "updated_at"] {
        assert!(created[member].is_string(), "{member}");
    }
    for member in ["deleted_at", "last_used"] {
        assert!(created[member].is_null(), "{member}");
    }
    assert_eq!(
        fixture.master.get(path).await.items(),
        std::slice::from_ref(&created)
    );
    let one = format!("{path}/{}", created["token"].as_str().unwrap());
    assert_eq!(fixture.master.get(&one).await.is(200).json(), created);
    fixture.developer.get(&one).await.is(403);
    fixture
        .master
        .get(&format!("{path}/sltrg-1-00"))
        .await
        .is(404);
    let remove = async || send(fixture.master.request(Method::DELETE, &one)).await;
    assert!(remove().await.is(200).json()["deleted_at"].is_string());
    remove().await.fails_with(404, "404 Not Found");
    assert!(fixture.master.get(path).await.items().is_empty());
    let body = json!({"token": created["token"], "ref": "main"});
    fire(&fixture, &body).await.fails_with(404, "404 Not Found");
}

async fn trigger_starts_a_build_with_its_variables(backend: Backend) {
    let git = GitServer::start();
    let fixture = start(backend, &git).await;
    let set = json!({"key": "WHO", "value": "project"});
    let path = "/projects/1/variables";
    fixture.master.json(Method::POST, path, &set).await.is(201);
    let token = create_trigger(&fixture).await;
    let form = format!(
        "token={token}&ref=feature%2Fx&variables[WHO]=trigger&variables%5BMORE%5D=a%3Db%26c"
    );
    let path = "/projects/grp%2Fproj/trigger/builds";
    let request = fixture.anonymous().request(Method::POST, path);
    let request = request.header("Content-Type", "application/x-www-form-urlencoded");
    let response = send(request.body(form)).await.is(201).json();
    let build = response["id"].as_i64().unwrap();
    assert_eq!(
        response["variables"],
        json!({"WHO": "trigger", "MORE": "a=b&c"})
    );

    let runner = RunnerApi::new(&fixture.farm)
        .register_runner(&fixture.farm)
        .await;
    let claim = runner.claim().await;
    assert_eq!(claim.payload["ref"], "feature/x");
    let variables = claim.payload["variables"].as_array().unwrap();
    let last_value = |key: &str| {
        variables
            .iter()
            .rev()
            .find(|pair| pair["key"] == key)
            .unwrap()
    };
    assert_eq!(last_value("CI_PIPELINE_ID")["value"], build.to_string());
    assert_eq!(last_value("CI_BUILD_TRIGGERED")["value"], "true");
    assert_eq!(last_value("WHO")["value"], "trigger");
    assert_eq!(last_value("WHO")["public"], false);
    assert_eq!(last_value("MORE")["value"], "a=b&c");
    let job = fixture.farm.job(claim.id).await;
    let mona = fixture.master.get("/user").await.json();
    assert_eq!(
        job.created_by.map(|user| json!(user.0)),
        Some(mona["id"].clone())
    );
    claim.succeed().await;

    let triggers = fixture.master.get("/projects/1/triggers").await.items();
    assert!(triggers[0]["last_used"].is_string());
    for reference in ["main", "feature/x", "feature%2Fx"] {
        let path = format!("/projects/1/ref/{reference}/trigger/builds?token={token}");
        let response = fixture.anonymous().post(&path).await.is(201).json();
        assert_eq!(response["variables"], json!({}));
        let claim = runner.claim().await;
        assert_eq!(claim.payload["ref"], reference.replace("%2F", "/"));
        claim.succeed().await;
    }
    fixture.farm.build(&fixture.project).await;
    let plain = runner.claim().await;
    let text = plain.payload["variables"].to_string();
    assert!(!text.contains("CI_BUILD_TRIGGERED") && !text.contains("MORE"));
}

async fn invalid_trigger_requests_create_no_build(backend: Backend) {
    let git = GitServer::start();
    let fixture = start(backend, &git).await;
    let token = create_trigger(&fixture).await;
    let no_builds = json!({"message": "No builds created"});
    for unknown in ["gone", "a..b"] {
        let response = fire(&fixture, &json!({"token": token, "ref": unknown})).await;
        response.has_json(400, &no_builds);
    }
    fire(&fixture, &json!({"token": token}))
        .await
        .has_error(400, "ref is missing");
    fire(&fixture, &json!({"ref": "main"}))
        .await
        .has_error(400, "token is missing");
    let variables = async |variables: Value| {
        let body = json!({"token": token, "ref": "main", "variables": variables});
        fire(&fixture, &body).await.is(400).json()["message"].to_string()
    };
    assert!(variables(json!("K=V")).await.contains("needs to be a hash"));
    assert!(
        variables(json!({"A-B": "v"}))
            .await
            .contains("variable name")
    );
    assert!(
        variables(json!({"A": "v".repeat(70_000)}))
            .await
            .contains("at most")
    );
    let many: serde_json::Map<String, Value> =
        (0..101).map(|n| (format!("V{n}"), json!("v"))).collect();
    assert!(variables(Value::Object(many)).await.contains("at most 100"));
    let off = ProjectUpdate {
        builds_enabled: Some(false),
        ..ProjectUpdate::default()
    };
    fixture.farm.change_project(&fixture.project, off).await;
    let response = fire(&fixture, &json!({"token": token, "ref": "main"})).await;
    response.has_json(400, &no_builds);

    let body = json!({"token": token, "ref": "main"});
    for path in [
        "/projects/999/trigger/builds",
        "/projects/grp%2Fx/trigger/builds",
    ] {
        let response = fixture.anonymous().json(Method::POST, path, &body).await;
        response.fails_with(404, "404 Not Found");
    }
    fixture.farm.project("grp/other").await;
    let path = "/projects/2/trigger/builds";
    let response = fixture.anonymous().json(Method::POST, path, &body).await;
    response.fails_with(401, "401 Unauthorized");
    let path = "/projects/2/triggers/".to_owned() + &token;
    fixture.admin.get(&path).await.is(404);
}

async fn trigger_has_the_rights_of_its_creator(backend: Backend) {
    let git = GitServer::start();
    let fixture = start(backend, &git).await;
    let token = create_trigger(&fixture).await;
    let body = json!({"token": token, "ref": "main"});
    fire(&fixture, &body).await.is(201);
    fixture
        .farm
        .member(&fixture.project, "mona", Role::Reader)
        .await;
    fire(&fixture, &body)
        .await
        .fails_with(400, "No builds created");
    fixture
        .farm
        .member(&fixture.project, "mona", Role::Developer)
        .await;
    fire(&fixture, &body).await.is(201);
    let admin = fixture.farm.admin().await;
    let block = UserUpdate {
        active: Some(false),
        admin: None,
    };
    let mona = "mona".parse().unwrap();
    fixture
        .farm
        .farm()
        .update_user(&admin, &mona, block)
        .await
        .unwrap();
    fire(&fixture, &body)
        .await
        .fails_with(400, "No builds created");
}

async fn forged_trigger_token_returns_404(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let token = create_trigger(&fixture).await;
    let secret = token.rsplit('-').next().unwrap();
    for forged in [
        format!("{}1-{}", TriggerToken::PREFIX, "0".repeat(secret.len())),
        format!("{}2-{secret}", TriggerToken::PREFIX),
        secret.to_owned(),
    ] {
        let response = fire(&fixture, &json!({"token": forged, "ref": "main"})).await;
        response.fails_with(404, "404 Not Found");
    }
    let response = fixture.client_with_token(&token).get("/user").await;
    response.fails_with(401, "401 Unauthorized");
}

async fn full_ref_name_builds_a_tag_that_has_the_name_of_a_branch(backend: Backend) {
    let git = GitServer::start();
    let fixture = Fixture::start(backend).await;
    let repo = git.repo("proj");
    let tagged = repo.commit(&[("Dockerfile", "FROM scratch")], "first");
    repo.tag("v1");
    repo.branch("v1");
    let head = repo.commit(&[("a", "b")], "second");
    let change = ProjectUpdate {
        repo_url: Some(repo.url().to_owned()),
        ..ProjectUpdate::default()
    };
    fixture.farm.change_project(&fixture.project, change).await;
    let token = create_trigger(&fixture).await;
    let runner = RunnerApi::new(&fixture.farm)
        .register_runner(&fixture.farm)
        .await;
    for (name, sha, is_tag) in [
        ("v1", &head, false),
        ("refs/heads/v1", &head, false),
        ("refs/tags/v1", &tagged, true),
    ] {
        let body = json!({"token": token, "ref": name});
        fire(&fixture, &body).await.is(201);
        let claim = runner.claim().await;
        assert_eq!(claim.payload["ref"], "v1", "{name}");
        assert_eq!(claim.payload["sha"], sha.as_str(), "{name}");
        assert_eq!(claim.payload["tag"], is_tag, "{name}");
    }
}

async fn trigger_of_a_read_only_project_starts_no_build(backend: Backend) {
    let git = GitServer::start();
    let fixture = start(backend, &git).await;
    let token = create_trigger(&fixture).await;
    let set = async |read_only: bool| {
        let change = ProjectUpdate {
            read_only: Some(read_only),
            ..ProjectUpdate::default()
        };
        fixture.farm.change_project(&fixture.project, change).await;
    };
    let body = json!({"token": token, "ref": "main"});
    set(true).await;
    fire(&fixture, &body).await.is(403);
    assert!(
        fixture
            .master
            .get("/projects/1/builds")
            .await
            .items()
            .is_empty()
    );
    set(false).await;
    fire(&fixture, &body).await.is(201);
}
