//! How much a project and a user may store.

use reqwest::multipart::{Form, Part};
use slipway_coordinator::Config;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

on_both_back_ends!(
    files_of_a_project_have_a_limit,
    uploads_of_a_user_have_a_limit,
);

async fn files_of_a_project_have_a_limit(backend: Backend) {
    let small = |config: &mut Config| config.limits.max_project_bytes = 1000;
    let farm = TestFarm::start_with(backend, small).await;
    let register = serde_json::json!({ "token": farm.registration_token });
    let post = farm.http.post(farm.url("/ci/api/v1/runners/register"));
    let runner: serde_json::Value = post
        .json(&register)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let upload = async |path: &str, bytes: usize| {
        let project = farm.project(path).await;
        farm.build(&project).await;
        let claim = farm.http.post(farm.url("/ci/api/v1/builds/register"));
        let claim = claim.json(&serde_json::json!({ "token": runner["token"] }));
        let job: serde_json::Value = claim.send().await.unwrap().json().await.unwrap();
        let url = farm.url(&format!("/ci/api/v1/builds/{}/artifacts", job["id"]));
        let file = Part::bytes(vec![b'x'; bytes]).file_name("a.zip");
        let upload = farm
            .http
            .post(url)
            .header("BUILD-TOKEN", job["token"].as_str().unwrap());
        let response = upload
            .multipart(Form::new().part("file", file))
            .send()
            .await
            .unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(upload("acme/api", 600).await.0, 201);
    let (status, text) = upload("acme/api", 600).await;
    assert_eq!(status, 413);
    assert!(
        text.contains("files of this project have reached their limit of 1000 bytes"),
        "{text}"
    );
    assert_eq!(upload("acme/api", 400).await.0, 201);
    assert_eq!(upload("acme/api", 1).await.0, 413);
    assert_eq!(upload("acme/other", 600).await.0, 201);
    assert_eq!(farm.stored_blobs(), 3);
}

async fn uploads_of_a_user_have_a_limit(backend: Backend) {
    let small = |config: &mut Config| config.limits.max_user_upload_bytes = 1000;
    let farm = TestFarm::start_with(backend, small).await;
    farm.project("acme/api").await;
    let upload = async |bytes: usize| {
        let upload = farm.http.post(farm.url("/v1/projects/acme/api/sources"));
        let upload = upload
            .bearer_auth(&farm.admin_token)
            .header("Content-Type", "application/gzip")
            .body(vec![b'x'; bytes]);
        let response = upload.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(upload(600).await.0, 201);
    let (status, text) = upload(600).await;
    assert_eq!(status, 413);
    assert!(text.contains("storage_full"), "{text}");
    assert_eq!(upload(400).await.0, 201);
}
