//! Source archives: uploaded, built, rejected.

use actix_web::http::Method;
use actix_web::{App, test, web};
use chrono::TimeDelta;
use serde_json::{Value, json};
use slipway_domain::JobSpec;
use slipway_domain::package::PackageSource;

use crate::support::{Api, SHA};

const SOURCES: &str = "/v1/projects/acme/api/sources";
const BUILDS: &str = "/v1/projects/acme/api/builds";
const CHECK: &str = "/v1/projects/acme/api/builds/check";

/// Uploads bytes as a source archive. Returns the status and the response.
async fn send(api: &Api, token: &str, path: &str, kind: &str, bytes: &[u8]) -> (u16, Value) {
    let app = App::new()
        .app_data(web::Data::new(api.farm.clone()))
        .app_data(web::Data::new(slipway_http::BodyRules::default()))
        .configure(slipway_api_native::configure);
    let app = test::init_service(app).await;
    let request = test::TestRequest::with_uri(path)
        .method(Method::POST)
        .append_header(("private-token", token))
        .append_header(("content-type", kind))
        .set_payload(bytes.to_vec());
    let response = test::call_service(&app, request.to_request()).await;
    let status = response.status().as_u16();
    let body = test::read_body(response).await;
    (status, serde_json::from_slice(&body).unwrap())
}

