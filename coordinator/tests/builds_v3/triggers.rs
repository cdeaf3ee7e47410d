//! Triggers, and the builds that they start.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_domain::{Role, TriggerToken};
use slipway_farm::{ProjectUpdate, UserUpdate};
use slipway_testkit::{Backend, GitServer, on_both_back_ends};

use crate::client::{ApiResponse, RunnerApi};
use crate::support::{World, send};

on_both_back_ends!(
    masters_make_list_and_revoke_triggers,
    a_trigger_starts_a_build_with_variables_of_its_own,
    a_trigger_is_told_why_not,
    a_trigger_ends_with_its_makers_rights,
    a_token_of_another_trigger_is_nobodys,
);

/// A world whose project has a repository with the branches `main` and `feature/x`.
async fn start(backend: Backend, git: &GitServer) -> World {
    let world = World::start(backend).await;
    let repo = git.repo("proj");
    repo.commit(&[("Dockerfile", "FROM scratch")], "first");
    repo.branch("feature/x");
    repo.commit(&[("a", "b")], "second");
    let change = ProjectUpdate {
        repo_url: Some(repo.url().to_owned()),
        ..ProjectUpdate::default()
    };
    world.farm.change_project(&world.project, change).await;
    world
}

/// The token of a new trigger of project 1.
async fn trigger(world: &World) -> String {
    let made = world.master.post("/projects/1/triggers").await.is(201);
    made.json()["token"].as_str().unwrap().to_owned()
}

async fn fire(world: &World, body: &Value) -> ApiResponse {
    let path = "/projects/1/trigger/builds";
    world.nobody().json(Method::POST, path, body).await
}

async fn masters_make_list_and_revoke_triggers(backend: Backend) {
    let world = World::start(backend).await;
    let path = "/projects/1/triggers";
    world
        .developer
        .get(path)
        .await
        .is_error(403, "403 Forbidden");
    world
        .developer
        .post(path)
        .await
        .is_error(403, "403 Forbidden");
    let made = world.master.post(path).await.is(201).json();
    for member in ["created_at", "updated_at"] {
        assert!(made[member].is_string(), "{member}");
    }
    for member in ["deleted_at", "last_used"] {
        assert!(made[member].is_null(), "{member}");
    }
    assert_eq!(
        world.master.get(path).await.items(),
        std::slice::from_ref(&made)
    );
    let one = format!("{path}/{}", made["token"].as_str().unwrap());
    assert_eq!(world.master.get(&one).await.is(200).json(), made);
    world.developer.get(&one).await.is(403);
    world
        .master
        .get(&format!("{path}/sltrg-1-00"))
        .await
        .is(404);
    let remove = async || send(world.master.request(Method::DELETE, &one)).await;
    assert!(remove().await.is(200).json()["deleted_at"].is_string());
    remove().await.is_error(404, "404 Not Found");
    assert!(world.master.get(path).await.items().is_empty());
    let body = json!({"token": made["token"], "ref": "main"});
    fire(&world, &body).await.is_error(404, "404 Not Found");
}

async fn a_trigger_starts_a_build_with_variables_of_its_own(backend: Backend) {
    let git = GitServer::start();
    let world = start(backend, &git).await;
    let set = json!({"key": "WHO", "value": "project"});
    let path = "/projects/1/variables";
    world.master.json(Method::POST, path, &set).await.is(201);
    let token = trigger(&world).await;
    let form = format!(
        "token={token}&ref=feature%2Fx&variables[WHO]=trigger&variables%5BMORE%5D=a%3Db%26c"
    );
    let path = "/projects/grp%2Fproj/trigger/builds";
    let request = world.nobody().request(Method::POST, path);
    let request = request.header("Content-Type", "application/x-www-form-urlencoded");
    let answer = send(request.body(form)).await.is(201).json();
    let build = answer["id"].as_i64().unwrap();
    assert_eq!(
        answer["variables"],
        json!({"WHO": "trigger", "MORE": "a=b&c"})
    );

    let runner = RunnerApi::new(&world.farm)
        .register_runner(&world.farm)
        .await;
    let claim = runner.claim().await;
    assert_eq!(claim.payload["ref"], "feature/x");
    let variables = claim.payload["variables"].as_array().unwrap();
    let last = |key: &str| {
        variables
            .iter()
            .rev()
            .find(|pair| pair["key"] == key)
            .unwrap()
    };
    assert_eq!(last("CI_PIPELINE_ID")["value"], build.to_string());
    assert_eq!(last("CI_BUILD_TRIGGERED")["value"], "true");
    assert_eq!(last("WHO")["value"], "trigger");
    assert_eq!(last("WHO")["public"], false);
    assert_eq!(last("MORE")["value"], "a=b&c");
    let job = world.farm.job(claim.id).await;
    let mona = world.master.get("/user").await.json();
    assert_eq!(
        job.created_by.map(|user| json!(user.0)),
        Some(mona["id"].clone())
    );
    claim.succeed().await;

    let triggers = world.master.get("/projects/1/triggers").await.items();
    assert!(triggers[0]["last_used"].is_string());
    for reference in ["main", "feature/x", "feature%2Fx"] {
        let path = format!("/projects/1/ref/{reference}/trigger/builds?token={token}");
        let answer = world.nobody().post(&path).await.is(201).json();
        assert_eq!(answer["variables"], json!({}));
        let claim = runner.claim().await;
        assert_eq!(claim.payload["ref"], reference.replace("%2F", "/"));
        claim.succeed().await;
    }
    world.farm.build(&world.project).await;
    let plain = runner.claim().await;
    let text = plain.payload["variables"].to_string();
    assert!(!text.contains("CI_BUILD_TRIGGERED") && !text.contains("MORE"));
}

