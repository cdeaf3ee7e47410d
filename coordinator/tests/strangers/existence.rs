//! What a caller may not see looks as if it did not exist.
//!
//! The contracts fix two exceptions: runner protocol v1 answers 404 for an unknown job and 403 for a
//! wrong token, and the trigger of another project is 401 (`docs/protocols`).

use reqwest::Method;
use slipway_domain::Role;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

on_both_back_ends!(
    runners_of_others_look_like_missing_ones,
    sources_look_like_missing_ones_without_a_token,
    projects_and_builds_of_others_look_like_missing_ones,
);

async fn answer(farm: &TestFarm, method: &Method, path: &str, token: &str, body: &str) -> String {
    let request = farm.http.request(method.clone(), farm.url(path));
    let request = request
        .bearer_auth(token)
        .header("Content-Type", "application/json")
        .body(body.to_owned());
    let response = request.send().await.unwrap();
    let status = response.status();
    format!("{status}: {}", response.text().await.unwrap())
}

async fn runners_of_others_look_like_missing_ones(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let own = farm.project("own/app").await;
    let token = farm.user("ann").await;
    farm.member(&own, "ann", Role::Maintainer).await;
    let register = serde_json::json!({ "token": farm.project_registration_token(&project).await });
    let post = farm.http.post(farm.url("/ci/api/v1/runners/register"));
    let registered = post.json(&register).send().await.unwrap();
    let registered: serde_json::Value = registered.json().await.unwrap();
    let (theirs, missing) = (registered["id"].as_i64().unwrap(), 987_654);
    let own = own.id();
    for (method, path, body) in [
        (Method::GET, "/api/v3/runners/ID", ""),
        (Method::PUT, "/api/v3/runners/ID", "{\"description\":\"x\"}"),
        (Method::DELETE, "/api/v3/runners/ID", ""),
        (
            Method::POST,
            "/api/v3/projects/OWN/runners",
            "{\"runner_id\":ID}",
        ),
        (Method::DELETE, "/api/v3/projects/OWN/runners/ID", ""),
        (Method::GET, "/v1/runners/ID", ""),
        (Method::PATCH, "/v1/runners/ID", "{}"),
        (Method::DELETE, "/v1/runners/ID", ""),
    ] {
        let of = async |id: i64| {
            let fill = |text: &str| {
                text.replace("ID", &id.to_string())
                    .replace("OWN", &own.to_string())
            };
            answer(&farm, &method, &fill(path), &token, &fill(body)).await
        };
        let (theirs, missing) = (of(theirs).await, of(missing).await);
        assert_eq!(theirs, missing, "{method} {path}");
        assert!(theirs.starts_with("404"), "{method} {path}: {theirs}");
    }
}

async fn sources_look_like_missing_ones_without_a_token(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let build = farm.build(&project).await;
    let get = async |uuid: &str| {
        let path = format!("/api/v0/internal/builds/{uuid}/source.tar.gz");
        let response = farm.http.get(farm.url(&path)).send().await.unwrap();
        response.status().as_u16()
    };
    assert_eq!(get(&build.uuid.to_string()).await, 401);
    assert_eq!(get("0190a5d0-ac96-7b4b-8cce-b302099a8057").await, 401);
}

async fn projects_and_builds_of_others_look_like_missing_ones(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let build = farm.build(&project).await;
    let job = farm.jobs(&build).await[0].id;
    let token = farm.user("ann").await;
    let of = async |path: &str| answer(&farm, &Method::GET, path, &token, "").await;
    let (uuid, other) = (
        build.uuid.to_string(),
        "0190a5d0-ac96-7b4b-8cce-b302099a8057",
    );
    for (theirs, missing) in [
        (
            "/v1/projects/acme/api".to_owned(),
            "/v1/projects/acme/none".to_owned(),
        ),
        (format!("/v1/builds/{uuid}"), format!("/v1/builds/{other}")),
        (format!("/v1/jobs/{job}"), "/v1/jobs/987654".to_owned()),
        (
            format!("/v1/jobs/{job}/trace"),
            "/v1/jobs/987654/trace".to_owned(),
        ),
        (
            format!("/api/v3/projects/{}", project.id()),
            "/api/v3/projects/987654".to_owned(),
        ),
        (format!("/builds/{uuid}"), format!("/builds/{other}")),
        (format!("/logs/{uuid}"), format!("/logs/{other}")),
        (
            format!("/logarchive/{uuid}"),
            format!("/logarchive/{other}"),
        ),
        (
            "/api/v0/organizations/acme".to_owned(),
            "/api/v0/organizations/none".to_owned(),
        ),
    ] {
        let (found, absent) = (of(&theirs).await, of(&missing).await);
        // Some bodies have an id of the request.
        let status = |answer: &str| answer.split(':').next().map(str::to_owned);
        assert_eq!(
            status(&found),
            status(&absent),
            "{theirs}: {found} and {absent}"
        );
    }
}