async fn sent(api: &Api, token: &str) -> String {
    let (status, source) = send(api, token, SOURCES, "application/gzip", b"packed").await;
    assert_eq!(status, 201, "{source}");
    assert_eq!(source["size_bytes"], 6);
    let sum = "88cb8a087b6e8cebfc9ae5602f5a2159a6bcf923e7f2c56809bcda6cad1727a7";
    assert_eq!(source["sha256"], sum);
    source["id"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn an_uploaded_source_is_built_with_the_requested_spec() {
    let api = Api::start().await;
    api.project().await;
    let root = api.root.clone();
    let source = sent(&api, &root).await;
    let image = json!({
        "dockerfile": "docker/Dockerfile",
        "target": "slim",
        "args": {"A": "1"},
        "secrets": {"npm": "NPM_TOKEN"},
        "tags": ["v1"],
        "no_cache": true,
    });
    let body = json!({"source": source, "image": image});
    let build = api.post(&root, BUILDS, body).await.expect(201).json();
    assert_eq!(build["state"], "pending");
    let runner = api.runner().await;
    let claimed = api.claim(&runner).await;
    let JobSpec::ImageBuild(spec) = &claimed.job.spec else {
        panic!("{:?}", claimed.job.spec)
    };
    let repository = spec.repository.as_ref().unwrap().as_str();
    assert_eq!(repository, "registry.example/acme/api");
    assert_eq!(spec.tags, ["v1"]);
    assert_eq!(spec.target.as_deref(), Some("slim"));
    assert_eq!(spec.args["A"], "1");
    assert_eq!(spec.secrets["npm"], "NPM_TOKEN");
    assert!(spec.no_cache);
    let package = spec.package.as_ref().unwrap();
    assert_eq!(package.location.dockerfile_path, "docker/Dockerfile");
    assert_eq!(package.location.context, ".");
    let PackageSource::Upload(upload) = &package.source else {
        panic!("{package:?}")
    };
    assert_eq!(upload.to_string(), source);
    let found = api.farm.package_by_token(claimed.job.id, &claimed.token);
    let (file, content) = found.await.unwrap();
    assert_eq!(
        (file.mime.as_str(), content.size()),
        ("application/gzip", 6)
    );
}

#[actix_web::test]
async fn an_image_without_tags_is_tagged_with_its_build_and_not_pushed_with_push_false() {
    let api = Api::start().await;
    api.project().await;
    let root = api.root.clone();
    let runner = api.runner().await;
    let source = sent(&api, &root).await;
    // The same project can build a source archive again.
    for (push, repository) in [(None, true), (Some(true), true), (Some(false), false)] {
        let body = json!({"source": source, "push": push});
        let build = api.post(&root, BUILDS, body).await.expect(201).json();
        let claimed = api.claim(&runner).await;
        let JobSpec::ImageBuild(spec) = &claimed.job.spec else {
            panic!("{:?}", claimed.job.spec)
        };
        assert_eq!(spec.repository.is_some(), repository, "{push:?}");
        let tag = format!("build-{}", build["id"].as_str().unwrap());
        assert_eq!(spec.tags, [tag]);
    }
}

#[actix_web::test]
async fn a_source_is_built_only_by_its_uploader_in_its_project() {
    let api = Api::start().await;
    api.project().await;
    let root = api.root.clone();
    let ann = api.user("ann", &["write"]).await;
    let (status, _) = send(&api, &ann, SOURCES, "application/gzip", b"x").await;
    assert_eq!(status, 404);
    api.member("projects/acme/api", "ann", "reader").await;
    let (status, _) = send(&api, &ann, SOURCES, "application/gzip", b"x").await;
    assert_eq!(status, 403);
    api.member("projects/acme/api", "ann", "developer").await;
    let source = sent(&api, &ann).await;
    let body = json!({"source": source});
    api.post(&root, BUILDS, body.clone()).await.expect(404);
    api.post(&ann, BUILDS, body.clone()).await.expect(201);

    let other = json!({"namespace": "acme", "name": "other", "repo_url": "https://git.example/x"});
    api.post(&root, "/v1/projects", other).await.expect(201);
    api.member("projects/acme/other", "ann", "developer").await;
    let others = "/v1/projects/acme/other/builds";
    api.post(&ann, others, body).await.expect(404);
    let none = json!({"source": "00000000-0000-4000-8000-000000000000"});
    api.post(&root, BUILDS, none).await.expect(404);
}

#[actix_web::test]
async fn invalid_source_builds_are_rejected() {
    let api = Api::start().await;
    api.project().await;
    let root = api.root.clone();
    let (status, response) = send(&api, &root, SOURCES, "application/zip", b"x").await;
    assert_eq!(status, 415, "{response}");
    let source = sent(&api, &root).await;
    for bad in [
        json!({"source": source, "sha": SHA}),
        json!({"source": source, "ref": "main"}),
        json!({"source": "x"}),
        json!({"image": {}}),
        json!({"push": true}),
        json!({"source": source, "image": {"dockerfile": "../x"}}),
        json!({"source": source, "image": {"tags": ["no tag"]}}),
        json!({"source": source, "image": {"unknown": 1}}),
        json!({"source": source, "image": {"cache_of": "other"}}),
        json!({"source": source, "image": {"package": {"source": {"url": "https://x.example"}, "location": {"dockerfile_path": "Dockerfile", "context": "/"}}}}),
    ] {
        api.post(&root, BUILDS, bad).await.expect(400);
    }
    let used = api.post(&root, BUILDS, json!({"source": source, "pipeline": "none"}));
    used.await.expect(404);
}

#[actix_web::test]
async fn a_build_is_checked_before_its_source_is_uploaded() {
    let api = Api::start().await;
    api.project().await;
    let root = api.root.clone();
    let check = async |body: Value, status: u16| {
        let response = api.post(&root, CHECK, body).await;
        response.expect(status).json()
    };
    for push in [Value::Null, json!(true)] {
        let checked = check(json!({"image": {"tags": ["v1"]}, "push": push}), 200).await;
        assert_eq!(checked, json!({"repository": "registry.example/acme/api"}));
    }
    let checked = check(
        json!({"image": {"archive": ["api:v1"]}, "push": false}),
        200,
    )
    .await;
    assert_eq!(checked, json!({"repository": null}));
    for bad in [
        json!({"source": "00000000-0000-4000-8000-000000000000"}),
        json!({"image": {"dockerfile": "../x"}}),
        json!({"image": {"tags": ["no tag"]}}),
        json!({"image": {"archive": ["API"]}}),
        json!({"image": {"archive": ["a:b"], "platforms": ["linux/amd64", "linux/arm64"]}}),
    ] {
        check(bad, 400).await;
    }
    check(json!({"pipeline": "none"}), 404).await;
    let ann = api.user("ann", &["write"]).await;
    api.post(&ann, CHECK, json!({})).await.expect(404);
    api.member("projects/acme/api", "ann", "reader").await;
    api.post(&ann, CHECK, json!({})).await.expect(403);
    // A check creates no build.
    let builds = api.get(&root, BUILDS).await.expect(200).json();
    assert_eq!(builds["items"], json!([]));
}

#[actix_web::test]
async fn sources_that_no_build_uses_expire() {
    let api = Api::start().await;
    api.project().await;
    let root = api.root.clone();
    let built = sent(&api, &root).await;
    let left = sent(&api, &root).await;
    let body = |source: &str| json!({"source": source});
    api.post(&root, BUILDS, body(&built)).await.expect(201);
    let lifetime = api.farm.settings().upload_lifetime;
    api.clock.advance(TimeDelta::from_std(lifetime).unwrap());
    assert_eq!(api.farm.expire_uploads().await.unwrap(), 1);
    api.post(&root, BUILDS, body(&left)).await.expect(404);
    api.post(&root, BUILDS, body(&built)).await.expect(201);
}