async fn a_trigger_is_told_why_not(backend: Backend) {
    let git = GitServer::start();
    let world = start(backend, &git).await;
    let token = trigger(&world).await;
    let nothing = json!({"message": "No builds created"});
    for unknown in ["gone", "a..b"] {
        let answer = fire(&world, &json!({"token": token, "ref": unknown})).await;
        answer.shows(400, &nothing);
    }
    fire(&world, &json!({"token": token}))
        .await
        .errs(400, "ref is missing");
    fire(&world, &json!({"ref": "main"}))
        .await
        .errs(400, "token is missing");
    let variables = async |variables: Value| {
        let body = json!({"token": token, "ref": "main", "variables": variables});
        fire(&world, &body).await.is(400).json()["message"].to_string()
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
    world.farm.change_project(&world.project, off).await;
    let answer = fire(&world, &json!({"token": token, "ref": "main"})).await;
    answer.shows(400, &nothing);

    let body = json!({"token": token, "ref": "main"});
    for path in [
        "/projects/999/trigger/builds",
        "/projects/grp%2Fx/trigger/builds",
    ] {
        let answer = world.nobody().json(Method::POST, path, &body).await;
        answer.is_error(404, "404 Not Found");
    }
    world.farm.project("grp/other").await;
    let path = "/projects/2/trigger/builds";
    let answer = world.nobody().json(Method::POST, path, &body).await;
    answer.is_error(401, "401 Unauthorized");
    let path = "/projects/2/triggers/".to_owned() + &token;
    world.admin.get(&path).await.is(404);
}

async fn a_trigger_ends_with_its_makers_rights(backend: Backend) {
    let git = GitServer::start();
    let world = start(backend, &git).await;
    let token = trigger(&world).await;
    let body = json!({"token": token, "ref": "main"});
    fire(&world, &body).await.is(201);
    world
        .farm
        .member(&world.project, "mona", Role::Reader)
        .await;
    fire(&world, &body).await.is_error(400, "No builds created");
    world
        .farm
        .member(&world.project, "mona", Role::Developer)
        .await;
    fire(&world, &body).await.is(201);
    let admin = world.farm.admin().await;
    let block = UserUpdate {
        active: Some(false),
        admin: None,
    };
    let mona = "mona".parse().unwrap();
    world
        .farm
        .farm()
        .update_user(&admin, &mona, block)
        .await
        .unwrap();
    fire(&world, &body).await.is_error(400, "No builds created");
}

async fn a_token_of_another_trigger_is_nobodys(backend: Backend) {
    let world = World::start(backend).await;
    let token = trigger(&world).await;
    let secret = token.rsplit('-').next().unwrap();
    for forged in [
        format!("{}1-{}", TriggerToken::PREFIX, "0".repeat(secret.len())),
        format!("{}2-{secret}", TriggerToken::PREFIX),
        secret.to_owned(),
    ] {
        let answer = fire(&world, &json!({"token": forged, "ref": "main"})).await;
        answer.is_error(404, "404 Not Found");
    }
    let answer = world.holder_of(&token).get("/user").await;
    answer.is_error(401, "401 Unauthorized");
}
